"""The bill of a call: each part of its usage, at its own rate.

A bill splits the tokens into parts that are each billed once: plain, read from the cache, written
to the cache, audio, pictures, reasoning; fees come on top. Some parts without a separate rate are
billed at the plain rate, because their providers do so; others never, because they cost several
times as much where a rate is published:

part                     without a rate of its own
reasoning                as output (https://developers.openai.com/api/docs/guides/reasoning)
cache reads and writes   as input: a provider that lists no cache rate gives no discount
picture input            as text (https://developers.openai.com/api/docs/guides/images-vision,
                         https://docs.anthropic.com/en/docs/build-with-claude/vision)
audio input              unpriced, except where one rate is for text and audio (`audio_as_text`)
audio, picture output    unpriced, except where a model answers with nothing else (`answers`)
one-hour cache writes    unpriced where shorter ones have a rate: they are dearer
searches, sessions, …    unpriced
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from llm_optimizers.costs.amounts import EXACT
from llm_optimizers.costs.prices.rates import LABELS, RateCard
from llm_optimizers.costs.usage import Usage

__all__ = ["Bill", "BillLine", "bill"]

_ZERO = Decimal(0)
_NOTHING = Usage()
_Part: TypeAlias = tuple[str, int, Decimal | None]
"""The fields of a `BillLine`; most parts of most calls have no count."""
_MIXED = "no word on which output tokens are pictures"
_HEARD = "no word on which input tokens are audio"


@dataclass(frozen=True, slots=True)
class BillLine:
    """A part of a usage and its rate, None if there is none. `part` is a field of `RateCard`."""

    part: str
    count: int
    rate: Decimal | None

    @property
    def amount(self) -> Decimal | None:
        """Dollars; None without a rate."""
        return None if self.rate is None else EXACT.multiply(self.count, self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a call costs, part by part, in dollars; `known` is the cost of what has a price.

    `unpriced` is the reason why the cost is unknown, None if it is known: a short text that is the
    same for all such calls. `own` says whether the rates are the user's own.
    """

    lines: tuple[BillLine, ...] = ()
    known: Decimal = _ZERO
    unpriced: str | None = None
    own: bool = False

    @property
    def cost(self) -> Decimal | None:
        """The whole cost, None if a part of it has no price."""
        return self.known if self.unpriced is None else None


def bill(card: RateCard, usage: Usage, *, sound: bool = False, requests: int = 1) -> Bill:
    """Return the bill of one call.

    Parts that exceed their whole (a provider's miscount) are billed beside it, so that a miscount
    never makes a call cheaper. Where the usage does not say which of the cached tokens were audio
    or pictures, the dearest possibility is billed. With `sound` in the prompt, audio that is in no
    count leaves the call unpriced, where it has a rate of its own. `requests` are the fees for
    requests, of which only one of those that share a call pays one.
    """
    card = card.at(usage.input_tokens)
    whole = (*_input(card, usage), *_output(card, usage), *_fees(card, usage, requests))
    parts = [each for each in whole if each[1]]
    missing = next((part for part, _, rate in parts if rate is None), None)
    unpriced = None if missing is None else f"no price for {LABELS[missing]}"
    if unpriced is None and _is_mixed(card, usage):
        unpriced = _MIXED  # The text rate in the lines is the least that they cost.
    if unpriced is None and sound and _is_unheard(card, usage):
        unpriced = _HEARD
    lines = tuple([BillLine(*each) for each in parts])
    return Bill(lines=lines, known=_known(parts), unpriced=unpriced, own=card.own)


def _is_mixed(card: RateCard, usage: Usage) -> bool:
    """Whether output tokens may be text or pictures, at different rates, and nothing says which."""
    plain = usage.output_tokens - usage.reasoning_tokens
    return card.answers == "mixed" and plain > 0 and not usage.output_image_tokens


def _is_unheard(card: RateCard, usage: Usage) -> bool:
    """Whether input tokens may be audio at a rate of its own, and nothing says which."""
    apart = card.input_audio not in (None, card.input)
    return apart and usage.input_tokens > 0 and not usage.input_audio_tokens


def _input(card: RateCard, usage: Usage) -> Iterator[_Part]:
    """Yield the parts of the input."""
    if usage.input_audio_tokens or usage.input_image_tokens:
        yield from _dearest_input(card, usage)
        return
    read, hour = usage.cache_read_tokens, usage.cache_write_1h_tokens
    written = max(usage.cache_write_tokens, hour)
    parts = read + written
    plain = usage.input_tokens - (parts if parts <= usage.input_tokens else 0)
    yield ("input", plain, card.input)
    yield ("cache_read", read, card.input if card.cache_read is None else card.cache_read)
    yield from _written(card, written - hour, hour)


