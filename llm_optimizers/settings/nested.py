"""Where models keep the settings for which they have no field."""

from __future__ import annotations

__all__ = ["NESTED"]

NESTED = (
    "model_kwargs",
    "additional_kwargs",
    "extra_body",
    "generation_config",
    "generationConfig",
    "pipeline_kwargs",
    "options",
)
"""Names of settings that hold further settings."""
