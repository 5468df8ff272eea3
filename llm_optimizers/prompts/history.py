"""Shorten long conversations: keep the latest messages, summarise the earlier ones.

Each part of the history is summarised once and its summary never changes, so everything before
the newest summary stays a prefix that the provider has cached. System messages stay, a tool call
is never separated from its results, and if a summariser fails the history is sent unchanged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llm_optimizers.arguments import function, instance, optional, text, whole
from llm_optimizers.connections.lru import LRUCache
from llm_optimizers.costs.context import CallContext, call_scope
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.events import Notice, emit
from llm_optimizers.fingerprint import digest
from llm_optimizers.pickling import PickledAsArguments
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.text import sentences, topical_terms
from llm_optimizers.types import Message

__all__ = ["History", "Summariser", "end_of_system", "extractive_summary", "safe_cuts"]

_LONGEST_LINE = 400
_MAX_BYTES = 2**24
_HEADING = "Earlier in this conversation:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summariser:
    """A cheap model that writes summaries: `call` takes the prompt and returns the summary.

    `model` is used to price it: no summary is written that costs more than it saves.
    """

    model: str
    call: Callable[[str], str]

    def __post_init__(self) -> None:
        text("model", self.model)
        function("call", self.call)


class History(PickledAsArguments):
    """Settings for shortening a conversation, and its summaries.

    Args:
        keep: How many of the latest messages stay word for word. More stay if a cut would
            separate a tool call from its result or leave too few messages for a summary.
        every: The fewest messages that a summary replaces.
        summary_tokens: The maximum length of a summary.
        summariser: A model that writes the summaries; None extracts the most relevant sentences.
        remembered: How many summaries to keep in memory (up to 16 MB), so that none is written
            twice.

    Raises:
        ConfigurationError: a number is below 1.
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
        self.keep = whole("keep", keep, least=1)
        self.every = whole("every", every, least=1)
        self.summary_tokens = whole("summary_tokens", summary_tokens, least=1)
        self.summariser = optional(instance, "summariser", summariser, Summariser)
        self._summaries: LRUCache[str, str] = LRUCache(
            whole("remembered", remembered, least=1),
            max_bytes=_MAX_BYTES,
            size=lambda _, text: 200 + 4 * len(text),
        )

    def state_beside_arguments(self) -> Mapping[str, object]:
        """See `PickledAsArguments`."""
        names = ("keep", "every", "summary_tokens", "summariser")
        return {name: getattr(self, name) for name in names}

    def __fingerprint__(self) -> object:
        """Its settings, for a cache's key; the summaries follow from them."""
        return (self.keep, self.every, self.summary_tokens, self.summariser)

    def next_range(self, messages: Sequence[Message], last: int, count: int) -> range | None:
        """Return the next messages to summarise, None if there are too few.

        `count` messages are sent, and those before `last` are summarised already.
        """
        start = max(last, end_of_system(messages))
        limit = count - self.keep
        all_cuts = safe_cuts(messages[:count])
        while limit - start >= self.every:
            # A system message in between stays: a summary ends before it or starts after it.
            system = next((at for at in range(start, limit) if messages[at].role == "system"), None)
            cuts = [c for c in all_cuts if start < c <= (system or limit)]
            before_user = [c for c in cuts if messages[c].role == "user"]
            end = system if system in cuts else max(before_user or cuts, default=start)
            if end - start >= self.every:
                return range(start, end)
            if system is None:
                return None
            start = next((c for c in all_cuts if c > system), limit)
        return None

    def summary(
        self, messages: Sequence[Message], counter: TokenCounter, model: str
    ) -> Message | None:
        """Return a system message that replaces these; None if no summary of them fits."""
        try:
            key = digest([message.to_openai() for message in messages])
        except ConfigurationError:
            return None  # A part cannot be read, so no summary could say what it was made of.
        text = self._summaries.get(key)
        if text is None:
            text = self._summarise(messages, counter, model)
            if text is None:
                return None
            self._summaries.put(key, text)
        return Message(role="system", content=_HEADING + text)

    def _summarise(
        self, messages: Sequence[Message], counter: TokenCounter, model: str
    ) -> str | None:
        room = self.summary_tokens - counter.count(_HEADING, model).tokens
        if self.summariser is None:
            return (
                extractive_summary(messages, max_tokens=room, counter=counter, model=model) or None
            )
        try:
            with call_scope(CallContext(role="summary")):
                text = self.summariser.call(_request(messages, room)).strip()
        except Exception as error:  # noqa: BLE001 - the user's model may raise anything
            name = type(error).__name__
            message = f"The summariser failed ({name}); the history is sent unchanged."
            emit(Notice(component=__name__, message=message))
            return None
        if not text or counter.count(text, model).tokens > room:
            found = f"longer than {room} tokens" if text else "empty"
            message = f"The summary is {found}; the history is sent unchanged."
            emit(Notice(component=__name__, message=message))
            return None
        return text


def end_of_system(messages: Sequence[Message]) -> int:
    """Return the index of the first message that is not a system message."""
    return next((at for at, m in enumerate(messages) if m.role != "system"), len(messages))


def safe_cuts(messages: Sequence[Message]) -> list[int]:
    """Return the indices before which a conversation may be cut.

    A cut never separates a tool call from its result, nor follows a call without a result.
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
    """Return the most relevant sentences of a conversation, in order, each with its role.

    A sentence's score is the sum of the square roots of its words' counts in the conversation,
    divided by the root of its length; users' sentences count double.
    """
    found: list[tuple[int, str, list[str]]] = []
    for at, message in enumerate(messages):
        for sentence in sentences(message.text):
            words = topical_terms(sentence)
            if words:
                found.append((at, " ".join(sentence.split())[:_LONGEST_LINE], words))
    counts = Counter(word for _, _, words in found for word in words)

    def score(entry: tuple[int, str, list[str]]) -> float:
        at, _, words = entry
        weight = 2.0 if messages[at].role == "user" else 1.0
        return weight * sum(math.sqrt(counts[w]) for w in set(words)) / math.sqrt(3 + len(words))

    chosen: list[int] = []
    left = max_tokens
    for place in sorted(range(len(found)), key=lambda p: (-score(found[p]), p)):
        at, sentence, _ = found[place]
        cost = counter.count(_line(messages[at], sentence), model).tokens + 1
        if cost <= left:
            chosen.append(place)
            left -= cost
    return "\n".join(_line(messages[found[p][0]], found[p][1]) for p in sorted(chosen))


def _line(message: Message, sentence: str) -> str:
    return f"{message.role}: {sentence}"


def _request(messages: Sequence[Message], max_tokens: int) -> str:
    transcript = "\n".join(
        f"{m.role}: {m.text}" + "".join(f" [calls {c.name} {c.arguments}]" for c in m.tool_calls)
        for m in messages
    )
    return (
        f"Summarise this part of a conversation in at most {max_tokens * 3 // 4} words. Keep "
        "names, numbers, decisions, open questions and what the user wants; leave out courtesies."
        f"\n\n{transcript}"
    )
