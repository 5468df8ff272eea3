"""`HybridCache` behind a real `ChatOpenAI`, over HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables.config import var_child_runnable_config
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_llm_optimizers import HybridCache
from llm_optimizers.caching import tenant
from llm_optimizers.costs import Ledger
from support.openai_server import FakeOpenAI, tool_call

pytestmark = pytest.mark.loopback
Chat = Callable[..., ChatOpenAI]


def test_a_global_cache_answers_repeats(
    server: FakeOpenAI, chat: Chat, global_cache: Callable[[Any], None]
) -> None:
    global_cache(HybridCache())
    model = chat()
    first = model.invoke("How do I activate my new card?")
    again = model.invoke("How do I activate my new card?")
    reworded = chat().invoke("How can I activate my new card?")
    assert len(server.requests) == 1
    assert first.content == again.content == reworded.content
    assert "cache_hit" not in first.response_metadata
    assert again.response_metadata["cache_hit"]["tier"] == "exact"
    assert reworded.response_metadata["cache_hit"]["tier"] == "semantic"


async def test_a_models_own_cache_answers_asynchronous_repeats(
    server: FakeOpenAI, chat: Chat
) -> None:
    cache = HybridCache()
    model = chat(cache=cache, http_client=None)
    await model.ainvoke("Hi there")
    assert (await model.ainvoke("Hi there")).response_metadata["cache_hit"]
    assert len(server.requests) == 1
    assert cache.stats.hits == {"exact": 1}


def test_other_settings_of_a_call_are_part_of_the_key(server: FakeOpenAI, chat: Chat) -> None:
    cache = HybridCache()
    for settings in ({}, {"temperature": 0.5}, {"model": "gpt-4o"}, {"seed": 1}):
        chat(cache=cache, **settings).invoke("Hi there")
    chat(cache=cache).invoke("Hi there", stop=["x"])
    chat(cache=cache).bind(max_tokens=5).invoke("Hi there")
    assert len(server.requests) == 6


def test_a_history_with_other_ids_and_usage_is_the_same_history(
    server: FakeOpenAI, chat: Chat
) -> None:
    model = chat(cache=HybridCache())

    def turn(identifier: str, tokens: int) -> list[Any]:
        return [
            HumanMessage("Add.", id=f"h{identifier}"),
            AIMessage(
                "",
                id=f"a{identifier}",
                tool_calls=[{"name": "add", "args": {"a": 1}, "id": f"call_{identifier}"}],
                response_metadata={"id": identifier},
                usage_metadata={
                    "input_tokens": tokens,
                    "output_tokens": 1,
                    "total_tokens": tokens + 1,
                },
            ),
            ToolMessage("2", tool_call_id=f"call_{identifier}", id=f"t{identifier}"),
        ]

    model.invoke(turn("one", 1))
    assert model.invoke(turn("two", 2)).response_metadata["cache_hit"]
    assert model.invoke([*turn("one", 1)[:2], ToolMessage("3", tool_call_id="call_one")]).content
    assert len(server.requests) == 2


def test_a_conversation_with_hits_has_the_same_key(server: FakeOpenAI, chat: Chat) -> None:
    model = chat(cache=HybridCache())
    for _ in range(2):
        history: list[Any] = []
        for text in ("Hello", "What did I say?"):
            history += [HumanMessage(text)]
            history += [model.invoke(history)]
    assert len(server.requests) == 2


def test_hits_have_new_ids(server: FakeOpenAI, chat: Chat) -> None:
    server.reply = lambda body: {
        "tool_calls": [tool_call("f", {"id": "call_same"}, "call_same")],
    }
    model = chat(cache=HybridCache())
    answers = [model.invoke("Call it") for _ in range(3)]
    assert len({answer.id for answer in answers}) == 3
    assert len({answer.tool_calls[0]["id"] for answer in answers}) == 3
    for answer in answers:
        assert len(answer.tool_calls[0]["id"]) >= len("call_same")
        assert answer.tool_calls[0]["args"] == {"id": "call_same"}
        assert answer.tool_calls[0]["name"] == "f"


def test_all_generations_of_a_call_are_stored(server: FakeOpenAI, chat: Chat) -> None:
    model = chat(cache=HybridCache(), n=3)
    first = model.generate([[HumanMessage("Three times")]])
    again = model.generate([[HumanMessage("Three times")]])
    assert len(first.generations[0]) == len(again.generations[0]) == 3
    assert len(server.requests) == 1


def test_a_caller_that_changes_its_answer_does_not_change_the_cache(
    server: FakeOpenAI, chat: Chat
) -> None:
    model = chat(cache=HybridCache())
    for _ in range(3):
        answer = model.invoke("Hi there")
        assert answer.content == "answer to Hi there"
        assert "mine" not in answer.response_metadata
        assert "mine" not in answer.additional_kwargs
        answer.content = "changed"
        answer.response_metadata["mine"] = answer.additional_kwargs["mine"] = "x"
        if answer.usage_metadata:
            answer.usage_metadata["input_tokens"] = 0


class Capital(BaseModel):
    """A capital."""

    city: str


class CapitalDict(TypedDict):
    """A capital."""

    city: str


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Capital, CapitalDict, Capital.model_json_schema()])
def test_structured_output_is_served_unchanged(
    server: FakeOpenAI, chat: Chat, method: str, schema: Any
) -> None:
    def reply(body: dict[str, Any]) -> Any:
        if body.get("tools"):
            name = body["tools"][0]["function"]["name"]
            return {"tool_calls": [tool_call(name, {"city": "Paris"}, "call_1")]}
        return json.dumps({"city": "Paris"})

    server.reply = reply
    model = chat(cache=HybridCache()).with_structured_output(schema, method=method)
    answers = [model.invoke("The capital of France as JSON?") for _ in range(2)]
    wanted = Capital(city="Paris") if schema is Capital else {"city": "Paris"}
    assert answers == [wanted, wanted]
    assert len(server.requests) == 1


def _made(fields: dict[str, type]) -> type[BaseModel]:
    class Local(BaseModel):
        __annotations__ = fields

    return Local


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_two_local_schemas_with_one_name_never_share(
    server: FakeOpenAI, chat: Chat, method: str
) -> None:
    server.reply = lambda body: (
        {"tool_calls": [tool_call("Local", dict.fromkeys(_properties(body), "x"), "call_1")]}
        if body.get("tools")
        else json.dumps(dict.fromkeys(_properties(body), "x"))
    )
    model = chat(cache=HybridCache())
    one, other = _made({"city": str}), _made({"country": str})
    for schema, field in ((one, "city"), (other, "country"), (one, "city")):
        answer = model.with_structured_output(schema, method=method).invoke("The capital?")
        assert answer.model_dump() == {field: "x"}
    assert len(server.requests) in (2, 3)


def _properties(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("tools"):
        return dict(body["tools"][0]["function"]["parameters"]["properties"])
    return dict(body["response_format"]["json_schema"]["schema"]["properties"])


def test_a_schema_redefined_under_its_name_is_a_miss(
    server: FakeOpenAI, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A separate module, like the cells of a notebook.
    import sys
    import types

    module = types.ModuleType("a_notebook")
    monkeypatch.setitem(sys.modules, "a_notebook", module)
    cache = HybridCache()

    def defined(fields: str) -> Any:
        source = f"from pydantic import BaseModel\nclass Shape(BaseModel):\n    {fields}\n"
        exec(source, module.__dict__)
        return module.Shape

    lookups = []
    for fields in ("a: str", "a: str", "b: str"):
        shape = defined(fields)
        llm_string = f"model---[('response_format', {shape!r})]"
        lookups.append(cache.lookup("Give me one", llm_string) is not None)
        cache.update(
            "Give me one", llm_string, FakeListLLM(responses=["x"]).generate(["p"]).generations[0]
        )
    assert lookups == [False, True, False]


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "chat_models", "openai", "ChatOpenAI"],
                "kwargs": {"base_url": "http://127.0.0.1:1", "api_key": "x"},
            }
        ),
        json.dumps(
            [
                {
                    "lc": 1,
                    "type": "constructor",
                    "id": ["langchain", "chat_models", "openai", "ChatOpenAI"],
                    "kwargs": {"base_url": "http://127.0.0.1:1", "api_key": "x"},
                }
            ]
        ),
        json.dumps(
            [{"message": {"type": "human", "data": {"content": "I was human"}}, "info": {}}]
        ),
        json.dumps([{"message": {"type": "ai", "data": {"content": 17}}, "info": {}}]),
        json.dumps([{"message": {"type": "ai", "data": {"content": [17]}}, "info": {}}]),
        json.dumps([{"message": {"type": "ai", "data": {}}, "info": "text"}]),
        json.dumps([{"text": None, "info": None}]),
        "gASVIQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAlpZCA+IC9kZXY=",
        "[]",
        "null",
        "",
        "[" * 100_000,
    ],
)
def test_tampered_values_are_dropped_and_counted_and_never_built(
    server: FakeOpenAI, chat: Chat, tmp_path: Path, payload: str
) -> None:
    path = tmp_path / "cache.sqlite"
    cache = HybridCache(path=path)
    model = chat(cache=cache)
    model.invoke("Hi there")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE entries SET payload = ?", (payload,))
    assert model.invoke("Hi there").content == "answer to Hi there"
    assert cache.stats.troubles == {"poisoned entry dropped": 1}
    assert model.invoke("Hi there").response_metadata["cache_hit"]
    assert len(server.requests) == 2
    cache.close()


def test_no_secret_and_no_header_is_stored(server: FakeOpenAI, chat: Chat, tmp_path: Path) -> None:
    cache = HybridCache(path=tmp_path / "cache.sqlite")
    chat(cache=cache, include_response_headers=True).invoke("Hi there")
    cache.close()
    raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"answer to Hi there" in raw
    assert b"sk-secret" not in raw
    assert b"do-not-keep-this" not in raw


def test_an_answer_that_cannot_be_stored_is_still_returned(
    server: FakeOpenAI, chat: Chat, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    model = chat(cache=HybridCache(path=tmp_path / "file" / "answers.sqlite"))
    assert model.invoke("Hi there").content == "answer to Hi there"
    assert model.invoke("Hi there").content == "answer to Hi there"
    assert len([r for r in caplog.records if r.name.startswith("llm_optimizers")]) == 1


@pytest.mark.parametrize("method", ["lookup", "update"])
def test_no_prompt_and_no_settings_make_the_cache_raise(method: str) -> None:
    cache = HybridCache()
    for prompt in ("", "[", "[1]", "[{}]", "[" * 100_000, '[{"id": [], "kwargs": {}}]', "\ud83d"):
        for llm_string in ("", "---", "x---[('a', <function f at 0x7f00aa>)]", "<class 'no.Such'>"):
            if method == "lookup":
                assert cache.lookup(prompt, llm_string) is None
            else:
                cache.update(prompt, llm_string, [])


def test_cut_off_refused_and_empty_answers_are_not_stored(server: FakeOpenAI, chat: Chat) -> None:
    cache = HybridCache()
    model = chat(cache=cache)
    server.finish_reason = "length"
    model.invoke("One")
    server.finish_reason = None
    server.reply = lambda body: {"refusal": "I will not"}
    model.invoke("Two")
    server.reply = lambda body: " "
    model.invoke("Three")
    assert len(cache) == 0
    assert cache.stats.troubles == {"not admitted": 3}


def test_an_error_is_raised_unchanged_and_not_stored(server: FakeOpenAI, chat: Chat) -> None:
    import openai

    cache = HybridCache()
    server.failures.append(429)
    model = chat(cache=cache)
    with pytest.raises(openai.RateLimitError):
        model.invoke("Hi there")
    assert len(cache) == 0
    assert model.invoke("Hi there").content == "answer to Hi there"


current: ContextVar[str] = ContextVar("current", default="")


def _from_config() -> str:
    config = var_child_runnable_config.get() or {}
    return str((config.get("metadata") or {}).get("user", ""))


def test_tenants_never_get_each_others_answers(server: FakeOpenAI, chat: Chat) -> None:
    server.reply = lambda body: f"answer {len(server.requests)}"
    shared = HybridCache()
    models = {name: chat(cache=HybridCache(namespace=name)) for name in ("ann", "bob")}
    blocks = []
    for name in ("ann", "bob", "ann", "bob"):
        with tenant(name):
            blocks.append(chat(cache=shared).invoke("Hi there").content)
    assert blocks[:2] == blocks[2:]
    assert blocks[0] != blocks[1]
    assert models["ann"].invoke("Hi there").content != models["bob"].invoke("Hi there").content


def test_a_namespace_function_reads_the_running_chain(server: FakeOpenAI, chat: Chat) -> None:
    from langchain_core.prompts import ChatPromptTemplate

    cache = HybridCache(namespace=_from_config)
    chain = ChatPromptTemplate.from_template("{q}") | chat(cache=cache)
    for user in ("ann", "bob", "ann"):
        chain.invoke({"q": "Hi there"}, config={"metadata": {"user": user}})
    assert len(server.requests) == 2


def test_a_failing_namespace_bypasses_the_cache(
    server: FakeOpenAI, chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    cache = HybridCache(namespace=lambda: {}["missing"])
    model = chat(cache=cache)
    for _ in range(2):
        assert model.invoke("Hi there").content == "answer to Hi there"
    assert len(server.requests) == 2
    assert len(cache) == 0
    assert "bypassed" in caplog.text


async def test_entries_of_one_tenant_can_be_cleared(server: FakeOpenAI, chat: Chat) -> None:
    cache = HybridCache()
    for name in ("ann", "bob"):
        with tenant(name):
            chat(cache=cache).invoke("Hi there")
    await cache.aclear(tenant="ann")
    assert len(cache) == 1
    cache.clear()
    assert len(cache) == 0


def test_an_empty_cache_is_true() -> None:
    """Older releases of langchain-core take a cache that is false for no cache."""
    cache = HybridCache()
    assert len(cache) == 0
    assert cache


def test_a_completion_models_repeats_are_served_and_counted() -> None:
    ledger = Ledger()
    model = FakeListLLM(responses=["one", "two"], cache=HybridCache(ledger=ledger))
    assert [model.invoke("Say something nice") for _ in range(2)] == ["one", "one"]
    assert ledger.summary().hits == 1


@pytest.mark.parametrize(
    "payload",
    [
        '[{"message": {"type": "ai", "data": {"content": "a chat message"}}, "info": null}]',
        '[{"text": "one", "info": null},'
        ' {"message": {"type": "ai", "data": {"content": "a chat message"}}, "info": null}]',
    ],
)
def test_a_chat_message_under_a_completions_key_is_dropped(tmp_path: Path, payload: str) -> None:
    path = tmp_path / "cache.sqlite"
    cache = HybridCache(path=path)
    model = FakeListLLM(responses=["one", "two"], cache=cache)
    assert model.invoke("Say something nice") == "one"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE entries SET payload = ?", (payload,))
    assert [model.invoke("Say something nice") for _ in range(2)] == ["two", "two"]
    assert cache.stats.troubles == {"poisoned entry dropped": 1}
    cache.close()


def test_a_message_that_cannot_be_serialised_is_part_of_a_chat() -> None:
    from langchain_core.load import dumps

    class Odd(HumanMessage):
        @classmethod
        def is_lc_serializable(cls) -> bool:
            return False

    prompt = dumps([Odd("Hi there")])
    cache = HybridCache()
    cache.update(prompt, "model", [ChatGeneration(message=AIMessage("fine"))])
    assert cache.lookup(prompt, "model") is not None


def test_conversations_in_an_unknown_format_are_matched_exactly() -> None:
    from langchain_core.load import dumps
    from langchain_core.messages import ChatMessage

    cache = HybridCache()
    prompts = [
        dumps([ChatMessage(role="critic", content=f"Review the {what} in this text for me please")])
        for what in ("style", "styles")
    ]
    cache.update(prompts[0], "model", [ChatGeneration(message=AIMessage("fine"))])
    assert cache.lookup(prompts[0], "model") is not None
    assert cache.lookup(prompts[1], "model") is None
