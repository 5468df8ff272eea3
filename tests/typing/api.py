"""Uses of the public API that mypy must accept; checked by `make check`, never run."""
