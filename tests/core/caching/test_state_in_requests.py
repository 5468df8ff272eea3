"""Requests that refer to state at the provider: never cached, or served for themselves only."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm_optimizers.caching import Cacheability, ResponseCache
from llm_optimizers.caching.answers.ids import ServedIds
from llm_optimizers.caching.keys import CacheKey, cache_key
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest

QUESTION = "How do I activate my new card?"
PARAPHRASE = "how to activate my new card"


def request_for(*messages: Any, **params: Any) -> ChatRequest:
    turns = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    return ChatRequest.from_openai({"messages": turns, **params})


def key(*messages: Any, **params: Any) -> CacheKey:
    return cache_key(request_for(*messages, **params))


def result(call: str, text: str = "5") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": text}


def thought(identifier: str, **fields: Any) -> dict[str, Any]:
    block = {"type": "reasoning", "id": identifier, "summary": [], **fields}
    return {"role": "assistant", "content": [block, {"type": "text", "text": "Done."}]}


class IdsCodec:
    """Answers with the ids that are asked for."""

    def encode(self, value: Any) -> str:
        return json.dumps(value)

    def decode(self, payload: str) -> Any:
        return self.decode_with_ids(payload, "renewed")

    def decode_with_ids(self, payload: str, ids: ServedIds) -> Any:
        return f"{json.loads(payload)}, ids {ids}"

    def cacheability(self, value: Any) -> Cacheability:
        return Cacheability()


class PlainCodec:
    """A user's codec, which knows of no ids."""

    def encode(self, value: Any) -> str:
        return str(value)

    def decode(self, payload: str) -> Any:
        return payload

    def cacheability(self, value: Any) -> Cacheability:
        return Cacheability()


def test_moving_state_has_no_key() -> None:
    with pytest.raises(ConfigurationError, match="conversation refers to state at the provider"):
        key(QUESTION, conversation="conv_1")


def test_moving_state_is_bypassed_and_counted() -> None:
    cache: ResponseCache[str] = ResponseCache()
    request = request_for(QUESTION, conversation="conv_1")
    answers = iter("abc")
    assert [cache.answer(request, lambda: next(answers)).value for _ in "abc"] == ["a", "b", "c"]
    cache.update(request, "d")
    assert cache.lookup(request) is None
    assert cache.stats.troubles == {"bypassed": 5}
    assert len(cache) == 0


def test_moving_state_is_not_shared_between_threads() -> None:
    cache: ResponseCache[int] = ResponseCache()
    together = threading.Barrier(3, timeout=30)
    with ThreadPoolExecutor(3) as pool:
        request = request_for(QUESTION, background=True)
        made = [pool.submit(cache.answer, request, together.wait) for _ in range(3)]
    assert sorted(each.result().value for each in made) == [0, 1, 2]


@pytest.mark.parametrize(
    "params",
    [
        {"previous_response_id": "resp_1"},
        {"cached_content": "cachedContents/1"},
        {"extra_body": {"prompt": {"id": "pmpt_1"}}},
        {"tools": [{"type": "web_search"}]},
    ],
    ids=str,
)
def test_fixed_state_is_matched_exactly_only(params: dict[str, Any]) -> None:
    one = key(QUESTION, **params)
    assert one == key(QUESTION, **params)
    assert one.question is None
    assert one.normalised is None
    assert one.exact != key(QUESTION).exact


def test_a_reference_in_the_history_is_matched_exactly_only() -> None:
    one = key("Think of a number.", thought("rs_1"), "What was it?")
    assert one.question is None
    assert one.normalised is None
    assert one.exact != key("Think of a number.", thought("rs_2"), "What was it?").exact


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "source_type": "id"},
        {"type": "image", "mime_type": "image/png"},
        {"type": "search_result", "title": "Refunds", "content": "Within 30 days."},
        {"customer": "Ann"},
    ],
    ids=str,
)
def test_the_id_of_what_a_tool_returned_is_part_of_the_key(block: dict[str, Any]) -> None:
    def after(identifier: str) -> CacheKey:
        return key(QUESTION, {**result("call_1"), "content": [{**block, "id": identifier}]})

    assert after("file-1").exact != after("file-2").exact


