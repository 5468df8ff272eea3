"""Model names: their provider, and whether a listed name is really that model.

Frameworks use different names for the same provider. Only the names listed here are understood;
a name that resembles a known one (`my-openai-proxy`) stays unknown, since its prices are unknown.

The price list's rules are loose (`starts_with: claude-sonnet-4-5`) and would price names that do
not exist. Here a name matches if the list has exactly that name, if it differs from a listed name
only by what providers append without changing the model (a date, a revision, `-latest`,
`-preview`, a fine-tuning job), or if it matches a pattern anchored at both ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ModelName",
    "always_searches",
    "canonical_provider",
    "is_open_weights",
    "is_same_model",
    "is_self_hosted",
    "knows_provider",
    "parse_model",
    "provider_of",
    "without_snapshot",
]

# Servers of the user's own: they have a name and no list price.
_SELF_HOSTED: Mapping[str, tuple[str, ...]] = {
    "ollama": ("ollama_chat",),
    "vllm": ("hosted_vllm",),
    "llamacpp": ("llama_cpp", "llama-cpp", "llamafile"),
    "lmstudio": ("lm_studio",),
    "sglang": (),
    "gpt4all": (),
    "localai": (),
    "mlx": (),
    "openllm": (),
    "tgi": ("textgeninference", "huggingface_textgen_inference"),
    "transformers": ("huggingfacepipeline", "huggingface_pipeline"),
    "xinference": (),
}
# LangChain (`ls_provider`, `init_chat_model`), LlamaIndex, LiteLLM and Pydantic AI names, and the
# names of the price list.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "anthropic": (),
    "aws": (
        "bedrock",
        "bedrock_converse",
        "amazon_bedrock",
        "amazon-bedrock",
        "anthropic_bedrock",
        "anthropic-bedrock",
        "anthropic-mantle",
        "openai-mantle",
    ),
    "azure": ("azure_openai", "azure-openai", "azure_ai", "azure_ad"),
    "cerebras": (),
    "cohere": ("cohere_chat",),
    "databricks": (),
    "deepseek": (),
    "fireworks": ("fireworks_ai", "fireworks-ai"),
    "google": (
        "google_genai",
        "genai",
        "google_vertexai",
        "google_anthropic_vertex",
        "anthropic_vertex",
        "anthropicvertex",
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
    **_SELF_HOSTED,
}
_CANONICAL = {alias: name for name, aliases in _NAMES.items() for alias in (name, *aliases)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model's provider (None if the name does not say) and its name without it."""

    provider: str | None
    name: str


def canonical_provider(name: str) -> str:
    """Return the price list's name of a provider; an unknown name in lower case."""
    lowered = name.strip().lower()
    return _CANONICAL.get(lowered, lowered)


def knows_provider(name: str) -> bool:
    """Whether this is a known provider's name."""
    return name.strip().lower() in _CANONICAL


def is_self_hosted(provider: str) -> bool:
    """Whether this is the name of a server that users run themselves."""
    return canonical_provider(provider) in _SELF_HOSTED


def provider_of(class_name: str, stated: str = "") -> str | None:
    """Return the provider of a framework's model: the `stated` one, else from its class's name.

    Classes are named after their provider: `ChatOpenAI`, `openai_llm`, `Anthropic_LLM`,
    `OpenAIEmbedding`. None if that is not a known provider. LangChain states the class's name if
    a model names no provider; that is not taken as a provider.
    """
    derived = class_name.lower()
    for word in ("chat", "_llm", "llm", "_embedding", "embedding"):
        derived = derived.removesuffix(word)
    derived = derived.removeprefix("chat")
    if stated and (stated.lower() != derived or knows_provider(stated)):
        return stated
    return derived if knows_provider(derived) else None


def parse_model(model: str, provider: str | None = None) -> ModelName:
    """Split a provider prefix and a path from a model's name.

    The prefix must be a known provider and, if `provider` is given, the same one:
    `openai/gpt-4o` from openrouter keeps its name. LiteLLM's names have a prefix, and for Bedrock a
    route and a region (`bedrock/converse/…`). Google's names may be paths (`models/…`), Bedrock's
    ARNs, Fireworks' short. A vendor before a dot (`us.anthropic.…`) means Bedrock.
    """
    name = model.strip().lower()
    given = None if provider is None else canonical_provider(provider)
    if given in _GATEWAYS:
        given = None
    ends = [end for end in (name.find("/"), name.find(":")) if end > 0]
    prefix = name[: min(ends)] if ends else ""
    if prefix in _GATEWAYS and given is None:
        return parse_model(name[len(prefix) + 1 :])
    known = _CANONICAL.get(prefix)
    if known is not None and given in (None, known):
        given, name = known, name[len(prefix) + 1 :]
    return _without_path(given, name)


def _without_path(provider: str | None, name: str) -> ModelName:
    """Return a model's name without the path that only says where it is."""
    if provider == "aws" or (provider is None and _AWS_ID.match(name)):
        provider, name = "aws", _AWS_ROUTE.sub("", name)
        arn = _AWS_ARN.match(name)
        name = name if arn is None else arn["model"] or name
    elif provider == "fireworks" and name and "/" not in name:
        name = f"accounts/fireworks/models/{name}"
    # Google's own resource names, which also its endpoint in OpenAI's format takes.
    elif provider in (None, "google", "openai") and (path := _GOOGLE_PATH.match(name)):
        provider, name = "google", name[path.end() :]
    return ModelName(provider=provider, name=name)


