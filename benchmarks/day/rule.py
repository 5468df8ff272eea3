"""The recorded provider's rule for the day: which word answers a request as it was sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from day.traffic import CHEAP, Request
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.answers import RecordedAnswer
from llm_optimizers.types import ChatRequest

NOT_FOUND, CUT_OFF = "not", "cut-off"
CONTEXT_CHARACTERS = 25
"""Characters on each side of an answer that must be in what was sent."""

_QUESTION = "\n\nQuestion: "
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s")
_LIMITS = ("max_tokens", "max_completion_tokens")


class DayRule:
    """Answers a request with the model's recorded word if everything the answer needs was sent.

    Every answer contains the id of its request, so that a reply served to another request is
    recognised. With `assumed` the cheap model gives its assumed answers.
    """

    def __init__(self, requests: Iterable[Request], *, assumed: bool) -> None:
        self._requests = {request.id: request for request in requests}
        self._assumed = assumed
        self._counter = TokenCounter()
        self.unrecorded = 0
        """Requests that the cheap model answered without a recorded answer."""

    def answer(self, request: ChatRequest, request_id: str | None) -> RecordedAnswer | None:
        """See `AnsweringRule.answer`."""
        logged = self._requests.get(request_id or "")
        if logged is None:
            return None
        prompt = self._counter.count_request(request).tokens
        if not contains_needed(" ".join(message.text for message in request.messages), logged):
            text = f"{NOT_FOUND} found {logged.id}"
            return RecordedAnswer(text=text, prompt_tokens=prompt, completion_tokens=2)
        limit = min((request.params[name] for name in _LIMITS if name in request.params), default=0)
        if 0 < limit < logged.out:
            text = f"{CUT_OFF} {logged.id}"
            return RecordedAnswer(
                text=text, prompt_tokens=prompt, completion_tokens=limit, cut=True
            )
        if request.model == CHEAP and not logged.recorded:
            self.unrecorded += 1
        word = logged.word(request.model, assumed=self._assumed)
        text = f"{word} {logged.id} {filler(logged)}".strip()
        return RecordedAnswer(text=text, prompt_tokens=prompt, completion_tokens=logged.out)


def contains_needed(sent: str, logged: Request) -> bool:
    """Return whether the text sent contains all that the answer needs, ignoring white space."""
    packed = _without_spaces(sent)
    if _without_spaces(logged.system) not in packed:
        return False
    if not logged.gold:
        return _without_spaces(logged.text) in packed
    question = logged.text.rpartition(_QUESTION)[2]
    return _without_spaces(question) in packed and any(
        _without_spaces(window) in packed for window in windows(logged.gold, logged.gold_answers)
    )


def windows(gold: str, answers: Iterable[str]) -> Iterable[str]:
    """Yield each occurrence of an answer in the passage, with the words around it."""
    ends = [match.end() for match in _SENTENCE_END.finditer(gold)]
    for answer in answers:
        for found in re.finditer(re.escape(answer), gold):
            before = [end for end in ends if end <= found.start()]
            after = [end for end in ends if end >= found.end()]
            low = max(found.start() - CONTEXT_CHARACTERS, before[-1] if before else 0, 0)
            high = min(found.end() + CONTEXT_CHARACTERS, after[0] if after else len(gold))
            yield gold[low:high]


def filler(logged: Request) -> str:
    """Return words that differ between requests; tokens are billed by `out`, not by these."""
    digest = hashlib.blake2b(logged.id.encode()).hexdigest()
    pieces = [digest[at : at + 4] for at in range(0, len(digest), 4)]
    return " ".join(pieces[at % len(pieces)] for at in range(max(0, logged.out // 3 - 4)))


def _without_spaces(text: str) -> str:
    return "".join(text.split())
