"""What shapes an answer beside the fields of a model: patches, attributes, clients, bases."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import BaseModel, PrivateAttr

from llm_optimizers.fingerprint import installed_class, settings_of
from llm_optimizers.settings.bookkeeping import Apis

OPENAI: Apis = frozenset({"openai"})


class Backend:
    def __init__(self, model: str, inner: Any = None) -> None:
        self.model = model
        self.inner = inner
        self.calls = 0
        self.api_key = "secret"


class Own(BaseModel):
    client: Any = None
    _backend: Any = PrivateAttr(default=None)

    def answer(self) -> str:
        return "yes"

    @cached_property
    def computed(self) -> str:
        return "always the same"


def own(backend: Any) -> Own:
    made = Own()
    made._backend = backend  # noqa: SLF001 - as its own code would
    return made


def test_clients_of_a_users_class_are_told_apart() -> None:
    assert settings_of(Own(client=Backend("a"))) != settings_of(Own(client=Backend("b")))
    assert settings_of(own(Backend("a"))) != settings_of(own(Backend("b")))
    assert settings_of(own(Backend("", Backend("a")))) != settings_of(
        own(Backend("", Backend("b")))
    )


def test_counters_accounts_and_computed_values_do_not_count() -> None:
    first, second = Backend("a"), Backend("a")
    second.calls, second.api_key = 9, "another"
    assert settings_of(own(first)) == settings_of(own(second))
    read = own(first)
    assert read.computed
    assert settings_of(read) == settings_of(own(first))


def test_what_was_set_on_an_object_counts() -> None:
    def answer() -> str:
        return "no"

    plain, patched, named = Own(), Own(), Own()
    object.__setattr__(patched, "answer", answer)
    object.__setattr__(named, "persona", "rude")
    found = [settings_of(each) for each in (plain, patched, named)]
    assert found[0] != found[1] != found[2] != found[0]


def test_a_base_beside_the_installed_class_may_change_the_request() -> None:
    class Greets(BaseChatOpenAI):
        def _get_request_payload(self, input_: Any, *, stop: Any = None, **kwargs: Any) -> Any:
            return super()._get_request_payload(input_, stop=stop, **kwargs)

    class Both(ChatOpenAI, Greets):
        """Calls the payload of `Greets`, which is behind ChatOpenAI among its bases."""

    class Plain(ChatOpenAI):
        """Changes nothing."""

    assert installed_class(Both) is None
    assert installed_class(Plain) is ChatOpenAI
    assert issubclass(Both, BaseChatModel)


class Completions:
    def __init__(self, client: Any) -> None:
        self._client = client


class Sdk:
    def __init__(self, base_url: str, headers: dict[str, str] | None = None) -> None:
        self.base_url = base_url
        self._custom_headers = headers or {}


class Model(BaseModel):
    base_url: str | None = None
    client: Any = None


def test_a_client_of_another_address_counts() -> None:
    def settings(url: str | None, client: Any) -> Any:
        return settings_of(Model(base_url=url, client=client), apis=OPENAI)

    one, two = (Completions(Sdk(f"http://{name}/v1/")) for name in ("a", "b"))
    assert settings(None, one) != settings(None, two)
    routed = Completions(Sdk("http://a/v1/", {"x-route": "b"}))
    assert settings("http://a/v1", one) != settings("http://a/v1", routed)
    assert settings("http://a/v1", one) == settings("http://a/v1", None)
    traced = Completions(Sdk("http://a/v1/", {"x-request-id": "b"}))
    assert settings("http://a/v1", traced) == settings("http://a/v1", None)
