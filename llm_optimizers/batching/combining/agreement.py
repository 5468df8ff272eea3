"""The gate of combined prompts: a sample is answered singly and combined, and must agree.

The share of differing answers is bounded from above at the asked confidence (Clopper and Pearson
1934, one-sided), so a handful of lucky agreements does not open it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """What the sample showed. `passed` says whether combining may be switched on.

    `differing` holds the sample's indices whose two answers differ (or one of which failed);
    `bound` is the share of differing answers that is not exceeded at the asked confidence.
    `retried` of the combined answers were missing and had to be asked singly.
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
        """The share of the sample answered alike."""
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
    """Answer the sample singly and in groups of `size`, and judge by how often the two agree.

    `agree(single, combined)` decides what counts as the same answer; give your own checker or
    judge model for free text. The sample costs about twice its usual price.

    Raises:
        ConfigurationError: the sample is empty or holds requests that are never combined, or the
            tolerance is not between 0 and 1; nothing was asked yet.
        Exception: whatever `ask` raised for a combined request.
    """
    needed = samples_needed(tolerance, confidence=confidence)
    combined = CombinedAsk(ask)
    differing: list[int] = []
    retried = 0
    usage_single, usage_combined = Usage(), Usage()
    for group in _grouped(sample, size):
        questions = [Question(request=sample[index]) for index in group]
        for index, outcome in zip(group, combined(questions), strict=True):
            retried += isinstance(outcome, RetryAlone)
            together = combined([outcome.item])[0] if isinstance(outcome, RetryAlone) else outcome
            single = combined([Question(request=sample[index])])[0]
            if isinstance(single, SharedAnswer) and isinstance(together, SharedAnswer):
                usage_single += single.usage
                usage_combined += together.usage
                if agree(single.text, together.text):
                    continue
            differing.append(index)
    bound = rate_upper_bound(len(differing), len(sample), confidence=confidence)
    return AgreementReport(
        asked=len(sample),
        differing=tuple(differing),
        bound=bound,
        tolerance=tolerance,
        retried=retried,
        usage_single=usage_single,
        usage_combined=usage_combined,
        passed=bound <= tolerance,
        reason=_reason(len(sample), len(differing), bound, tolerance, needed),
    )


def _reason(asked: int, differing: int, bound: float, tolerance: float, needed: int) -> str:
    if bound <= tolerance:
        return f"at most {bound:.1%} of the answers differ, within the {tolerance:.1%} allowed"
    if differing / asked > tolerance:
        return f"{differing} of {asked} answers differ, more than the {tolerance:.1%} allowed"
    return (
        f"{asked} samples with {differing} differing only show that at most {bound:.1%} differ; "
        f"{tolerance:.1%} needs at least {needed} samples that all agree"
    )


def _grouped(sample: Sequence[ChatRequest], size: int) -> list[list[int]]:
    if not sample:
        raise ConfigurationError("the sample is empty; give requests like those to be combined")
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
