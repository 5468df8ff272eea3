"""Long conversations: the latest messages as they were, the earlier ones as summaries.

History is folded in stretches, each summarised once and never touched again, so that what
stands before the newest summary stays a prefix the provider has cached. System messages stay, a
tool call is never parted from its results, and a summariser that fails leaves everything whole.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm_optimizers.connections.lru import LRUCache
from llm_optimizers.costs.context import CallContext, call_scope
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.text import sentences, topical_terms
from llm_optimizers.types import Message

__all__ = ["History", "Summariser", "extractive_summary", "first_message", "safe_cuts"]

_log = logging.getLogger(__name__)
_LONGEST_LINE = 400
_HEADING = "Earlier in this conversation:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summariser:
    """A cheap model that summarises: `call` takes the prompt and returns the summary.

    `model` prices it, so that a summary which costs more than it saves is never made.
    """

    model: str
    call: Callable[[str], str]


class History:
    """How a conversation is shortened.

    Args:
        keep: The latest messages that stay word for word; a few more where a tool call would be
            parted or a summary would be made for too little.
        every: The fewest messages worth a summary.
        summary_tokens: The longest a summary may be.
        summariser: A model to write summaries; None picks the telling sentences out.
        remembered: Summaries kept in memory, so that the same stretch is summarised once.

    Raises:
        ConfigurationError: a number is below one.
    """

    def __init__(
        self,
        *,
        keep: int = 5,
        every: int = 6,
        summary_tokens: int = 200,
        summariser: Summariser | None = None,
        remembered: int = 1_000,
    ) -> None:
        if min(keep, every, summary_tokens, remembered) < 1:
            raise ConfigurationError("give `keep`, `every`, `summary_tokens` and so on 1 or more")
        self.keep = keep
        self.every = every
        self.summary_tokens = summary_tokens
        self.summariser = summariser
        self._summaries: LRUCache[bytes, str] = LRUCache(remembered)

    def stretch(self, messages: Sequence[Message], last: int, count: int) -> range | None:
        """The next messages to fold when `count` are sent and all before `last` are folded."""
        start = max(last, first_message(messages))
        limit = count - self.keep
        every_cut = safe_cuts(messages[:count])
        while limit - start >= self.every:
            # A system message in between stays: a stretch ends before it or begins after it.
            system = next((at for at in range(start, limit) if messages[at].role == "system"), None)
            cuts = [c for c in every_cut if start < c <= (system or limit)]
            openings = [c for c in cuts if messages[c].role == "user"]
            end = system if system in cuts else max(openings or cuts, default=start)
            if end - start >= self.every:
                return range(start, end)
            if system is None:
                return None
            start = next((c for c in every_cut if c > system), limit)
        return None

    def summary(
        self, messages: Sequence[Message], counter: TokenCounter, model: str
    ) -> Message | None:
        """One system message in place of these; None when none could be made that fits."""
        key = _digest(messages)
        text = self._summaries.get(key)
        if text is None:
            text = self._made(messages, counter, model)
            if text is None:
                return None
            self._summaries.put(key, text)
        return Message(role="system", content=_HEADING + text)

    def _made(self, messages: Sequence[Message], counter: TokenCounter, model: str) -> str | None:
        room = self.summary_tokens - counter.count(_HEADING, model).tokens
        if self.summariser is None:
            return (
                extractive_summary(messages, max_tokens=room, counter=counter, model=model) or None
            )
        try:
            with call_scope(CallContext(role="summary")):
                text = self.summariser.call(_request(messages, room)).strip()
        except Exception as error:  # noqa: BLE001 - whatever the user's model raises, history stays
            _log.warning(
                "The summariser failed (%s); the history stays whole.", type(error).__name__
            )
            return None
        if not text or counter.count(text, model).tokens > room:
            _log.warning(
                "The summary is %s; the history stays whole.",
                f"longer than {room} tokens" if text else "empty",
            )
            return None
        return text


def first_message(messages: Sequence[Message]) -> int:
    """The index of the first message that is no system message."""
    return next((at for at, m in enumerate(messages) if m.role != "system"), len(messages))


def safe_cuts(messages: Sequence[Message]) -> list[int]:
    """Before which messages a conversation may be cut: never between a call and its result.

    A call that still waits for its result holds everything after it together.
    """
    answered: dict[str, int] = {}
    for at, message in enumerate(messages):
        if message.tool_call_id is not None:
            answered[message.tool_call_id] = at
    cuts, open_until = [], -1
    for at, message in enumerate(messages):
        if at > open_until and message.role != "tool":
            cuts.append(at)
        for call in message.tool_calls:
            open_until = max(open_until, answered.get(call.id, len(messages)))
    return cuts


def extractive_summary(
    messages: Sequence[Message], *, max_tokens: int, counter: TokenCounter, model: str
) -> str:
    """The most telling sentences of a conversation, in order and marked by who said them.

    A sentence tells much when its words run through the conversation (the sum of its words'
    logarithmic counts over the root of its length); what users said counts double.
    """
    said: list[tuple[int, str, list[str]]] = []
    for at, message in enumerate(messages):
        for sentence in sentences(message.text):
            words = topical_terms(sentence)
            if words:
                said.append((at, " ".join(sentence.split())[:_LONGEST_LINE], words))
    counts = Counter(word for _, _, words in said for word in words)

    def telling(entry: tuple[int, str, list[str]]) -> float:
        at, _, words = entry
        weight = 2.0 if messages[at].role == "user" else 1.0
        return weight * sum(math.sqrt(counts[w]) for w in set(words)) / math.sqrt(3 + len(words))

    chosen: list[int] = []
    left = max_tokens
    for place in sorted(range(len(said)), key=lambda p: (-telling(said[p]), p)):
        cost = counter.count(_line(messages[said[place][0]], said[place][1]), model).tokens + 1
        if cost <= left:
            chosen.append(place)
            left -= cost
    return "\n".join(_line(messages[said[p][0]], said[p][1]) for p in sorted(chosen))


def _line(message: Message, sentence: str) -> str:
    return f"{message.role}: {sentence}"


def _request(messages: Sequence[Message], max_tokens: int) -> str:
    spoken = "\n".join(
        f"{m.role}: {m.text}" + "".join(f" [calls {c.name} {c.arguments}]" for c in m.tool_calls)
        for m in messages
    )
    return (
        f"Summarise this part of a conversation in at most {max_tokens * 3 // 4} words. Keep "
        "names, numbers, decisions, open questions and what the user wants; leave out courtesies."
        f"\n\n{spoken}"
    )


def _digest(messages: Sequence[Message]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for message in messages:
        digest.update(repr(message).encode("utf-8", "surrogatepass"))
    return digest.digest()
