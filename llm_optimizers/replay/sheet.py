"""What the recorded provider answers, and what the real one would have counted for it.

The answers are the log's, the token counts are tiktoken's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from llm_optimizers.prompts import TokenCount, TokenCounter
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.types import ChatRequest

__all__ = ["AnswerSheet", "Reply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer and what OpenAI would count for it."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class AnswerSheet:
    """The log's answers, by request.

    A model of `cheap_models` gives the log's cheap answer where it has one; a request that lost
    the words its answer rests on gets none. Where the log has no
    answer at all a placeholder of `assumed_tokens` tokens stands in, which names the answer's
    class. `estimated` tells whether any count was not the model's own tokeniser's.
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

    def answer(self, request: ChatRequest, replay_id: str | None) -> Reply | None:
        """The log's answer to a request, None if the log has no such request."""
        logged = self._by_id.get(replay_id or "") or self._by_messages.get(_fingerprint(request))
        if logged is None:
            return None
        cheap = request.model in self._cheap_models and not logged.cheap_correct
        text = logged.cheap_response if cheap and logged.cheap_response else logged.response
        if not any(logged.evidence in message.text for message in request.messages):
            text = "The context does not say."
        prompt = self._count(self._counter.count_request(request))
        if text is None:
            text = f"[no answer in the log for {logged.answer_class or logged.id}]"
            return Reply(text=text, prompt_tokens=prompt, completion_tokens=self._assumed_tokens)
        tokens = self._count(self._counter.count(text, request.model))
        return Reply(text=text, prompt_tokens=prompt, completion_tokens=tokens)

    def _count(self, count: TokenCount) -> int:
        self.estimated = self.estimated or not count.exact
        return count.tokens


def _fingerprint(request: ChatRequest) -> str:
    text = json.dumps([message.to_openai() for message in request.messages], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