# https://platform.openai.com/docs/models, https://docs.anthropic.com/en/docs/about-claude/models,
# https://ai.google.dev/gemini-api/docs/models,
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
_APPENDED = re.compile(
    r"(?:[-@]20\d{2}(?:\d{4})?|-20\d{2}-\d{2}-\d{2}|-\d{2}-20\d{2}|-\d{2}-\d{2}|-0\d{2}|-\d{4}"
    r"|[-@]latest|@default|@0\d{2}|-preview|-exp|-v\d+(?::\d+)?|[-@/])$"
)
# https://ai.google.dev/api/models, https://cloud.google.com/vertex-ai/docs/reference/rest
_GOOGLE_PATH = re.compile(
    r"^(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?models/(?=[^/]+$)"
)
# Of the ARNs of application inference profiles, prompt routers, imported, custom and provisioned
# models none names its model
# (https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-create.html).
_AWS_ARN = re.compile(
    r"^arn:aws[a-z-]*:bedrock:[^:]*:[^:]*:(?:(?:foundation-model|inference-profile)/(?P<model>[^/]+)$)?"
)
_AWS_ID = re.compile(r"^(?:arn:aws[a-z-]*:bedrock:|(?:[a-z]+(?:-[a-z]+)?\.)?[a-z0-9]+\.[a-z])")
_AWS_ROUTE = re.compile(r"^(?:(?:converse|invoke|converse_like)/)?(?:[a-z]{2}(?:-[a-z]+)+-\d/)?")
# "regional." stands in the price list for all of them but "global.".
_AWS_REGION = re.compile(r"^(?:us|us-gov|eu|apac|au|jp|in|ca|global|regional)\.")
_GATEWAYS = frozenset({"litellm", "litellm_proxy", "litellm-proxy"})
# They search before each answer, for a fee that is no part of their rates for tokens and that no
# answer counts (https://developers.openai.com/api/docs/pricing).
_SEARCHES = re.compile(r"(?:openai/)?gpt-.+-search-(?:preview|api)")
# A number of parameters, or the name of a release. Mistral's API has sizes too, in names that start
# with "open-" or end with "-latest".
_SIZE = re.compile(r"(?:^|[-_])\d{1,4}(?:x\d{1,4})?b(?:[-_]|$)")
_RELEASE = re.compile(r"(?:deepseek-(?:r1|v[23])|mistral-nemo)\b")
_FUZZY = ("starts_with", "ends_with", "contains")


def always_searches(name: str) -> bool:
    """Whether it is a model that searches the web before each answer."""
    return _SEARCHES.match(name) is not None


def is_open_weights(name: str) -> bool:
    """Whether it is the name of weights to download, which many providers host."""
    sized = _SIZE.search(name) is not None and not name.startswith("open-")
    return (sized and not name.endswith("-latest")) or _RELEASE.match(name) is not None


def is_same_model(listed_id: str, rule: Any, name: str) -> bool:
    """Whether `name` (lower case), which `rule` accepts, is exactly the model `listed_id`.

    `rule` is a match clause of genai-prices. A path before the name and Bedrock's region and
    vendor are ignored. A fine-tuned model has another price than the one it is made from.
    """
    listed = listed_id.lower()
    if _is_tuned(name) != _is_tuned(listed):
        return False
    last = name.rsplit("/", 1)[-1]
    bare = _AWS_REGION.sub("", last)
    names = {name, last, bare, bare.removeprefix("anthropic.")}
    if listed in names or _AWS_REGION.sub("", listed) in names:
        return True
    stems = {without_snapshot(each) for each in names}
    for kind, text in _clauses(rule):
        if kind == "regex":
            if _anchored(text) and any(re.search(text, each) for each in names):
                return True
        elif text.lower() in names or (kind in _FUZZY and without_snapshot(text.lower()) in stems):
            return True
    return False


def _clauses(rule: Any) -> Iterator[tuple[str, str]]:
    """Yield the leaves of a rule: the kind of test and the text tested for."""
    for clause in (*getattr(rule, "or_", ()), *getattr(rule, "and_", ())):
        yield from _clauses(clause)
    for kind, text in vars(rule).items():
        if isinstance(text, str):
            yield kind, text


def _is_tuned(name: str) -> bool:
    """Whether it is a fine-tuned model, by OpenAI's name for it or by Azure's."""
    return name.startswith("ft:") or ".ft-" in name


def _anchored(pattern: str) -> bool:
    return pattern.startswith("^") and pattern.endswith("$")


def without_snapshot(name: str) -> str:
    """Return a name without its region, snapshot, alias and fine-tuning job."""
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    name = name.split(".ft-")[0] + ".ft" if ".ft-" in name else name
    while (shorter := _APPENDED.sub("", name)) != name:
        name = shorter
    return _AWS_REGION.sub("", name).strip("/")
