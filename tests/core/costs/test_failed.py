"""What of a failed call is billed, read from its error."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion

from llm_optimizers.costs import Usage
from llm_optimizers.costs.failed import Failure

REQUEST = httpx.Request("POST", "http://localhost/v1/chat/completions")
COUNTS = {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "length",
            "message": {"role": "assistant", "content": '{"a": 1'},
        }
    ],
    "usage": COUNTS,
}
BILLED = ("answered", "gpt-4o-2024-08-06", Usage(input_tokens=50, output_tokens=9))
NOTHING = ("unsent", "", None)


def facts(error: BaseException | None, *, received: bool = False) -> tuple[str, str, Usage | None]:
    failure = Failure.of(error, received=received)
    return failure.progress, failure.reported.model, failure.reported.usage


def with_response(response: object) -> Exception:
    error = ValueError("it does not fit")
    error.response = response  # type: ignore[attr-defined]  # as langchain-openai does
    return error


def test_an_answer_that_was_cut_off_is_billed_whole() -> None:
    completion = ChatCompletion.model_validate(ANSWER)
    assert facts(openai.LengthFinishReasonError(completion=completion)) == BILLED


def test_an_answer_that_does_not_fit_its_class_is_billed_whole() -> None:
    assert facts(with_response(httpx.Response(200, json=ANSWER, request=REQUEST))) == BILLED


def test_an_answer_without_usage_is_to_be_counted() -> None:
    body = {**ANSWER, "usage": None}
    found = facts(with_response(httpx.Response(200, json=body, request=REQUEST)))
    assert found == ("answered", "gpt-4o-2024-08-06", None)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, json=ANSWER, request=REQUEST),
        httpx.Response(200, json={"error": {"code": 502}}, request=REQUEST),
        httpx.Response(200, text="data: {}", request=REQUEST),
        httpx.Response(200, json=["no", "answer"], request=REQUEST),
        None,
        "a text",
    ],
    ids=["failed", "error_in_it", "stream", "list", "none", "text"],
)
def test_other_responses_are_no_answers(response: object) -> None:
    assert facts(with_response(response)) == NOTHING
    assert facts(with_response(response), received=True)[0] == "sent"


@pytest.mark.parametrize(
    ("error", "progress"),
    [
        (TimeoutError(), "sent"),
        (openai.APITimeoutError(request=REQUEST), "sent"),
        (httpx.ConnectTimeout("no"), "unsent"),
        (httpx.ConnectError("no"), "unsent"),
        (ConnectionError("reset"), "unsent"),
        (asyncio.CancelledError(), "unsent"),
        (None, "unsent"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_only_a_call_that_was_sent_is_billed(error: Any, progress: str) -> None:
    assert facts(error) == (progress, "", None)


def test_an_earlier_error_is_not_billed_again() -> None:
    """A fallback fails while the first model's error is handled."""
    error = ValueError()
    error.__context__ = openai.LengthFinishReasonError(
        completion=ChatCompletion.model_validate(ANSWER)
    )
    assert facts(error) == NOTHING
