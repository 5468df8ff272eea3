"""Evidence: what proves that a saving does no harm, for every strategy that wants to make one.

    comparison.py  whether two answers say the same
    labels.py      requests with what each model's answer was worth, and their file
    samples.py     a share of the traffic, kept to be labelled: with a time to live, by user
    bounds.py      bounds on a rate and on a mean loss, and the threshold that keeps one
    drift.py       whether requests still look like those that were labelled

The usual way: `SampleStore` keeps requests, `shadow` asks every model and grades with a
`Comparison`, `label_problems` says whether the labels will do, `safe_threshold` says how far a
saving may go, and `DriftAlarm` when that has to be found out again. Nothing here decides to act.
"""

from __future__ import annotations

from llm_optimizers.evidence.bounds import (
    Interval,
    Threshold,
    bootstrap_interval,
    confidence_sequence_half_width,
    mean_difference,
    mean_interval,
    mean_loss_interval,
    rate_upper_bound,
    safe_threshold,
    samples_needed,
)
from llm_optimizers.evidence.comparison import (
    Comparison,
    same_answer,
    same_by,
    same_final_answer,
    same_json,
    same_numbers,
    same_text,
    same_words,
)
from llm_optimizers.evidence.drift import DriftAlarm, quantile_edges
from llm_optimizers.evidence.labels import (
    MIN_LABELS,
    Label,
    label_problems,
    merged,
    read_labels,
    write_labels,
)
from llm_optimizers.evidence.samples import Sample, SampleStore, read_traffic, shadow
from llm_optimizers.lazy import lazy_names

__all__ = [
    "MIN_LABELS",
    "Comparison",
    "DriftAlarm",
    "Interval",
    "Label",
    "Sample",
    "SampleStore",
    "Threshold",
    "bootstrap_interval",
    "confidence_sequence_half_width",
    "label_problems",
    "mean_difference",
    "mean_interval",
    "mean_loss_interval",
    "merged",
    "quantile_edges",
    "rate_upper_bound",
    "read_labels",
    "read_traffic",
    "safe_threshold",
    "same_answer",
    "same_by",
    "same_final_answer",
    "same_json",
    "same_numbers",
    "same_text",
    "same_words",
    "samples_needed",
    "shadow",
    "write_labels",
]

__getattr__, __dir__ = lazy_names(__name__, {}, renamed={"complaints": "label_problems"})
