"""The keyword policy: word lists for complexity, creativity and context.

Keywords rank questions poorly. Ranking recorded questions by what a strong model would gain, the
lists below reach an APGR (average performance gap recovered) of .55 on 14,037 questions of MMLU
and .52 on GSM8K, where chance is .50 and the question's length .59 and .60; other such lists
reached .45 to .51. Use this policy for a rule you already have ("contracts go to the strong
model"), with your own word lists, not to find hard questions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from llm_optimizers.arguments import mapping, number, refuse, sequence, text, whole
from llm_optimizers.routing.policy import Choice, PolicyInput
from llm_optimizers.routing.specs import ModelTiers

__all__ = ["DEFAULT_INTENTS", "KeywordPolicy"]

DEFAULT_INTENTS: Mapping[str, Sequence[str]] = {
    "complexity": (
        "analyze", "analyse", "architecture", "calculate", "compare", "contract", "debug", "derive",
        "diagnose", "evaluate", "explain why", "implement", "legal", "optimize", "proof", "prove",
        "reason", "refactor", "step by step", "strategy", "trade-off",
    ),
    "creativity": (
        "brainstorm", "compose", "creative", "fiction", "imagine", "invent", "novel", "poem",
        "screenplay", "slogan", "song", "story", "write a",
    ),
    "context": (
        "according to", "as mentioned", "based on the", "document", "given the above", "passage",
        "the following text", "transcript",
    ),
}  # fmt: skip


class KeywordPolicy:
    """Chooses `strong` for questions with at least `threshold` points, else `weak`.

    Every word or phrase of an intent is one point, and so are every `words_per_point` words of
    the question. Matching is by whole words and ignores case.
    """

    def __init__(
        self,
        *,
        weak: str,
        strong: str,
        intents: Mapping[str, Sequence[str]] = DEFAULT_INTENTS,
        threshold: float = 2.0,
        words_per_point: int = 100,
    ) -> None:
        self._weak, self._strong = text("weak", weak), text("strong", strong)
        self._threshold = number("threshold", threshold, least=0)
        self._words_per_point = whole("words_per_point", words_per_point, least=1)
        lists = {
            intent: sequence(f"intents[{intent!r}]", words, str)
            for intent, words in mapping("intents", intents).items()
        }
        if any("" in words for words in lists.values()):
            refuse("intents", intents, "words that are not empty")
        self._patterns = {
            intent: re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
            for intent, words in lists.items()
            if words
        }

    def check(self, model_tiers: ModelTiers) -> None:
        """Check that the router has both models."""
        model_tiers.rank(self._weak)
        model_tiers.rank(self._strong)

    def points(self, text: str) -> dict[str, float]:
        """Return the points by intent, and for length."""
        found = {name: float(len(p.findall(text))) for name, p in self._patterns.items()}
        found["length"] = len(text.split()) / self._words_per_point
        return found

    def choose(self, policy_input: PolicyInput) -> Choice:
        """Choose by the sum of the points."""
        points = self.points(policy_input.question)
        total = sum(points.values())
        listed = ", ".join(f"{name} {value:.1f}" for name, value in points.items() if value)
        return Choice(
            model=self._strong if total >= self._threshold else self._weak,
            policy="keyword",
            reason=f"keyword points: {listed or 'none'}",
            scores={self._strong: total},
            threshold=self._threshold,
        )
