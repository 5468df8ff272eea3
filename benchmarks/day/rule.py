"""The recorded provider's rule of the day: which word answers a request as it was sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from day.traffic import CHEAP, Request
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.replay.answers import RecordedAnswer
from llm_optimizers.types import ChatRequest

NOT_FOUND, CUT = "not", "cut-off"
AROUND = 25
"""Characters to either side of an answer that must still stand in what was sent."""

_QUESTION = "\n\nQuestion: "
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s")
_LIMITS = ("max_tokens", "max_completion_tokens")


class DayRule:
    """Answers a request with the asked model's word if everything it needs was sent.

    Every text names the request that it was given to, so that it can be traced from whichever
    request it was served to. With `assumed` the cheap model answers what it is assumed to.
    """

    def __init__(self, requests: Iterable[Request], *, assumed: bool) -> None:
        self._requests = {request.id: request for request in requests}
        self._assumed = assumed
        self._counter = TokenCounter()
        self.unrecorded = 0
        """Requests answered by the cheap model where nothing of it is recorded."""

    def answer(self, request: ChatRequest, request_id: str | None) -> RecordedAnswer | None:
        """See `AnsweringRule.answer`."""
        asked = self._requests.get(request_id or "")
        if asked is None:
            return None
        prompt = self._counter.count_request(request).tokens
        if not holds(" ".join(message.text for message in request.messages), asked):
            text = f"{NOT_FOUND} found {asked.id}"
            return RecordedAnswer(text=text, prompt_tokens=prompt, completion_tokens=2)
        limit = min((request.params[name] for name in _LIMITS if name in request.params), default=0)
        if 0 < limit < asked.out:
            text = f"{CUT} {asked.id}"
            return RecordedAnswer(
                text=text, prompt_tokens=prompt, completion_tokens=limit, cut=True
            )
        if request.model == CHEAP and not asked.recorded:
            self.unrecorded += 1
        word = asked.word(request.model, assumed=self._assumed)
        text = f"{word} {asked.id} {filler(asked)}".strip()
        return RecordedAnswer(text=text, prompt_tokens=prompt, completion_tokens=asked.out)


def holds(sent: str, asked: Request) -> bool:
    """Whether what was sent holds all that the answer needs, blanks apart."""
    packed = _packed(sent)
    if _packed(asked.system) not in packed:
        return False
    if not asked.gold:
        return _packed(asked.text) in packed
    question = asked.text.rpartition(_QUESTION)[2]
    return _packed(question) in packed and any(
        _packed(window) in packed for window in windows(asked.gold, asked.gold_answers)
    )


def windows(gold: str, answers: Iterable[str]) -> Iterable[str]:
    """Each place where an answer stands in the passage, with the words around it."""
    ends = [match.end() for match in _SENTENCE_END.finditer(gold)]
    for answer in answers:
        for found in re.finditer(re.escape(answer), gold):
            before = [end for end in ends if end <= found.start()]
            after = [end for end in ends if end >= found.end()]
            low = max(found.start() - AROUND, before[-1] if before else 0, 0)
            high = min(found.end() + AROUND, after[0] if after else len(gold))
            yield gold[low:high]


def filler(asked: Request) -> str:
    """Words that differ from request to request; tokens are billed by `out`, not by these."""
    digest = hashlib.blake2b(asked.id.encode()).hexdigest()
    pieces = [digest[at : at + 4] for at in range(0, len(digest), 4)]
    return " ".join(pieces[at % len(pieces)] for at in range(max(0, asked.out // 3 - 4)))


def _packed(text: str) -> str:
    return "".join(text.split())
