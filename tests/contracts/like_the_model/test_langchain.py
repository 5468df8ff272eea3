"""A wrapped model gives what the bare model gives, in every way that LangChain uses a model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version

import httpx
import pytest

from support.like_the_model.differences import check
from support.like_the_model.langchain import DIFFERENCES, WAYS
from support.like_the_model.langchain.seen import Seen
from support.like_the_model.langchain.use import Provider, Way, use_it
from support.like_the_model.langchain.wrapped import REFERENCES, WRAPPED, Wrapped
from support.openai_server import openai_server
from support.scripted_server import scripted_server

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
    # openai's stream of a structured answer writes the parsed object as JSON.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

LANGCHAIN = tuple(map(int, version("langchain").split(".")[:2]))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with (
        openai_server() as server,
        scripted_server({}) as script,
        httpx.Client() as client,
        asyncio.Runner() as runner,
    ):
        aclient = httpx.AsyncClient()
        yield Provider(
            server=server,
            script=script,
            clients={"http_client": client, "http_async_client": aclient},
            runner=runner,
        )
        runner.run(aclient.aclose())


def seen(provider: Provider, wrapped: Wrapped, way: Way) -> Seen:
    """Use a model once, or a second time if it is the hit that is looked at."""
    cache = wrapped.cache()
    if wrapped.hit:
        use_it(way, wrapped.use(provider, cache))
    return use_it(way, wrapped.use(provider, cache))


@pytest.mark.parametrize("name", WAYS)
def test_gives_what_the_bare_model_gives(name: str, provider: Provider) -> None:
    if "summary" in name and LANGCHAIN < (1, 4):
        pytest.skip("a summary's run has another name in this LangChain")
    way, failed = WAYS[name], []
    bare = {each: seen(provider, wrapped, way) for each, wrapped in REFERENCES.items()}
    for column, wrapped in WRAPPED.items():
        if way.agent or not wrapped.agents_only:
            differing = seen(provider, wrapped, way).compared(
                bare[wrapped.reference],
                at_once=way.at_once,
                hit=wrapped.asks_nobody,
                never=wrapped.never,
            )
            try:
                check(DIFFERENCES, column, name, differing)
            except AssertionError as error:
                failed.append(str(error))
    assert not failed, "\n\n".join(failed)
