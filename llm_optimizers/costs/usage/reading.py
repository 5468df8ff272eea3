"""One reading of all shapes: the counts, and whether they can be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_optimizers.costs.usage.pieces import pieces_of_counts
from llm_optimizers.costs.usage.places import Found, as_fields, first_of, listed
from llm_optimizers.costs.usage.shapes import ANTHROPIC, Shape, shape_of

__all__ = ["Counts", "read_counts"]

_MOST_REASONING = 10**6
"""Ten times the longest answer that a model gives."""

_PARTS = (
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    *("input_audio_tokens", "cache_read_audio_tokens", "input_image_tokens"),
    *("output_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens"),
)
_MAIN_ITERATIONS = ("message", "compaction", "fallback_message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The counts of one object, by their names in `Usage`.

    `total` are the tokens that the server says the call used, in whatever way it counts them;
    `added` are those of `counts` that only this total has.
    `unreadable`: a count is no number, negative or too large. `suspicious`: that, or a part is
    larger than its whole; then the counts are those that cost the most.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    total: int = 0
    added: int = 0
    unreadable: bool = False
    suspicious: bool = False

    @property
    def tokens(self) -> int:
        """Input plus output."""
        return self.counts.get("input_tokens", 0) + self.counts.get("output_tokens", 0)


def read_counts(raw: object, *, shape: Shape | None = None, strict: bool = False) -> Counts | None:
    """Read the counts of any server, None if there are none with known names.

    Raises:
        ConfigurationError: with `strict`, a count is negative, not an int or too large.
    """
    given = as_fields(raw)
    shape = shape or shape_of(given)
    found = Found(strict=strict)
    if shape is None:
        pieces = pieces_of_counts(given, found)
        return Counts(counts=pieces, suspicious=bool(found.unreadable)) if pieces else None
    counts = {name: first_of(given, places, found) for name, places in shape.counts.items()}
    stated = first_of(given, shape.total, found)
    total = stated or counts["input_tokens"] + counts["output_tokens"]
    _add_beside(counts, given, shape, found)
    # Where only the input is unreadable, it is what the total has beside the output.
    unread = not set(shape.counts["input_tokens"]).isdisjoint(found.unreadable)
    whole = "input_tokens" if unread and counts["output_tokens"] else "output_tokens"
    before = counts["input_tokens"] + counts["output_tokens"]
    suspicious = bool(stated) and not _add_missing(counts, stated, whole)
    added = counts["input_tokens"] + counts["output_tokens"] - before
    if not shape.total:
        total = counts["input_tokens"] + counts["output_tokens"]
    if shape is ANTHROPIC:
        _add_iterations(counts, given, found)
    suspicious |= _correct(counts)
    for name, number in pieces_of_counts(given, found).items():
        counts[name] = counts.get(name, 0) + number
    unreadable = bool(found.unreadable)
    return Counts(
        counts=counts,
        total=total,
        added=added,
        unreadable=unreadable,
        suspicious=suspicious or unreadable,
    )


def _add_beside(
    counts: dict[str, int], given: Mapping[str, Any], shape: Shape, found: Found
) -> None:
    for whole, beside in (
        ("input_tokens", shape.beside_input),
        ("output_tokens", shape.beside_output),
    ):
        for name in beside:
            part = counts.get(name)
            counts[whole] += first_of(given, (name,), found) if part is None else part


def _add_missing(counts: dict[str, int], total: int, whole: str) -> bool:
    """Add tokens that only the server's total has; return whether that total can be right.

    They are reasoning (x.ai: https://docs.x.ai/docs/guides/reasoning), which Gemini's servers in
    OpenAI's format do not name, or what was read from and written to the cache.
    """
    missing = total - counts["input_tokens"] - counts["output_tokens"]
    reasoning = counts["reasoning_tokens"]
    cached = counts["cache_read_tokens"] + counts["cache_write_tokens"]
    if missing > max(_MOST_REASONING, reasoning + cached):
        return False
    if cached and missing in (cached, cached + reasoning):
        counts["input_tokens"] += cached
        missing -= cached
    counts[whole] += max(missing, 0)
    return True


def _add_iterations(counts: dict[str, int], given: Mapping[str, Any], found: Found) -> None:
    """Count all iterations of a call that Anthropic's server repeated.

    The top level has only the last ones; a compaction and an adviser are billed besides
    (https://docs.anthropic.com/en/docs/build-with-claude/compaction#understanding-usage).
    """
    steps = [as_fields(each) for each in listed(given.get("iterations"))]
    if all(step.get("type") == "message" for step in steps):
        return
    read = list(_iterations(steps, found))
    for name in ANTHROPIC.counts:
        counts[name] = max(counts[name], sum(each[name] for kind, each in read if kind == "main"))
    others = [each for kind, each in read if kind == "other"]
    if others:  # tokens of another model, whose price is not this one's
        counts["other_units"] = sum(each["input_tokens"] + each["output_tokens"] for each in others)


def _iterations(
    steps: list[Mapping[str, Any]], found: Found
) -> Iterator[tuple[str, dict[str, int]]]:
    for step in steps:
        counts = {name: first_of(step, places, found) for name, places in ANTHROPIC.counts.items()}
        _add_beside(counts, step, ANTHROPIC, found)
        yield ("main" if step.get("type") in _MAIN_ITERATIONS else "other"), counts


def _correct(counts: dict[str, int]) -> bool:
    """Make no part larger than its whole, so that the call costs no less; say if one was.

    Tokens that cannot have been read from the cache have no discount; those that cost more than
    plain ones are kept.
    """
    full = {name: counts.get(name, 0) for name in _PARTS}
    if full["cache_read_audio_tokens"] <= full["cache_read_tokens"]:
        # Gemini may leave out the details of the prompt.
        heard = max(full["input_audio_tokens"], full["cache_read_audio_tokens"])
        full["input_audio_tokens"] = heard
    before = dict(full)
    written = max(full["cache_write_tokens"], full["cache_write_1h_tokens"])
    full["cache_write_tokens"] = written
    if full["cache_read_tokens"] + written > full["input_tokens"]:
        full["input_tokens"] = max(full["input_tokens"], full["cache_read_tokens"] + written)
        full["cache_read_tokens"] = 0
    media = full["input_audio_tokens"] + full["input_image_tokens"]
    full["input_tokens"] = max(full["input_tokens"], media)
    cached_audio = min(full["cache_read_audio_tokens"], full["cache_read_tokens"])
    full["cache_read_audio_tokens"] = cached_audio
    if full["reasoning_tokens"] > full["output_tokens"]:
        full["output_tokens"] += full["reasoning_tokens"]
    media = full["output_audio_tokens"] + full["output_image_tokens"]
    full["output_tokens"] = max(full["output_tokens"], media)
    counts.update(full)
    return full != before
