"""The policies: each chooses one of the models that can serve a request.

`simple` needs no data (always, weighted, by latency, by tier, and two combinators), `keyword`
states rules by word lists, `learned` predicts what a stronger model would gain, `cascade` calls a
cheap model first. Any object with a `choose(policy_input)` method is a policy.
"""

from __future__ import annotations
