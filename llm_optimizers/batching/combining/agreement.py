"""Whether combining prompts changes answers: a sample is answered separately and combined.

Combining passes if the upper confidence bound of the fraction of differing answers (Clopper and
Pearson 1934, one-sided) is within the tolerance, so that a few lucky agreements do not pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_optimizers.arguments import function, sequence, whole
from llm_optimizers.batching.coalescing.dispatch import RetryAlone
from llm_optimizers.batching.combining.ask import AskModel, CombinedAsk, Question, SharedAnswer
from llm_optimizers.batching.combining.prompts import COMBINED_SIZE, combination_key
from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.bounds import rate_upper_bound, samples_needed
from llm_optimizers.evidence.comparison import Comparison, same_answer
from llm_optimizers.types import ChatRequest

__all__ = ["AgreementReport", "compare_combined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementReport:
    """The result of a comparison; `passed` says whether combining may be switched on.

    `differing` are the indices of the requests whose two answers differ, or one of which failed.
    `bound` is the upper confidence bound of the fraction of differing answers. `retried` counts
    the requests that the combined prompt left unanswered and that were asked separately.
    """

    asked: int
    differing: tuple[int, ...]
    bound: float
    tolerance: float
    retried: int
    usage_single: Usage
    usage_combined: Usage
    passed: bool
    reason: str

    @property
    def agreement(self) -> float:
        """The fraction of the sample whose two answers agree."""
        return 1 - len(self.differing) / self.asked


def compare_combined(
    sample: Sequence[ChatRequest],
    ask: AskModel,
    *,
    size: int = COMBINED_SIZE,
    tolerance: float = 0.05,
    confidence: float = 0.9,
    agree: Comparison = same_answer,
) -> AgreementReport:
    """Answer a sample separately and in groups of `size`, and test how often the answers agree.

    `agree(single, combined)` decides whether two answers agree; for free text, pass a checker or
    a judge model. The sample costs about twice its usual price.

    Raises:
        ConfigurationError: the sample is empty or has requests that are never combined, or the
            tolerance is not between 0 and 1; nothing was sent.
        Exception: the error of `ask` for a combined request.
    """
    sample = sequence("sample", sample, ChatRequest, least=1)
    function("ask", ask)
    whole("size", size, least=2)
    function("agree", agree)
    needed = samples_needed(tolerance, confidence=confidence)
    pairs = list(_pairs(sample, CombinedAsk(ask), _grouped(sample, size)))
    differing = tuple(pair.index for pair in pairs if not pair.agrees(agree))
    bound = rate_upper_bound(len(differing), len(sample), confidence=confidence)
    answered = [pair.answers for pair in pairs if pair.answers is not None]
    return AgreementReport(
        asked=len(sample),
        differing=differing,
        bound=bound,
        tolerance=tolerance,
        retried=sum(pair.retried for pair in pairs),
        usage_single=sum((single.usage for single, _ in answered), Usage()),
        usage_combined=sum((combined.usage for _, combined in answered), Usage()),
        passed=bound <= tolerance,
        reason=_reason(len(sample), len(differing), bound, tolerance, needed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """The separate and the combined answer to one request, None if either failed."""

    index: int
    answers: tuple[SharedAnswer, SharedAnswer] | None
    retried: bool

    def agrees(self, agree: Comparison) -> bool:
        return self.answers is not None and agree(self.answers[0].text, self.answers[1].text)


def _pairs(
    sample: Sequence[ChatRequest], ask: CombinedAsk, groups: Sequence[Sequence[int]]
) -> Iterator[_Pair]:
    for group in groups:
        outcomes = ask([Question(request=sample[index]) for index in group])
        for index, outcome in zip(group, outcomes, strict=True):
            retried = isinstance(outcome, RetryAlone)
            combined = ask([outcome.item])[0] if isinstance(outcome, RetryAlone) else outcome
            single = ask([Question(request=sample[index])])[0]
            answers = None
            if isinstance(single, SharedAnswer) and isinstance(combined, SharedAnswer):
                answers = single, combined
            yield _Pair(index=index, answers=answers, retried=retried)


def _reason(asked: int, differing: int, bound: float, tolerance: float, needed: int) -> str:
    if bound <= tolerance:
        return f"at most {bound:.1%} of the answers differ, within the {tolerance:.1%} allowed"
    if differing / asked > tolerance:
        return f"{differing} of {asked} answers differ, more than the {tolerance:.1%} allowed"
    return (
        f"{asked} samples with {differing} differing show only that at most {bound:.1%} differ; "
        f"{tolerance:.1%} needs at least {needed} samples that all agree"
    )


def _grouped(sample: Sequence[ChatRequest], size: int) -> list[list[int]]:
    by_key: dict[object, list[int]] = {}
    for index, request in enumerate(sample):
        key = combination_key(request)
        if key is None:
            raise ConfigurationError(
                f"request {index} of the sample is never combined (tools, images, several turns, "
                "a stream or a setting that does not allow it); leave it out"
            )
        by_key.setdefault(key, []).append(index)
    return [
        members[start : start + size]
        for members in by_key.values()
        for start in range(0, len(members), size)
    ]
