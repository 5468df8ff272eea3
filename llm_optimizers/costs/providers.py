"""Which seller a model's name speaks of: `openai:gpt-4o`, `azure/gpt-4o`, `bedrock_converse`.

Frameworks call the same seller by different names. Only names listed here are understood; a
seller that merely resembles a known one (`my-openai-proxy`) stays unknown, since what it charges
is unknown too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ModelName", "canonical_provider", "knows_provider", "parse_model"]

# LangChain (`ls_provider`, `init_chat_model`), LlamaIndex, LiteLLM and Pydantic AI names, and the
# names of the price list. A server of one's own is known by name and has no list price.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "anthropic": (),
    "aws": ("bedrock", "bedrock_converse", "amazon_bedrock", "amazon-bedrock", "anthropic_bedrock"),
    "azure": ("azure_openai", "azure-openai", "azure_ai", "azure_ad"),
    "cerebras": (),
    "cohere": ("cohere_chat",),
    "deepseek": (),
    "fireworks": ("fireworks_ai", "fireworks-ai"),
    "google": (
        "google_genai",
        "google_vertexai",
        "google_anthropic_vertex",
        "google-gla",
        "google-vertex",
        "gemini",
        "vertex_ai",
        "vertexai",
    ),
    "groq": (),
    "mistral": ("mistralai", "mistral_ai"),
    "moonshotai": ("moonshot",),
    "novita": (),
    "openai": ("openai-chat", "openai-responses", "openai_responses", "text-completion-openai"),
    "openrouter": (),
    "perplexity": (),
    "together": ("together_ai", "together-ai", "togetherai"),
    "voyageai": ("voyage",),
    "x-ai": ("xai",),
    "ollama": ("ollama_chat",),
    "vllm": ("hosted_vllm",),
    "llamacpp": ("llama_cpp", "llama-cpp", "llamafile"),
    "lmstudio": ("lm_studio",),
    "sglang": (),
}
_CANONICAL = {alias: name for name, aliases in _NAMES.items() for alias in (name, *aliases)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model's name taken apart: who sells it (None if the name does not say) and its name."""

    provider: str | None
    name: str


def canonical_provider(name: str) -> str:
    """One name for each seller; a name that is not known is returned in lower case."""
    lowered = name.strip().lower()
    return _CANONICAL.get(lowered, lowered)


def knows_provider(name: str) -> bool:
    """Whether this is a seller's name, and not just a word."""
    return name.strip().lower() in _CANONICAL


def parse_model(model: str, provider: str | None = None) -> ModelName:
    """Take a seller's prefix off a model's name.

    A prefix is taken off only if it is a known seller, and, when a provider is given, that very
    one: `openai/gpt-4o` sold by openrouter keeps its name.
    """
    name = model.strip().lower()
    # LiteLLM names the seller within the model.
    given = None if provider is None else canonical_provider(provider)
    if given == "litellm":
        given = None
    ends = [end for end in (name.find("/"), name.find(":")) if end > 0]
    if ends:
        prefix = _CANONICAL.get(name[: min(ends)])
        if prefix is not None and given in (None, prefix):
            return ModelName(provider=prefix, name=name[min(ends) + 1 :])
    return ModelName(provider=given, name=name)
