"""What LangChain's integrations send to a provider, by the class of the model.

Read in langchain-openai 1.7.4, -anthropic 1.7.10, -google-genai 4.4.3, -ollama 1.1.0, -aws 1.9.1.
Of a class that is not here, or one of the user's that changes how a request is made, nothing is
known, and whatever its messages hold counts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_optimizers.fingerprint import KnownClasses
from llm_optimizers.settings.bookkeeping import Api, Apis

__all__ = [
    "ANSWER_FORMAT",
    "PROVIDERS",
    "Provider",
    "Sent",
    "apis_of",
    "sent_by",
    "serialised_provider",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Which entries of `additional_kwargs` are sent, by the message's role, and what else counts.

    `metadata` are entries of an answer's `response_metadata` by which its content is translated.
    """

    extras: Mapping[str, frozenset[str]]
    metadata: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Whose parameters a model's settings are, and what is sent of its messages."""

    api: Api
    sent: Sent


ANSWER_FORMAT = frozenset({"output_version", "model_provider"})
"""By these, integrations tell whose blocks an answer's content is made of."""
_OPENAI = Provider(
    api="openai",
    sent=Sent(
        extras={
            "user": frozenset({"name"}),
            "system": frozenset({"name", "__openai_role__"}),
            "assistant": frozenset(
                {"name", "function_call", "tool_calls", "audio"}
                # The Responses API's items in langchain-openai's older format.
                | {"reasoning", "refusal", "tool_outputs"}
            ),
            "tool": frozenset({"name", "type", "acknowledged_safety_checks"}),
        }
    ),
)
_ANTHROPIC = Provider(api="anthropic", sent=Sent(extras={}, metadata=ANSWER_FORMAT))
_GOOGLE = Provider(
    api="google",
    sent=Sent(
        extras={
            "assistant": frozenset(
                {"function_call", "__gemini_function_call_thought_signatures__"}
            ),
            "tool": frozenset({"name"}),
        },
        metadata=ANSWER_FORMAT,
    ),
)
_OLLAMA = Provider(
    api="ollama",
    sent=Sent(extras={"assistant": frozenset({"reasoning_content"})}, metadata=ANSWER_FORMAT),
)
_CONVERSE = Provider(api="bedrock", sent=Sent(extras={}, metadata=ANSWER_FORMAT | {"model_name"}))
_BEDROCK = Provider(
    api="bedrock",
    sent=Sent(
        extras={"assistant": frozenset({"thinking"})}, metadata=ANSWER_FORMAT | {"model_name"}
    ),
)

PROVIDERS = KnownClasses(
    {
        "langchain_openai.chat_models.base.BaseChatOpenAI": _OPENAI,
        "langchain_openai.chat_models.base.ChatOpenAI": _OPENAI,
        "langchain_openai.chat_models.azure.AzureChatOpenAI": _OPENAI,
        "langchain_anthropic.chat_models.ChatAnthropic": _ANTHROPIC,
        "langchain_google_genai.chat_models.ChatGoogleGenerativeAI": _GOOGLE,
        "langchain_ollama.chat_models.ChatOllama": _OLLAMA,
        "langchain_aws.chat_models.bedrock_converse.ChatBedrockConverse": _CONVERSE,
        "langchain_aws.chat_models.bedrock.ChatBedrock": _BEDROCK,
    }
)
_PLACES = [(module, name) for module, _, name in (each.rpartition(".") for each in PROVIDERS.names)]


def apis_of(models: Iterable[object]) -> Apis:
    """Return the APIs that the models' settings are for; none if that is not known of one."""
    return frozenset(each.api for each in PROVIDERS.of_each(models) or ())


def sent_by(models: Iterable[object]) -> tuple[Sent, ...] | None:
    """Return what each of the models sends, None if that is not known of one of them."""
    providers = PROVIDERS.of_each(models)
    return None if providers is None else tuple(each.sent for each in providers)


def serialised_provider(identifier: object) -> Provider | None:
    """Return what is known of the class whose id stands in a model's JSON.

    A user's class has its base's id if it has the same name, so all classes in memory with this id
    must make the same requests.
    """
    if not isinstance(identifier, list) or not identifier:
        return None
    kinds = [kind for kind in _loaded(identifier[-1]) if kind.lc_id() == identifier]
    found = {id(provider): provider for provider in map(PROVIDERS.of_class, kinds)}
    return next(iter(found.values())) if len(found) == 1 else None


def _loaded(name: object) -> Iterator[Any]:
    """Yield the classes in memory of this name: the table's, and those of the user's below them."""
    for module, own in _PLACES:
        kind = getattr(sys.modules.get(module), own, None)
        if kind is not None:
            yield from (each for each in (kind, *_subclasses(kind)) if each.__name__ == name)


def _subclasses(base: Any) -> Iterator[Any]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)