def _written(card: RateCard, short: int, hour: int) -> Iterator[_Part]:
    if card.cache_write is None:
        yield ("cache_write", short + hour, card.input)
        return
    yield ("cache_write", short, card.cache_write)
    yield ("cache_write_1h", hour, card.cache_write_1h)


def _dearest_input(card: RateCard, usage: Usage) -> list[_Part]:
    """Return the parts of an input with audio or pictures.

    Which of the cached tokens were audio is said by some providers, which were pictures by none.
    """
    whole, read = usage.input_tokens, usage.cache_read_tokens
    audio, image = usage.input_audio_tokens, usage.input_image_tokens
    hour = usage.cache_write_1h_tokens
    written = max(usage.cache_write_tokens, hour)
    others = list(_written(card, written - hour, hour))
    text = whole - written - audio - image
    if text < 0 or read + written > whole:
        # Then they are no parts of the whole.
        return _modes(card, (whole, audio, image), (read, 0, 0)) + others
    least = max(0, read - text - image)  # more is cached than there is text
    known = min(usage.cache_read_audio_tokens, audio, read)
    audios = {max(known, least)} if known else {least, min(read, audio)}
    ways = [
        _modes(
            card,
            (text - read + a + i, audio - a, image - i),
            (read - a - i, a, i),
        )
        for a in audios
        for i in {max(0, read - a - text), min(read - a, image)}
    ]
    return max(ways, key=_known) + others


def _modes(
    card: RateCard, fresh: tuple[int, int, int], cached: tuple[int, int, int]
) -> list[_Part]:
    """Return the lines of text, audio and picture tokens, fresh and read from the cache.

    What costs as much as text also costs as much in the cache. Without a rate for the cache there
    is no discount.
    """
    text = card.input
    audio = text if card.input_audio is None and card.audio_as_text else card.input_audio
    image = text if card.input_image is None else card.input_image
    lines: list[_Part] = []
    for name, rate, own, new, old in (
        ("", text, card.cache_read, fresh[0], cached[0]),
        ("_audio", audio, card.cache_read_audio, fresh[1], cached[1]),
        ("_image", image, card.cache_read_image, fresh[2], cached[2]),
    ):
        read = card.cache_read if own is None and rate == text else own
        lines.append((f"input{name}", new, rate))
        lines.append((f"cache_read{name}", old, rate if read is None else read))
    return lines


def _known(parts: Iterable[_Part]) -> Decimal:
    total = _ZERO
    for _, count, rate in parts:
        if rate is not None:
            total = EXACT.add(total, EXACT.multiply(count, rate))
    return total


def _output(card: RateCard, usage: Usage) -> Iterator[_Part]:
    """Yield the parts of the output."""
    reasoning, audio, image = (
        usage.reasoning_tokens,
        usage.output_audio_tokens,
        usage.output_image_tokens,
    )
    parts = reasoning + audio + image
    plain = usage.output_tokens - (parts if parts <= usage.output_tokens else 0)
    yield ("output", plain, card.output)
    thoughts = card.output if card.reasoning is None else card.reasoning
    yield ("reasoning", reasoning, thoughts)
    yield ("output_audio", audio, _only(card, "audio", card.output_audio))
    yield ("output_image", image, _only(card, "image", card.output_image))


def _only(card: RateCard, kind: str, rate: Decimal | None) -> Decimal | None:
    """Return the rate of a kind of output, which is that of all output if there is no other."""
    return card.output if rate is None and card.answers == kind else rate


def _fees(card: RateCard, usage: Usage, requests: int) -> Iterator[_Part]:
    """Yield what is billed by the piece."""
    searches = min(usage.web_searches, 1) if card.search_per_call else usage.web_searches
    if card.always_searches and usage != _NOTHING:
        searches = max(searches, 1)
    yield ("web_search", searches, card.web_search)
    yield ("file_search", usage.file_searches, card.file_search)
    yield ("code_session", usage.code_sessions, card.code_session)
    yield ("image", usage.images, card.image)
    yield ("other", usage.other_units, None)
    if card.per_request and usage != _NOTHING:  # a refused call costs nothing
        yield ("per_request", requests, card.per_request)
