"""The answers of a recorded provider, with the token counts that the real one would bill.

The server takes its answers from an `AnsweringRule`. `LoggedAnswers` is the rule of
`llm-optimizers demo` and `replay`: it answers from a log and counts tokens with tiktoken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from llm_optimizers.prompts import TokenCount, TokenCounter
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.types import ChatRequest

__all__ = ["AnsweringRule", "LoggedAnswers", "RecordedAnswer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """An answer with its token counts; `cut` if `max_tokens` ended it."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cut: bool = False


class AnsweringRule(Protocol):
    """Answers requests in place of a model; called from several threads at once."""

    def answer(self, request: ChatRequest, request_id: str | None) -> RecordedAnswer | None:
        """Return the answer to a request, None if there is none.

        `request_id` is the value of the request's `REPLAY_ID`, None if it has none.
        """


class LoggedAnswers:
    """Answers from a log, found by request id or by messages.

    A model of `cheap_models` gives the cheap model's answer where the log has one. A request whose
    `evidence` was cut out of the prompt is answered "The context does not say.". Where the log has
    no answer, a placeholder of `assumed_tokens` tokens is returned. `estimated` is True once a
    token count did not come from the model's own tokeniser.
    """

    def __init__(
        self,
        requests: Iterable[LoggedRequest],
        counter: TokenCounter,
        *,
        cheap_models: frozenset[str] = frozenset(),
        assumed_tokens: int = 150,
    ) -> None:
        self._counter = counter
        self._cheap_models = cheap_models
        self._assumed_tokens = assumed_tokens
        self.estimated = False
        self._by_id: dict[str, LoggedRequest] = {}
        self._by_messages: dict[str, LoggedRequest] = {}
        for logged in requests:
            self._by_id[logged.id] = logged
            self._by_messages.setdefault(_fingerprint(logged.request), logged)

    def answer(self, request: ChatRequest, request_id: str | None) -> RecordedAnswer | None:
        """See `AnsweringRule.answer`."""
        logged = self._by_id.get(request_id or "") or self._by_messages.get(_fingerprint(request))
        if logged is None:
            return None
        cheap = request.model in self._cheap_models and not logged.cheap_correct
        text = logged.cheap_response if cheap and logged.cheap_response else logged.response
        if not any(logged.evidence in message.text for message in request.messages):
            text = "The context does not say."
        prompt = self._count(self._counter.count_request(request))
        if text is None:
            text = f"[no answer in the log for {logged.answer_class or logged.id}]"
            return RecordedAnswer(
                text=text, prompt_tokens=prompt, completion_tokens=self._assumed_tokens
            )
        tokens = self._count(self._counter.count(text, request.model))
        return RecordedAnswer(text=text, prompt_tokens=prompt, completion_tokens=tokens)

    def _count(self, count: TokenCount) -> int:
        self.estimated = self.estimated or not count.exact
        return count.tokens


def _fingerprint(request: ChatRequest) -> str:
    text = json.dumps([message.to_openai() for message in request.messages], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
