"""What LlamaIndex's integrations send to a provider, by the class of the LLM.

Read in llama-index-llms-openai 0.8.3, -anthropic 0.12.3, -google-genai 0.11.3, -ollama 0.11.0 and
-bedrock-converse 0.15.5. Of a class that is not here, or one of the user's that changes how a
request is made, nothing is known, and whatever its messages hold counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llm_optimizers.fingerprint import KnownClasses
from llm_optimizers.settings.bookkeeping import Api, Apis

__all__ = ["PROVIDERS", "Provider", "apis_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Whose parameters an LLM's settings are, and what it sends of its messages.

    `sent` are entries of `additional_kwargs` beside a tool call's id. `all_with_calls`: all of them
    in a message that has tool calls there, and not as blocks.
    """

    api: Api
    sent: frozenset[str] = frozenset({"tool_calls"})
    all_with_calls: bool = False


PROVIDERS = KnownClasses(
    {
        "llama_index.llms.openai.base.OpenAI": Provider(
            api="openai", sent=frozenset({"reference_audio_id"}), all_with_calls=True
        ),
        "llama_index.llms.openai.responses.OpenAIResponses": Provider(
            api="openai", sent=frozenset({"tool_calls", "call_id"})
        ),
        "llama_index.llms.anthropic.base.Anthropic": Provider(api="anthropic"),
        "llama_index.llms.google_genai.base.GoogleGenAI": Provider(
            api="google", sent=frozenset({"tool_calls", "thought_signatures"})
        ),
        "llama_index.llms.ollama.base.Ollama": Provider(api="ollama"),
        "llama_index.llms.bedrock_converse.base.BedrockConverse": Provider(
            api="bedrock", sent=frozenset({"tool_calls", "status"})
        ),
    }
)


def apis_of(llms: Iterable[object]) -> Apis:
    """Return the APIs that the LLMs' settings are for; none if that is not known of one."""
    return frozenset(each.api for each in PROVIDERS.of_each(llms) or ())
