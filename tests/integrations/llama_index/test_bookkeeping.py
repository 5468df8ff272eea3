"""What a provider is not sent, or only keeps books by, makes no call another one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms import MockLLM
from llama_index.llms.openai import OpenAI, OpenAIResponses

from llama_index_llm_optimizers import CachedLLM, HybridCache, RoutedLLM
from llama_index_llm_optimizers.call import ChatCall
from llama_index_llm_optimizers.identity import identity_of_llm
from llama_index_llm_optimizers.messages import request_of
from llama_index_llm_optimizers.providers import PROVIDERS
from llm_optimizers.caching.keys import cache_key
from support.llama_openai import OpenAIRunner
from support.openai_server import FakeOpenAI

pytestmark = pytest.mark.loopback
QUESTION = "How long is the warranty?"


def user(text: str = QUESTION, **notes: Any) -> ChatMessage:
    return ChatMessage(role="user", content=text, additional_kwargs=notes)


BOOKS: list[Callable[[str], dict[str, Any]]] = [
    lambda i: {"user": i},
    lambda i: {"metadata": {"session": i}},
    lambda i: {"safety_identifier": i},
    lambda i: {"prompt_cache_key": i},
    lambda i: {"service_tier": {"0": "flex", "1": "priority"}[i]},
    lambda i: {"extra_headers": {"X-Request-Id": i, "traceparent": i}},
    lambda i: {"extra_body": {"user": i}},
    lambda i: {"timeout": 10.0 + int(i)},
]
SHAPING: list[Callable[[str], dict[str, Any]]] = [
    lambda i: {"seed": int(i)},
    lambda i: {"metadata": {"tags": [i]}},
    lambda i: {"extra_headers": {"OpenAI-Beta": i}},
    lambda i: {"extra_body": {"top_k": i}},
    lambda i: {"store": i == "1"},
]


@pytest.mark.parametrize("setting", BOOKS)
@pytest.mark.parametrize("at", ["call", "llm", "router"])
def test_books_do_not_count(runner: OpenAIRunner, setting: Any, at: str) -> None:
    cache = HybridCache()
    for i in "01":
        if at == "call":
            CachedLLM(runner.llm(), cache).chat([user()], **setting(i))
        elif at == "llm":
            CachedLLM(runner.llm(additional_kwargs=setting(i)), cache).chat([user()])
        else:
            routed = RoutedLLM([runner.llm(), runner.llm("gpt-4o")])
            CachedLLM(routed, cache).chat([user()], **setting(i))
    assert len(runner.server.requests) == 1


@pytest.mark.parametrize("setting", SHAPING)
@pytest.mark.parametrize("on_call", [True, False])
def test_what_shapes_an_answer_counts(runner: OpenAIRunner, setting: Any, on_call: bool) -> None:
    cache = HybridCache()
    for i in "0101":
        llm = runner.llm() if on_call else runner.llm(additional_kwargs=setting(i))
        CachedLLM(llm, cache).chat([user()], **(setting(i) if on_call else {}))
    assert len(runner.server.requests) == 2


def test_fields_of_an_llm() -> None:
    def known(**fields: Any) -> Any:
        return identity_of_llm(OpenAIResponses(model="gpt-4o", api_key="x", **fields))

    one = known(user="a", call_metadata={"a": "b"}, default_headers={"x-request-id": "1"})
    assert one == known(user="b", timeout=3.0, max_retries=9)
    assert one != known(default_headers={"OpenAI-Beta": "1"})


class Slow(OpenAI):
    """Learns its window from the provider when it is first asked about itself."""

    window: int = -1
    lookups: int = 0

    @property
    def metadata(self) -> Any:
        if self.window == -1:
            self.window = 8192
        return super().metadata


def test_a_field_that_metadata_fills_in_is_read_when_it_is_there(server: FakeOpenAI) -> None:
    llm = Slow(model="gpt-4o-mini", api_base=server.url, api_key="x")
    first = identity_of_llm(llm)
    assert first == identity_of_llm(llm)
    assert first == identity_of_llm(Slow(model="gpt-4o-mini", api_base=server.url, api_key="x"))
    assert first != identity_of_llm(
        Slow(model="gpt-4o-mini", api_base=server.url, api_key="x", window=1)
    )


@pytest.mark.providers
def test_ollama_s_window_is_the_same_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    ollama = pytest.importorskip("llama_index.llms.ollama").Ollama
    info = SimpleNamespace(modelinfo={"llama.context_length": 4096})
    client = SimpleNamespace(show=lambda model: info)
    one, other = (ollama(model="llama3", client=client, keep_alive=i) for i in (3, 4))
    first = identity_of_llm(one)
    assert first == identity_of_llm(one) == identity_of_llm(other)
    assert first["context_window"] == 4096
    given = identity_of_llm(ollama(model="llama3", context_window=2048))
    assert given["context_window"] == 2048


NOTES = {"sent_at": 1, "metadata": {"a": 1}}


@pytest.mark.parametrize(
    "messages",
    [
        lambda notes: [user(**notes)],
        lambda notes: [
            ChatMessage(role="system", content="A", additional_kwargs=notes),
            user(),
        ],
        lambda notes: [
            ChatMessage(role="assistant", content="A", additional_kwargs=notes),
            user(),
        ],
    ],
)
def test_an_interface_s_own_notes_do_not_count_where_the_llm_is_known(
    runner: OpenAIRunner, messages: Any
) -> None:
    cached = CachedLLM(runner.llm())
    for i in (0, 1):
        cached.chat(messages({**NOTES, "sent_at": i}))
    assert len(runner.server.requests) == 1
    unknown = CachedLLM(MockLLM())
    for i in (0, 1, 0, 1):
        unknown.chat(messages({**NOTES, "sent_at": i}))
    assert unknown.cache.stats.misses == 2


def test_all_notes_count_beside_the_tool_calls_that_openai_is_sent_with_them(
    runner: OpenAIRunner,
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    cached = CachedLLM(runner.llm())
    for i in "abab":
        notes = {"tool_calls": [call], "reasoning_content": i}
        said = ChatMessage(role="assistant", content="", additional_kwargs=notes)
        cached.chat([said, user()])
    assert len(runner.server.requests) == 2
    assert runner.server.requests[0] != runner.server.requests[1]


class Greeting(OpenAI):
    """Sends what `OpenAI` does not."""

    def _get_model_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        name = kwargs.pop("user", "nobody")
        return {**super()._get_model_kwargs(**kwargs), "seed": len(name)}


def test_a_class_of_the_user_s_that_changes_a_request(server: FakeOpenAI) -> None:
    llm = Greeting(model="gpt-4o-mini", api_base=server.url, api_key="x")
    assert PROVIDERS.of_each([llm]) is None
    cached = CachedLLM(llm)
    for name in ("a", "bb", "a", "bb"):
        cached.chat([user()], user=name)
    assert [body["seed"] for body in server.requests] == [1, 2]


def key_of(*messages: ChatMessage, llm: Any = None) -> str:
    call = ChatCall(messages=list(messages), kwargs={}, context=None)  # type: ignore[arg-type]
    providers = None if llm is None else PROVIDERS.of_each([llm])
    return cache_key(request_of(call, {}, providers)).exact


def older(call: dict[str, Any], *blocks: Any) -> ChatMessage:
    return ChatMessage(
        role=MessageRole.ASSISTANT, blocks=list(blocks), additional_kwargs={"tool_calls": [call]}
    )


FORMS: list[Callable[[str, Any], dict[str, Any]]] = [
    lambda name, x: {"id": "c", "function": {"name": name, "arguments": f'{{"x": {x}}}'}},
    lambda name, x: {"function": {"name": name, "arguments": {"x": x}}},
    lambda name, x: {"id": "c", "name": name, "input": {"x": x}},
    lambda name, x: {"toolUseId": "c", "name": name, "input": {"x": x}},
    lambda name, x: {"name": name, "args": {"x": x}},
]


@pytest.mark.parametrize("form", FORMS)
def test_tool_calls_in_every_older_form_are_told_apart(form: Any) -> None:
    keys = {key_of(older(form(name, x)), user()) for name in "fg" for x in (1, 2)}
    assert len(keys) == 4
    block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"x": 1})
    said = ChatMessage(role="assistant", blocks=[block])
    assert key_of(older(form("f", 1), block), user()) == key_of(said, user())
    assert key_of(older(form("f", 2), block), user()) != key_of(said, user())


def test_where_one_text_ends_and_another_begins_counts() -> None:
    texts = (["10", "0 euros"], ["10\n0 euros"], ["1", "0\n0 euros"])
    said = [ChatMessage(role="user", blocks=[TextBlock(text=t) for t in each]) for each in texts]
    assert len({key_of(message) for message in said}) == 3


def test_a_mark_for_the_provider_s_prompt_cache_does_not_count() -> None:
    mark = CachePoint(cache_control=CacheControl(type="ephemeral"))
    marked = ChatMessage(role="system", blocks=[TextBlock(text="Be brief."), mark])
    assert key_of(marked, user()) == key_of(ChatMessage(role="system", content="Be brief."), user())


@pytest.mark.providers
def test_a_mark_that_anthropic_s_llm_writes_into_a_message_does_not_count() -> None:
    anthropic = pytest.importorskip("llama_index.llms.anthropic").Anthropic
    llm = anthropic(model="claude-sonnet-4-20250514", api_key="x")
    marked = user(cache_control={"type": "ephemeral"})
    assert key_of(marked, llm=llm) == key_of(user(), llm=llm)
    kept = anthropic(model="claude-sonnet-4-20250514", api_key="x", cache_idx=1)
    assert identity_of_llm(llm) == identity_of_llm(kept)


@pytest.mark.providers
def test_bedrock_s_account_does_not_count() -> None:
    bedrock = pytest.importorskip("llama_index.llms.bedrock_converse").BedrockConverse

    def known(i: str, **fields: Any) -> Any:
        account = {"aws_access_key_id": i, "aws_secret_access_key": i, "aws_session_token": i}
        model = "anthropic.claude-3-haiku-20240307-v1:0"
        llm = bedrock(model=model, region_name="us-east-1", **account, **fields)
        return identity_of_llm(llm)

    assert known("a", tool_caching=True, timeout=3.0) == known("b")
    assert known("a", temperature=0.5) != known("a")


@pytest.mark.providers
def test_gemini_s_configuration_counts_beside_a_client_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gemini = pytest.importorskip("llama_index.llms.google_genai").GoogleGenAI
    genai = pytest.importorskip("google.genai")
    types, models = genai.types, genai.models
    about = types.Model(name="m", input_token_limit=1000, output_token_limit=100)
    monkeypatch.setattr(models.Models, "get", lambda *args, **kwargs: about)

    def known(system: str, headers: Any = None, **config: Any) -> Any:
        client = SimpleNamespace(headers=headers or {}, lock=object())
        options = types.HttpOptions.model_construct(httpx_client=client)
        made = types.GenerateContentConfig.model_construct(
            system_instruction=system, http_options=options, **config
        )
        monkeypatch.setattr(type(made), "model_dump", lambda self: dump(self))
        return identity_of_llm(
            gemini(model="gemini-2.5-flash", api_key="x", generation_config=made)
        )

    def dump(made: Any) -> dict[str, Any]:
        held = {name: getattr(made, name) for name in made.model_fields_set}
        return {**held, "http_options": dict(made.http_options)}

    assert known("A") == known("A", labels={"team": "a"})
    assert known("A") != known("B")
    assert known("A") != known("A", headers={"x-route": "b"})


def test_a_role_is_sent_as_it_is() -> None:
    said = [ChatMessage(role=role, content="Be brief.") for role in ("system", "developer")]
    assert len({key_of(message, user()) for message in said}) == 2


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("think", False, None),
        ("session_id", "a", "b"),
        ("thinking", "a number", "another number"),
        ("tool_call_id", ["a"], ["b"]),
    ],
)
def test_all_of_a_message_counts_where_the_llm_is_not_known(
    name: str, first: Any, second: Any
) -> None:
    said = [
        ChatMessage(role="assistant", content="Yes.", additional_kwargs=held)
        for held in ({name: first}, {name: second} if second is not None else {})
    ]
    assert len({key_of(message, user(), llm=MockLLM()) for message in said}) == 2
