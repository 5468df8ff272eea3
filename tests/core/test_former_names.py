"""Names that were public once still work and say the new one."""

from importlib import import_module

import pytest

FORMER = [
    ("llm_optimizers.batching", "GateReport", "AgreementReport"),
    ("llm_optimizers.caching", "Answer", "CacheResult"),
    ("llm_optimizers.caching", "Traits", "Cacheability"),
    ("llm_optimizers.caching", "refuses", "reason_not_to_cache"),
    ("llm_optimizers.costs", "Note", "LedgerNote"),
    ("llm_optimizers.costs", "Quote", "PriceQuote"),
    ("llm_optimizers.embeddings", "scaled", "normalise_rows"),
    ("llm_optimizers.evidence", "complaints", "label_problems"),
    ("llm_optimizers.routing", "Situation", "PolicyInput"),
]


@pytest.mark.parametrize(("package", "old", "new"), FORMER)
def test_a_former_name_still_works(package: str, old: str, new: str) -> None:
    module = import_module(package)
    with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}"):
        found = getattr(module, old)
    assert found is getattr(module, new)
    assert new in module.__all__


STAYING = {
    "llm_optimizers.prompts": (
        "ContextBudget Example ExampleSelector History Optimized OutputLimits Passage "
        "PassageSelector RequestOptimizer Selection Summariser TokenCount TokenCounter "
        "enough_examples"
    ),
    "llm_optimizers.prompts.context": (
        "ContextBudget KeptPassage Passage PassageSelector RankingWeights Selection cut_context "
        "render trimmed"
    ),
}
"""Names that moved to another module and are still imported from the same package."""


@pytest.mark.parametrize("package", STAYING)
def test_a_package_keeps_its_names(package: str) -> None:
    module = import_module(package)
    names = STAYING[package].split()
    assert set(names) <= set(module.__all__)
    assert all(hasattr(module, name) for name in names)
