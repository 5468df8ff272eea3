"""What to do after `router fit`: the code that uses the file, or the labels that are missing."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from llm_optimizers.routing.learning.artefact import RouterArtefact

__all__ = ["next_steps"]


def next_steps(artefact: RouterArtefact, *, labels: Path, out: Path) -> list[str]:
    """Return the next steps, one a line: lines of code, or which labels to add."""
    steps = _use(artefact, out) if artefact.active else []
    failed = [report for report in artefact.reports.values() if not report.passed]
    for report in failed:
        pair = f"{report.weak} and {report.strong}"
        if report.labels_needed is None:
            steps.append(f"{report.weak} is not used; more labels would not change that")
        else:
            steps.append(
                f"{report.weak} is not used: add about {report.labels_needed:,} labels of other "
                f"requests to {labels}, each with a score for {pair}"
            )
    if any(report.labels_needed is not None for report in failed):
        steps.append(
            f"Then fit again: llm-optimizers router fit {quote(str(labels))} "
            f"--strong {quote(artefact.strong)} --tolerance {artefact.tolerance:g} "
            f"--out {quote(str(out))}"
        )
    return steps


def _use(artefact: RouterArtefact, out: Path) -> list[str]:
    models = ", ".join(f"{name!r}: …" for name in (*artefact.means, artefact.strong))
    policy = f"policy=LearnedPolicy({str(out)!r})"
    return [
        "Use it:",
        "  from llm_optimizers.routing import LearnedPolicy",
        f"  LangChain:  ChatModelRouter(models={{{models}}}, {policy})",
        f"  LlamaIndex: RoutedLLM({{{models}}}, {policy})",
    ]
