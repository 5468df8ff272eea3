"""Where LlamaIndex's LLMs keep settings that refer to state at the provider."""

from __future__ import annotations

from typing import Any

from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.delegating import underlying_models
from llm_optimizers.settings.provider_state import settings_of

__all__ = ["state_settings"]


def state_settings(llm: LLM) -> dict[str, Any]:
    """Return such settings of an LLM, or of the LLMs that it wraps, for its identity."""
    found = [settings_of(each) for each in underlying_models(llm)]
    return {"provider_state": found} if any(found) else {}
