"""What a thread of ours would import later is imported with the package."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import llm_optimizers.costs as costs
before = {name.partition(".")[0] for name in sys.modules}
costs.PriceBook().cost(costs.Usage(input_tokens=1), "gpt-4o")
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - before))
"""


def test_the_first_price_imports_no_http_client() -> None:
    """The OpenAI SDK reads `sys.modules["httpx2"]`, also while a thread is importing it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120
    )
    assert "httpx2" not in done.stdout.split()
