"""What an error means: ask again, ask another model, or give up.

The router, the queue, combined calls and provider batches read errors here and nowhere else. An
error is recognised by its attributes, so that no provider's SDK needs to be installed.

reading.py       is it transient or permanent, and its HTTP status
codes.py         the status that a provider's error code stands for
classes.py       what the class of an error says without a status
waits.py         how long the server asks to wait: `Retry-After` and its relatives
attributes.py    safe access to the attributes, headers and causes of any error
fail_open.py     announce a failure instead of raising it; log a repeated one only once
outage.py        Outage: what may fail for a while, announced when it begins and when it ends
"""

from __future__ import annotations

from llm_optimizers.failures.fail_open import FailOpen, WarningLog
from llm_optimizers.failures.outage import Outage, reason_of, store_outage, strategy_outage
from llm_optimizers.failures.reading import (
    Failure,
    http_status,
    is_permanent,
    is_transient_status,
    may_pass,
    read_failure,
)
from llm_optimizers.failures.waits import retry_after

__all__ = [
    "FailOpen",
    "Failure",
    "Outage",
    "WarningLog",
    "http_status",
    "is_permanent",
    "is_transient_status",
    "may_pass",
    "read_failure",
    "reason_of",
    "retry_after",
    "store_outage",
    "strategy_outage",
]
