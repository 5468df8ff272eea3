"""Routers on recorded outcomes: ranking, cascades, the activation test, the time to decide.

    python benchmarks/routing.py --data ../shared/data --json rows.json

APGR is the area under the curve of the gain recovered over the share of strong calls (0.5 is
chance), CPT80 the percent of strong calls that recover 80 % of the gain. Every figure is of
held-out questions. The model's settings were chosen on other splits of these questions (seeds
from 100 on), not on those reported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness import Row, Run, Section, main
from routing import activation, cascades, ranking, speed
from routing.outcomes import Outcomes, recorded
from routing.outcomes import rows as read

MMLU, GSM8K, MULTIMODEL = "routing_mmlu", "routing_gsm8k", "cascade_multimodel"
NAMES = {
    "mmlu_1500_apgr": ">= 0.64",
    "mmlu_1500_cpt80": "<= 63",
    "mmlu_5fold_apgr": ">= 0.70",
    "mmlu_5fold_cpt80": "<= 52",
    "gsm8k_5fold_apgr": ">= 0.65",
    "gsm8k_agreement_apgr": ">= 0.84",
    "cascade_gsm_strong_share": "<= 0.10",
    "cascade_gsm_accuracy_minus_strong": ">= 0",
    "gate_false_activations": "= 0",
    "decide_ms": "< 1",
}


@lru_cache
def raw(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return a data set's rows.

    Raises:
        SystemExit: no such file; says which, and the option that names its folder.
    """
    path = folder / f"{name}.jsonl.gz"
    if not path.is_file():
        raise SystemExit(f"missing: {path}; name its folder with --data")
    return read(path)


@lru_cache
def outcomes(folder: Path, name: str) -> Outcomes:
    return recorded("MMLU" if name == MMLU else "GSM8K", raw(folder, name))


def rank(run: Run) -> Iterator[Row]:
    """The learned router compared with others."""
    mmlu, gsm8k = outcomes(run.data, MMLU), outcomes(run.data, GSM8K)
    at = run.seed - 1
    plans = {
        "mmlu_1500": (mmlu, ranking.splits(mmlu, labels=1_500, seeds=range(5 * at, 5 * at + 5))),
        "mmlu_5fold": (mmlu, ranking.repeated_folds(mmlu, count=5, seeds=[at])),
        "gsm8k_5fold": (
            gsm8k,
            ranking.repeated_folds(gsm8k, count=5, seeds=range(3 * at, 3 * at + 3)),
        ),
    }
    for number, (name, (data, plan)) in enumerate(plans.items()):
        run.progress(number, len(plans), name)
        apgrs, cpt50s, cpt80s = zip(*ranking.learned(data, plan), strict=True)
        apgr, note = ranking.mean_and_interval(apgrs)
        cpt80, cpt_note = ranking.mean_and_interval(cpt80s)
        yield from figures(f"learned, {name}", apgr, sum(cpt50s) / len(cpt50s), cpt80)
        yield row(f"{name}_apgr", apgr, note)
        if f"{name}_cpt80" in NAMES:
            yield row(f"{name}_cpt80", cpt80, cpt_note)
    for data in (mmlu, gsm8k):
        for name, found in ranking.without_labels(data):
            yield from figures(f"{name}, {data.name}", *found)
    for published in ranking.PUBLISHED:
        yield from figures(*published)


def verify(run: Run) -> Iterator[Row]:
    """Verifiers and cascades."""
    multimodel = raw(run.data, MULTIMODEL)
    found = cascades.agreement(
        outcomes(run.data, GSM8K), raw(run.data, GSM8K), multimodel, run.seed - 1
    )
    for name, (auc, *rest) in found.items():
        yield Row(name=f"{name}: AUC", value=auc)
        yield from figures(name, *rest)
    yield row("gsm8k_agreement_apgr", found["agreement, form and predicted gap"][1], "cross-fitted")
    runs = {task: cascades.two_cheap_models(multimodel, task) for task in ("gsm", "crux")}
    for task, cascaded in runs.items():
        yield Row(name=f"two cheap models, {task}: accuracy", value=cascaded.accuracy)
        yield Row(name=f"two cheap models, {task}: all strong", value=cascaded.strong_accuracy)
        yield Row(name=f"two cheap models, {task}: strong calls", value=cascaded.strong_share)
    gsm = runs["gsm"]
    yield row("cascade_gsm_strong_share", gsm.strong_share, f"{gsm.questions} questions")
    yield row(
        "cascade_gsm_accuracy_minus_strong",
        gsm.accuracy - gsm.strong_accuracy,
        f"{gsm.accuracy:.3f} against {gsm.strong_accuracy:.3f} all strong",
    )


def activate(run: Run) -> Iterator[Row]:
    """The activation test, on a router's own traffic and on other traffic."""
    mmlu, gsm8k = outcomes(run.data, MMLU), outcomes(run.data, GSM8K)
    subjects = [each["subject"] for each in raw(run.data, MMLU)]
    sets = [mmlu, gsm8k, *activation.traffics(mmlu, subjects, raw(run.data, MULTIMODEL))]
    at = run.seed - 1
    tried = [
        *activation.transfers(sets, at),
        *activation.random_scores(mmlu, at),
        *activation.random_scores(gsm8k, at),
    ]
    useless = [each for each in tried if each.true_apgr <= 0.5]
    useful = [each for each in tried if each.true_apgr > 0.5]
    false = [each for each in useless if each.activated]
    yield Row(name="routers on traffic they were not fitted for", value=len(tried))
    yield Row(name="  truly better than chance", value=len(useful))
    yield Row(name="  of these activated", value=sum(each.activated for each in useful))
    yield row("gate_false_activations", len(false), f"of {len(useless)} no better than chance")
    for each in false:
        run.say(f"  false: {each.fitted_on} on {each.applied_to}, true APGR {each.true_apgr:.3f}")
    for data, labels in ((mmlu, 200), (mmlu, 1_500), (mmlu, 4_000), (gsm8k, 1_300)):
        own = activation.own_traffic(data, labels)
        run.say(f"  own traffic, {data.name}, {labels} labels: {own}")


def decide(run: Run) -> Iterator[Row]:
    yield row("decide_ms", speed.decide_ms(outcomes(run.data, MMLU)), "learned policy, 500 tokens")


def row(name: str, value: float, note: str) -> Row:
    return Row(name=name, value=round(value, 4), target=NAMES[name], note=note)


def figures(
    name: str, apgr: float, cpt50: float | None = None, cpt80: float | None = None
) -> Iterable[Row]:
    """Return a router's three figures as rows."""
    yield Row(name=f"{name}: APGR", value=apgr)
    yield Row(name=f"{name}: CPT50", value=cpt50, unit="%")
    yield Row(name=f"{name}: CPT80", value=cpt80, unit="%")


SECTIONS = [
    Section(name="ranking", measure=rank, about="the learned router compared with others"),
    Section(name="cascades", measure=verify, about="agreement as a verifier, two cheap models"),
    Section(name="gate", measure=activate, about="routers on traffic they were not fitted for"),
    Section(name="decide", measure=decide, about="milliseconds a decision takes"),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS)
