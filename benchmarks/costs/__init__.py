"""Parts of `benchmarks/costs.py`."""
