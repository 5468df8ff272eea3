"""Evidence that a saving does no harm, shared by all strategies.

    comparison.py  compares two answers
    numbers.py     finds the numbers in a text, for comparisons
    labels.py      requests with a score for each model's answer, and their file
    samples.py     a stored share of the requests, to be labelled later
    bounds.py      bounds on a rate, a mean and a mean loss, and the threshold that keeps one
    drift.py       detects requests that no longer look like the labelled ones
    true_effect.py what strategies really save, against calls that were held out

In the usual order: `SampleStore` stores requests, `shadow` sends them to every model and grades
the answers with a `Comparison`, `label_problems` checks the labels, `safe_threshold` says how far
a saving may go, and `DriftAlarm` says when to do it again. Nothing here acts on the result.
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