def test_an_id_that_is_made_up_for_a_tool_s_block_is_in_no_key() -> None:
    def after(call: str, identifier: str) -> CacheKey:
        block = {"type": "text", "text": "5", "id": identifier}
        return key(QUESTION, {**result(call), "content": [block]})

    assert after("call_1", "lc_1") == after("call_2", "lc_2")


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_file_in_the_history_is_matched_exactly_only(role: str) -> None:
    def after(identifier: str) -> CacheKey:
        file = {"role": role, "content": [{"type": "file", "file": {"file_id": identifier}}]}
        return key(file, "What is it about?")

    assert after("file-1").question is None
    assert after("file-1").normalised is None
    assert after("file-1").exact != after("file-2").exact


def test_reasoning_that_holds_its_content_is_known_by_it() -> None:
    def after(identifier: str, content: str) -> CacheKey:
        return key("Hi", thought(identifier, encrypted_content=content), "What was it?")

    assert after("rs_1", "x") == after("rs_2", "x")
    assert after("rs_1", "x").exact != after("rs_1", "y").exact
    assert after("rs_1", "x").question == "What was it?"


def test_ids_of_calls_count_where_the_calls_lie_at_the_provider() -> None:
    """Without the calls in the history only their ids say which result is whose."""

    def after(*results: dict[str, Any], **params: Any) -> str:
        return key(*results, previous_response_id="resp_1", **params).exact

    assert after(result("call_a")) != after(result("call_b"))
    one = after(result("call_a", "5"), result("call_b", "6"))
    assert one != after(result("call_b", "5"), result("call_a", "6"))
    assert key(result("call_a")) == key(result("call_b"))


def test_only_a_request_that_goes_on_from_a_response_keeps_ids() -> None:
    assert key(QUESTION, previous_response_id="resp_1").keeps_ids
    assert not key(QUESTION, cached_content="c").keeps_ids
    assert not key(QUESTION).keeps_ids


def test_a_hit_has_the_ids_that_its_tier_and_age_allow() -> None:
    now = [0.0]
    cache: ResponseCache[str] = ResponseCache(codec=IdsCodec(), clock=lambda: now[0])
    continued = request_for(QUESTION, previous_response_id="resp_1")

    def ask(request: ChatRequest) -> str:
        return cache.answer(request, lambda: "answer").value

    assert [ask(request_for(QUESTION)), ask(continued)] == ["answer", "answer"]
    assert ask(request_for(QUESTION)) == "answer, ids renewed"
    assert ask(request_for(QUESTION.upper())) == "answer, ids detached"
    assert ask(request_for(PARAPHRASE)) == "answer, ids detached"
    assert ask(continued) == "answer, ids kept"
    now[0] = 30 * 24 * 3600.0
    assert ask(request_for(QUESTION)) == "answer, ids detached"
    assert ask(continued) == "answer, ids kept"


def test_a_waiting_caller_gets_the_ids_of_an_exact_hit() -> None:
    cache: ResponseCache[str] = ResponseCache(codec=IdsCodec())
    started, go_on = threading.Event(), threading.Event()

    def lead() -> str:
        started.set()
        assert go_on.wait(30)
        return "answer"

    request = request_for(QUESTION, previous_response_id="resp_1")
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(cache.answer, request, lead)
        assert started.wait(30)
        waiter = pool.submit(cache.answer, request, lead)
        go_on.set()
        assert leader.result().value == "answer"
        assert waiter.result().value == "answer, ids kept"


def test_a_codec_without_ids_still_works() -> None:
    cache: ResponseCache[str] = ResponseCache(codec=PlainCodec())
    request = request_for(QUESTION, previous_response_id="resp_1")
    assert [cache.answer(request, lambda: "answer").value for _ in "ab"] == ["answer", "answer"]
    assert cache.stats.hits == {"exact": 1}
