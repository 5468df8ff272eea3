"""The policies: each answers one question, which of the models that can serve should.

`simple` needs no data (always, weighted, by latency, by tier, and two combinators), `keyword`
states rules by word lists, `learned` predicts what a stronger model would gain, `cascade` asks a
cheap model first. Any object with `choose(policy_input)` is a policy.
"""

from __future__ import annotations
