"""What routers are worth: ranking, cascades, the activation gate, the time to decide.

    python benchmarks/routing.py --data ../shared/data --json rows.json

APGR is the area under the curve of the gain recovered over the share of strong calls (0.5 is
chance), CPT80 the percent of strong calls that recover 80 % of the gain. Every figure is of
questions that nothing was fitted on. The scorer's settings were chosen on other splits of these
questions (seeds from 100 on), not on those reported here.
"""

from __future__ import annotations

from pathlib import Path

from routes import cascades, gates, ranking, speed
from routes.outcomes import Outcomes, recorded
from routes.outcomes import rows as read
from rows import Row, arguments, show, write

FILES = ("routing_mmlu", "routing_gsm8k", "cascade_multimodel")
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


def main() -> None:
    options = arguments("What routers are worth.").parse_args()
    paths = {name: options.data / f"{name}.jsonl.gz" for name in FILES}
    missing = [str(path) for path in paths.values() if not path.exists()]
    if missing:
        print(f"missing: {', '.join(missing)}; name their folder with --data")
        rows = [Row(name=n, value=None, target=t, note="no data") for n, t in NAMES.items()]
    else:
        rows = measure(paths)
    show(rows, [])
    write(rows, options.json)


def measure(paths: dict[str, Path]) -> list[Row]:
    raw = {name: read(path) for name, path in paths.items()}
    mmlu = recorded("MMLU", raw["routing_mmlu"])
    gsm8k = recorded("GSM8K", raw["routing_gsm8k"])
    subjects = [row["subject"] for row in raw["routing_mmlu"]]
    found = [*rank(mmlu, gsm8k), *verify(gsm8k, raw["routing_gsm8k"], raw["cascade_multimodel"])]
    sets = [mmlu, gsm8k, *gates.traffics(mmlu, subjects, raw["cascade_multimodel"])]
    found.append(guard(sets))
    found.append(row("decide_ms", speed.decide_ms(mmlu), "learned policy, 500 tokens"))
    return found


def rank(mmlu: Outcomes, gsm8k: Outcomes) -> list[Row]:
    """The learned scorer beside its rivals."""
    plans = {
        "mmlu_1500": (mmlu, ranking.splits(mmlu, labels=1_500, seeds=range(5))),
        "mmlu_5fold": (mmlu, ranking.repeated_folds(mmlu, count=5, seeds=[0])),
        "gsm8k_5fold": (gsm8k, ranking.repeated_folds(gsm8k, count=5, seeds=range(3))),
    }
    found: list[Row] = []
    print(f"{'router':<52}{'APGR':>8}{'CPT50':>8}{'CPT80':>8}")
    for name, (data, plan) in plans.items():
        apgrs, cpt50s, cpt80s = zip(*ranking.learned(data, plan), strict=True)
        apgr, note = ranking.mean_and_interval(apgrs)
        cpt80, cpt_note = ranking.mean_and_interval(cpt80s)
        line(f"learned, {name}", apgr, sum(cpt50s) / len(cpt50s), cpt80)
        found.append(row(f"{name}_apgr", apgr, note))
        if f"{name}_cpt80" in NAMES:
            found.append(row(f"{name}_cpt80", cpt80, cpt_note))
    for data in (mmlu, gsm8k):
        for rival, figures in ranking.rivals(data):
            line(f"{rival}, {data.name}", *figures)
    for published in ranking.PUBLISHED:
        line(*published)
    return found


def verify(gsm8k: Outcomes, answers: cascades.Read, multimodel: cascades.Read) -> list[Row]:
    """Verifiers and cascades."""
    print(f"\n{'verifier on GSM8K':<44}{'AUC':>8}{'APGR':>8}{'CPT50':>8}{'CPT80':>8}")
    told = cascades.agreement(gsm8k, answers, multimodel)
    for name, figures in told.items():
        line(name, *figures, width=44)
    print(f"\n{'cascade of two cheap models':<36}{'accuracy':>10}{'strong':>10}{'calls':>10}")
    runs = {task: cascades.two_cheap_models(multimodel, task) for task in ("gsm", "crux")}
    for task, found in runs.items():
        line(task, found.accuracy, found.strong_accuracy, found.strong_share, width=38)
    gsm = runs["gsm"]
    return [
        row("gsm8k_agreement_apgr", told["agreement, form and predicted gap"][1], "cross-fitted"),
        row("cascade_gsm_strong_share", gsm.strong_share, f"{gsm.questions} questions"),
        row(
            "cascade_gsm_accuracy_minus_strong",
            gsm.accuracy - gsm.strong_accuracy,
            f"{gsm.accuracy:.3f} against {gsm.strong_accuracy:.3f} all strong",
        ),
    ]


def guard(sets: list[Outcomes]) -> Row:
    """The gate, on its own and on other traffic."""
    trials = [*gates.transfers(sets), *gates.shuffled(sets[0]), *gates.shuffled(sets[1])]
    hopeless = [trial for trial in trials if trial.truth <= 0.5]
    useful = [trial for trial in trials if trial.truth > 0.5]
    false = [trial for trial in hopeless if trial.activated]
    print(f"\ngate: {len(trials)} trials on traffic that the router was not fitted for")
    print(f"  no better than chance in truth: {len(hopeless)}, activated {len(false)}")
    print(
        f"  better than chance in truth: {len(useful)}, "
        f"activated {sum(trial.activated for trial in useful)}"
    )
    for trial in false:
        print(f"  false: {trial.fitted_on} on {trial.applied_to}, APGR {trial.truth:.3f} in truth")
    for data, labels in ((sets[0], 200), (sets[0], 1_500), (sets[0], 4_000), (sets[1], 1_300)):
        print(f"  own traffic, {data.name}, {labels} labels: {gates.own_traffic(data, labels)}")
    return row("gate_false_activations", len(false), f"of {len(hopeless)} hopeless trials")


def row(name: str, value: float, note: str) -> Row:
    return Row(name=name, value=round(value, 4), target=NAMES[name], note=note)


def line(name: str, *figures: float | None, width: int = 52) -> None:
    cells = ("–" if f is None else f"{f:.3f}" if f < 2 else f"{f:.1f}" for f in figures)
    print(f"{name:<{width}}" + "".join(f"{cell:>8}" for cell in cells))


if __name__ == "__main__":
    main()
