"""Every way to use an LLM of LlamaIndex gives through a wrapper what it gives without it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from support.like_the_model.differences import check
from support.like_the_model.llama_index.differences import DIFFERENCES
from support.like_the_model.llama_index.observed import differences_of
from support.like_the_model.llama_index.server import answer
from support.like_the_model.llama_index.trial import Trial
from support.like_the_model.llama_index.ways import WAYS
from support.like_the_model.llama_index.wrappers import WRAPPERS
from support.llama_openai import OpenAIRunner
from support.openai_server import openai_server

pytestmark = [
    pytest.mark.loopback,
    # LlamaIndex's own: structured streams, agents, and the stored context of one with a memory.
    pytest.mark.filterwarnings("ignore:The `json` method is deprecated"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
    pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key"),
]


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    # A pooled connection may be closed while no event loop runs.
    limits = httpx.Limits(max_keepalive_connections=0)
    with openai_server(reply=answer) as server:
        runner = OpenAIRunner(server, limits=limits)
        asyncio.set_event_loop(None)
        yield Trial(runner)
        runner.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_way_gives_what_it_gives_without_the_wrapper(
    trial: Trial, wrapper: str, way: str
) -> None:
    found = differences_of(trial.bare(way), trial.wrapped(wrapper, way))
    check(DIFFERENCES, wrapper, way, found)


def test_every_difference_is_of_some_way_and_wrapper() -> None:
    for each in DIFFERENCES:
        assert any(each.concerns(wrapper, way) for wrapper in WRAPPERS for way in WAYS), each
