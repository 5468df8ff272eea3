"""`CachedLLM`: every call method, hits equal to the first answers, and what must not be stored."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from llama_index.core import PromptTemplate, Settings
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

from llama_index_llm_optimizers import CachedLLM, HybridCache
from llm_optimizers.caching import tenant
from llm_optimizers.errors import ConfigurationError
from support.llama_fakes import FakeLLM, PlainLLM

QUESTION = [ChatMessage("How do I reset my password?")]
PARAPHRASE = [ChatMessage("How can I reset my password?")]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def magic(a: int) -> int:
    """Do magic."""
    return a * 2


METHODS: dict[str, Callable[[CachedLLM], Any]] = {
    "chat": lambda llm: llm.chat(QUESTION).message.content,
    "achat": lambda llm: asyncio.run(llm.achat(QUESTION)).message.content,
    "stream_chat": lambda llm: "".join(c.delta or "" for c in llm.stream_chat(QUESTION)),
    "astream_chat": lambda llm: asyncio.run(_joined(llm.astream_chat(QUESTION))),
    "complete": lambda llm: llm.complete("How are you?").text,
    "acomplete": lambda llm: asyncio.run(llm.acomplete("How are you?")).text,
    "stream_complete": lambda llm: "".join(c.delta or "" for c in llm.stream_complete("How?")),
    "astream_complete": lambda llm: asyncio.run(_joined(llm.astream_complete("How?"))),
}


async def _joined(begin: Any) -> str:
    return "".join([chunk.delta or "" async for chunk in await begin])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_as_the_llm_and_then_from_the_cache(method: str) -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)
    expected = METHODS[method](FakeLLM())  # type: ignore[arg-type]
    assert [METHODS[method](cached), METHODS[method](cached)] == [expected, expected]
    assert len(inner.calls) == 1
    assert cached.cache.stats.hits == {"exact": 1}


def test_streams_and_whole_answers_serve_each_other() -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)
    whole = cached.chat(QUESTION)
    chunks = list(cached.stream_chat(QUESTION))
    assert len(chunks) > 1
    assert chunks[-1].message == whole.message
    assert "".join(chunk.delta or "" for chunk in chunks) == whole.message.content
    for before, after in itertools.pairwise(chunks):
        assert (after.message.content or "").startswith(before.message.content or "")
    other = CachedLLM(llm=inner)
    list(other.stream_chat(QUESTION))
    assert other.chat(QUESTION).message == whole.message
    assert other.chat(QUESTION).delta is None


def test_a_paraphrase_is_a_semantic_hit_and_says_so() -> None:
    cached = CachedLLM(llm=FakeLLM())
    first = cached.chat(QUESTION)
    assert "cache_hit" not in first.additional_kwargs
    second = cached.chat(PARAPHRASE)
    assert second.message == first.message
    assert second.raw is None
    mark = second.additional_kwargs["cache_hit"]
    assert mark["tier"] == "semantic"
    assert mark["usage"]["input_tokens"] == 10
    assert mark["model"] == "gpt-4o-mini"


def test_an_abandoned_stream_stores_nothing() -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)
    stream = cached.stream_chat(QUESTION)
    next(stream)
    stream.close()

    async def leave() -> None:
        chunks = await cached.astream_chat(QUESTION)
        await anext(chunks)
        await chunks.aclose()

    asyncio.run(leave())
    assert len(cached.cache) == 0
    cached.chat(QUESTION)
    assert len(inner.calls) == 3


def test_the_llms_settings_and_the_calls_are_part_of_the_key() -> None:
    cache = HybridCache()
    first, second = FakeLLM(), FakeLLM(temperature=1.0)
    CachedLLM(llm=first, cache=cache).chat(QUESTION)
    CachedLLM(llm=second, cache=cache).chat(QUESTION)
    CachedLLM(llm=first, cache=cache).chat(QUESTION, stop=["."])
    assert (len(first.calls), len(second.calls)) == (2, 1)
    CachedLLM(llm=FakeLLM(), cache=cache).chat(QUESTION)
    assert cache.stats.hits == {"exact": 1}


def test_tenants_never_share_even_when_a_stream_is_read_elsewhere() -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)
    with tenant("a"):
        stream = cached.stream_chat(QUESTION)
    list(stream)
    with tenant("b"):
        cached.chat(QUESTION)
    cached.chat(QUESTION)
    assert len(inner.calls) == 3
    with tenant("a"):
        cached.chat(QUESTION)
    assert len(inner.calls) == 3


def test_tools_are_in_the_inner_llms_format_and_part_of_the_key() -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)
    adding, doing = FunctionTool.from_defaults(add), FunctionTool.from_defaults(magic)
    first = cached.chat_with_tools([adding], "Do magic with 3 and 4")
    second = cached.chat_with_tools([adding], "Do magic with 3 and 4")
    other = cached.chat_with_tools([doing], "Do magic with 3 and 4")
    assert len(inner.calls) == 2
    calls = [cached.get_tool_calls_from_response(r)[0] for r in (first, second, other)]
    assert calls[0].tool_kwargs == calls[1].tool_kwargs == {"a": 3, "b": 4}
    assert [call.tool_name for call in calls] == ["add", "add", "magic"]
    # Providers reject two tool calls with the same id in one conversation.
    assert calls[0].tool_id != calls[1].tool_id
    assert calls[1].tool_id.startswith("call_")
    assert cached.predict_and_call([adding], "Do magic with 3 and 4").response == "7"


def test_a_history_with_cached_tool_calls_is_the_same_request() -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)
    tool = FunctionTool.from_defaults(add)
    for _ in range(2):
        asked = ChatMessage("Do magic with 3 and 4")
        response = cached.chat_with_tools([tool], asked)
        (call,) = cached.get_tool_calls_from_response(response)
        result = ChatMessage(
            role="tool", content="7", additional_kwargs={"tool_call_id": call.tool_id}
        )
        cached.chat_with_tools([tool], chat_history=[asked, response.message, result])
    assert len(inner.calls) == 2


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("program", ["default", "llm"])
def test_structured_output_of_the_inner_llm_is_cached(program: str) -> None:
    inner = FakeLLM(pydantic_program_mode=program, reply=lambda _: '{"name": "weather", "age": 4}')
    cached = CachedLLM(llm=inner)
    prompt = PromptTemplate("The magic weather of {year}")
    plain = FakeLLM(pydantic_program_mode=program, reply=inner.reply)
    expected = plain.structured_predict(Person, prompt, year=4)
    assert cached.structured_predict(Person, prompt, year=4) == expected
    assert asyncio.run(cached.astructured_predict(Person, prompt, year=4)) == expected
    assert cached.as_structured_llm(Person).complete("The magic weather of 4").raw == expected
    assert len(inner.calls) == 1


def test_prompt_settings_of_the_inner_llm_are_used() -> None:
    inner = FakeLLM(system_prompt="Be brief.")
    cached = CachedLLM(llm=inner)
    cached.predict(PromptTemplate("Say {x}"), x="hi")
    assert [m.content for m in inner.asked[0]] == ["Be brief.", "Say hi"]
    assert CachedLLM(llm=inner, system_prompt="Other").system_prompt == "Other"


def test_an_llm_without_tools_says_so_and_the_rest_works() -> None:
    cached = CachedLLM(llm=PlainLLM())
    assert not cached.metadata.is_function_calling_model
    with pytest.raises(ConfigurationError, match="PlainLLM cannot call tools"):
        cached.chat_with_tools([FunctionTool.from_defaults(add)], "Add 1 and 2")
    assert cached.complete("hi there").text == "plain: hi there"
    assert asyncio.run(cached.acomplete("hi there")).text == "plain: hi there"
    assert cached.cache.stats.hits == {"exact": 1}


def test_settings_callback_manager_reaches_the_inner_llm() -> None:
    inner = FakeLLM()
    Settings.callback_manager = manager = CallbackManager([])
    Settings.llm = CachedLLM(llm=CachedLLM(llm=inner))
    assert Settings.llm.callback_manager is manager
    assert inner.callback_manager is manager


def test_identical_concurrent_calls_are_one() -> None:
    inner = FakeLLM(delay=0.05)
    cached = CachedLLM(llm=inner)

    async def many() -> list[str | None]:
        answers = await asyncio.gather(*(cached.achat(QUESTION) for _ in range(10)))
        return [answer.message.content for answer in answers]

    assert len(set(asyncio.run(many()))) == 1
    assert len(inner.calls) == 1
    threads = [threading.Thread(target=cached.chat, args=(PARAPHRASE,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inner.calls) == 1


def test_a_failing_llm_fails_and_stores_nothing() -> None:
    inner = FakeLLM(fail=lambda _: TimeoutError("slow"))
    cached = CachedLLM(llm=inner)
    for method in METHODS.values():
        with pytest.raises(TimeoutError):
            method(cached)
    assert len(cached.cache) == 0


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_cut_off_answers_are_not_stored(reason: str) -> None:
    cached = CachedLLM(llm=FakeLLM(finish_reason=reason))
    cached.chat(QUESTION)
    list(cached.stream_chat(QUESTION))
    assert len(cached.cache) == 0


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat", "stream_complete"])
def test_a_stream_without_its_providers_finish_reason_is_not_stored(method: str) -> None:
    broken = CachedLLM(llm=FakeLLM(finish_reason=""))
    silent = CachedLLM(llm=FakeLLM(raw_of=lambda raw: {"model": raw["model"]}))
    for cached in (broken, silent):
        assert METHODS[method](cached)
    assert (len(broken.cache), len(silent.cache)) == (0, 1)
    broken.chat(QUESTION)  # whole answers without a finish reason are stored
    assert len(broken.cache) == 1


def test_answers_with_media_are_returned_but_not_stored() -> None:
    class Painter(FakeLLM):
        def _respond(self, messages: Any, kwargs: Any) -> Any:
            response = super()._respond(messages, kwargs)
            response.message.blocks.append(ImageBlock(url="https://example.com/x.png"))
            return response

    cached = CachedLLM(llm=Painter())
    assert len(cached.chat(QUESTION).message.blocks) == 2
    assert len(cached.cache) == 0


def test_different_images_have_different_keys(tmp_path: Any) -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)

    def look(block: ImageBlock) -> None:
        cached.chat([ChatMessage(blocks=[TextBlock(text="What is this?"), block])])

    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG one")
    look(ImageBlock(image=b"\x89PNG one"))
    look(ImageBlock(image=b"\x89PNG two"))
    look(ImageBlock(path=picture, image_mimetype="image/png"))
    picture.write_bytes(b"\x89PNG two")
    look(ImageBlock(path=picture, image_mimetype="image/png"))
    assert len(inner.calls) == 4
    look(ImageBlock(path=picture, image_mimetype="image/png"))
    assert len(inner.calls) == 4


def test_a_broken_cache_loses_no_answer(tmp_path: Any) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"no database at all" * 100)
    cached = CachedLLM(llm=FakeLLM(), cache=HybridCache(path=path))
    for method in METHODS.values():
        assert method(cached)


def test_a_setting_that_cannot_be_read_bypasses_the_cache() -> None:
    inner = FakeLLM()
    cached = CachedLLM(llm=inner)
    for _ in range(2):
        cached.chat(QUESTION, logit_bias=object())
        list(cached.stream_chat(QUESTION, logit_bias=object()))
    assert len(inner.calls) == 4
    assert cached.cache.stats.troubles == {"bypassed": 4}


def test_answers_outlive_the_process_without_raw(tmp_path: Any) -> None:
    path = tmp_path / "answers.sqlite"
    cache = HybridCache(path=path)
    first = CachedLLM(llm=FakeLLM(), cache=cache).chat(QUESTION)
    cache.close()
    assert b"choices" not in path.read_bytes()
    again = CachedLLM(llm=FakeLLM(), cache=HybridCache(path=path)).chat(QUESTION)
    assert again.message == first.message
    assert again.additional_kwargs["cache_hit"]["tier"] == "exact"


def test_served_answers_are_copies() -> None:
    cached = CachedLLM(llm=FakeLLM())
    cached.chat(QUESTION)
    served = cached.chat(QUESTION)
    served.message.blocks.append(ToolCallBlock(tool_name="x"))
    served.message.additional_kwargs["x"] = 1
    assert cached.chat(QUESTION).message == FakeLLM().chat(QUESTION).message


def test_a_stream_is_called_for_with_the_tags_of_its_caller() -> None:
    seen: list[Any] = []

    class Watching(FakeLLM):
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            from llama_index_instrumentation.dispatcher import active_instrument_tags

            seen.append(active_instrument_tags.get())
            return super().stream_chat(messages, **kwargs)

    cached = CachedLLM(llm=Watching())
    with instrument_tags({"user": "u1"}):
        stream = cached.stream_chat(QUESTION)
    list(stream)
    assert seen == [{"user": "u1"}]


def test_a_rate_limiter_slows_calls_and_not_hits() -> None:
    class Limiter:
        acquired = 0

        def acquire(self) -> None:
            self.acquired += 1

    limiter = Limiter()
    inner = FakeLLM()
    cached = CachedLLM(inner, rate_limiter=limiter)
    for _ in range(3):
        cached.chat(QUESTION)
    assert limiter.acquired == 1
    assert inner.rate_limiter is limiter


COMPLETING = {
    "complete": lambda llm: llm.complete("Hi there").text,
    "acomplete": lambda llm: asyncio.run(llm.acomplete("Hi there")).text,
    "stream_complete": lambda llm: "".join(c.delta or "" for c in llm.stream_complete("Hi there")),
}


@pytest.mark.parametrize("ask", COMPLETING.values(), ids=COMPLETING)
def test_a_chat_message_under_a_completions_key_is_dropped(tmp_path: Any, ask: Any) -> None:
    path = tmp_path / "cache.sqlite"
    cache = HybridCache(path=path)
    llm = CachedLLM(FakeLLM(reply=lambda _: "stored"), cache)
    llm.complete("Hi there")
    llm.chat([ChatMessage("Another one")])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            "UPDATE entries SET payload = (SELECT payload FROM entries ORDER BY sequence DESC)"
        )
    assert ask(CachedLLM(FakeLLM(reply=lambda _: "live"), cache)) == "live"
    assert cache.stats.troubles == {"poisoned entry dropped": 1}
    cache.close()
