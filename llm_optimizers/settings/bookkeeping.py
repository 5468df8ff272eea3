"""The settings of a call or a model that shape no answer, by what they are for.

A cache's key leaves them out, so that two requests that differ in nothing else share an answer. A
name may stand here only if its provider says what it is for, since a name that shapes an answer
would serve wrong ones. Whatever is not here is part of the key: `seed`, `logprobs`, `n`, `speed`,
Mistral's `safe_prompt`, Bedrock's `performanceConfig` (another version of the model), Ollama's
`options`, Anthropic's `inference_geo`, an address, a query (`extra_query`), and also:

* `store` says whether the answer's ids lie at the provider, where a later request may name them.
* An organisation, project, workspace or user profile is an account that the user chose for the
  call, with its own rules about data. It does not change from call to call.

A model's class says which API its settings are for (`Api`). In a class of the user's, a field named
`user` may be part of the prompt, so without an API only `_ANY_FIELD` and `_ANY_CALL` are left out.

What is served is also not done at the provider: with a hit, nothing is written to its logs under
these `metadata`, and no tier is billed. Tenants are not read from here (see `tenancy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from llm_optimizers.settings.nested import NESTED

__all__ = [
    "CALL_SETTINGS",
    "Api",
    "Apis",
    "delivery_of",
    "shapes_answer",
    "shaping_headers",
    "shaping_settings",
    "unmarked",
]

Api: TypeAlias = Literal["openai", "anthropic", "google", "ollama", "bedrock"]
"""Whose parameters a model's settings are."""
Apis: TypeAlias = frozenset[Api]
Purpose: TypeAlias = Literal[
    "account",
    "connection",
    "retries",
    "streaming and batching",
    "callbacks",
    "records",
    "prompt cache",
    "tier",
]

_ANY_FIELD: Mapping[Purpose, tuple[str, ...]] = MappingProxyType(
    {
        "account": ("api_key", "credentials"),
        "connection": (
            *("async_client", "client", "http_async_client", "http_client", "reuse_client"),
            *("default_request_timeout", "request_timeout", "timeout", "stream_chunk_timeout"),
        ),
        "retries": ("max_retries", "rate_limiter"),
        "streaming and batching": (
            *("embed_batch_size", "num_workers", "stream_usage", "streaming"),
            *("disable_streaming", "show_progress_bar"),
        ),
        "callbacks": (
            *("cache", "callback_manager", "callbacks", "class_name", "custom_get_token_ids"),
            *("embeddings_cache", "tiktoken_model_name", "verbose"),
        ),
    }
)
"""Fields of any model or embedder, as both frameworks and their integrations name them."""
_ANY_CALL: Mapping[Purpose, tuple[str, ...]] = MappingProxyType(
    {"connection": ("request_timeout", "timeout"), "retries": ("max_retries",)}
)
"""Settings of any call: of the SDKs' methods, not of a request's body."""
_AT: Mapping[Api, Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {
        # openai.types.chat.completion_create_params and .responses.response_create_params.
        "openai": {
            "records": (
                *("metadata", "user"),  # `user` is for abuse and for the provider's cache
                "safety_identifier",
                "call_metadata",  # LlamaIndex's name of `metadata`
            ),
            "prompt cache": ("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
            "tier": ("service_tier",),  # how soon and at what price, by the same model
            "streaming and batching": ("stream", "stream_options"),
            # langchain-openai, and Azure's clients.
            "connection": ("http_socket_options",),
            "account": (
                *("azure_ad_token", "azure_ad_token_provider", "azure_ad_async_token_provider"),
                "use_azure_ad",
            ),
        },
        # anthropic.types.message_create_params; `metadata` holds a `user_id` against abuse.
        "anthropic": {
            "records": ("metadata",),
            "prompt cache": ("cache_control", "cache_idx"),  # cache_idx: LlamaIndex
            "tier": ("service_tier",),
            "streaming and batching": ("stream",),
        },
        # Labels "with user-defined metadata" in google.genai.types.GenerateContentConfig.
        "google": {"records": ("labels",), "tier": ("service_tier",)},
        # In ollama._types; how long the model stays loaded afterwards.
        "ollama": {"connection": ("keep_alive",), "streaming and batching": ("stream",)},
        # botocore's bedrock-runtime, ConverseRequest and InvokeModelRequest.
        "bedrock": {
            "records": ("requestMetadata", "request_metadata"),  # "to filter invocation logs"
            # LlamaIndex has the first two, langchain-aws the third.
            "prompt cache": ("system_prompt_caching", "tool_caching", "cache_control"),
            "tier": ("serviceTier", "service_tier"),
            "account": (
                *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
                *("credentials_profile_name", "profile_name"),
            ),
        },
    }
)
CALL_SETTINGS = frozenset(name for names in _ANY_FIELD.values() for name in names)
"""Fields of any model that say how a call is made, not what is asked."""
_CALLS = frozenset(name for names in _ANY_CALL.values() for name in names)
_NAMES: Mapping[Api, frozenset[str]] = MappingProxyType(
    {api: frozenset(n for names in each.values() for n in names) for api, each in _AT.items()}
)
_TEXTS: Callable[[Any], bool] = lambda value: (  # noqa: E731 - one of a table's values
    isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
)
_ONLY_IF: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {"metadata": _TEXTS, "call_metadata": _TEXTS, "user": lambda value: isinstance(value, str)}
)
"""OpenAI and Anthropic take texts only. A gateway at the same address format may take more, and
choose a model by it (LiteLLM's `metadata: {"tags": [...]}`)."""
_HEADERS = ("extra_headers", "default_headers", "additional_headers", "headers")
_HOLDERS = (
    *NESTED,
    *("http_options", "client_kwargs", "async_client_kwargs", "sync_client_kwargs"),
)
"""Settings that hold further ones: of the request or of the client."""
_DELIVERY = ("service_tier", "serviceTier", "timeout", "request_timeout", "default_request_timeout")

_CLIENT_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "user-agent"}
    # An account's, or the browser's.
    | {"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"}
    # One request's: OpenAI, Azure, the SDKs' and proxies' own.
    | {"x-request-id", "x-client-request-id", "x-ms-client-request-id", "request-id"}
    | {"x-correlation-id", "correlation-id", "idempotency-key", "x-idempotency-key"}
    # Traces: W3C, Zipkin, Jaeger, Amazon, Google, Sentry.
    | {"traceparent", "tracestate", "b3", "uber-trace-id", "x-amzn-trace-id"}
    | {"x-cloud-trace-context", "sentry-trace", "x-trace-id"}
    | {"newrelic", "elastic-apm-traceparent", "x-dynatrace"}
    # Logs and accounts of gateways, by their documentation: Helicone, Portkey, OpenRouter, LiteLLM.
    | {"helicone-auth", "helicone-request-id", "helicone-user-id", "x-portkey-api-key"}
    | {"x-portkey-trace-id", "x-portkey-span-id", "x-portkey-span-name"}
    | {"x-portkey-parent-span-id", "http-referer", "x-title", "x-openrouter-title"}
    | {"x-litellm-trace-id", "x-litellm-session-id", "x-litellm-call-id"}
)
_CLIENT_HEADERS_BEGIN = (
    *("x-b3-", "x-datadog-", "x-stainless-", "langfuse_"),
    *("helicone-session-", "helicone-property-"),
)
"""Headers of any client, account, request or trace. All others count: `anthropic-beta`,
`openai-beta` and a gateway's own change the answer, and so may those that nobody has described."""
_MARKS = frozenset({"cache_control", "cachePoint", "cache_point", "prompt_cache_breakpoint"})
"""Where the provider's prompt cache ends, in content blocks and tools."""
_MARK_BLOCKS = ("cache", "cache_point", "cachePoint")  # LlamaIndex's, langchain-aws's
_IN_MARK_BLOCKS = frozenset({*_MARKS, *_MARK_BLOCKS, "type", "cache_type", "ttl"})
"""What such a block has; one of this name with anything else is somebody's content."""
_MARKED = ("tools", "system", "toolConfig")
"""Settings that hold tools and content blocks."""
_WITH_PARTS = frozenset({*_MARKED, *_HEADERS, *_HOLDERS})


def shapes_answer(name: str, value: object, apis: Apis) -> bool:
    """Return whether a setting of a call shapes its answer, at any of the APIs that it may go to.

    Without `apis` it is not known where it goes.
    """
    if name not in _bookkeeping_at(apis):
        return True
    fits = _ONLY_IF.get(name)
    return not (value is None or fits is None or fits(value))


@lru_cache(maxsize=64)
def _bookkeeping_at(apis: Apis) -> frozenset[str]:
    """Return the names of settings that shape no answer at any of the APIs."""
    names = [_NAMES[api] for api in apis]
    return _CALLS.union(frozenset.intersection(*names)) if names else _CALLS


def shaping_settings(
    settings: Mapping[str, Any], apis: Apis, *, fields: bool = False
) -> dict[str, Any]:
    """Return those settings that shape an answer, without the others inside them.

    `fields` are a model's; the others are a call's.
    """
    skipped = CALL_SETTINGS if fields else _CALLS
    books = _bookkeeping_at(apis)
    kept = {}
    for name, value in settings.items():
        if name in skipped or (name in books and not shapes_answer(name, value, apis)):
            continue
        if name in _WITH_PARTS:
            shaped = _shaping_part(name, value, apis)
            # What holds nothing is as if it were not there.
            if apis and isinstance(shaped, Mapping) and not shaped:
                continue
            kept[name] = shaped
        else:
            kept[name] = value
    return kept


def _shaping_part(name: str, value: Any, apis: Apis) -> Any:
    """Return what shapes an answer in one setting: the value itself if all of it does."""
    if name in _MARKED:
        return _without_marks(value)
    if not apis or not isinstance(value, Mapping):
        return value
    if name in _HEADERS:
        return shaping_headers(value)
    if name == "http_options":  # Gemini's, whose fields are all there
        return shaping_settings({k: v for k, v in value.items() if v is not None}, apis)
    return shaping_settings(value, apis)


def shaping_headers(headers: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the headers that may shape an answer, by their names in small letters."""
    named = {str(name).lower(): value for name, value in headers.items()}
    return {
        name: value
        for name, value in named.items()
        if name not in _CLIENT_HEADERS and not name.startswith(_CLIENT_HEADERS_BEGIN)
    }


def unmarked(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a content block without marks for the provider's prompt cache; {} if it is one."""
    if block.get("type") in _MARK_BLOCKS and block.keys() <= _IN_MARK_BLOCKS:
        held = block.get("cache")
        if not isinstance(held, Mapping) or held.keys() <= _IN_MARK_BLOCKS:
            return {}
    extras = block.get("extras")  # LangChain's place for what only one provider reads
    if isinstance(extras, Mapping) and not _MARKS.isdisjoint(extras):
        others = {name: value for name, value in block.items() if name != "extras"}
        left = _left(extras)
        block = {**others, "extras": left} if left else others
    return block if _MARKS.isdisjoint(block) else _left(block)


def _without_marks(value: Any) -> Any:
    """Return tools or system prompts without marks, and without what is only a mark."""
    if isinstance(value, list | tuple):
        return [left for each in value if (left := _without_marks(each)) or not each]
    if not isinstance(value, Mapping):
        return value
    held = {name: _without_marks(value[name]) for name in _MARKED if name in value}
    extras = value.get("extras")
    if isinstance(extras, Mapping) and not _MARKS.isdisjoint(extras):
        held["extras"] = _left(extras) or None
    value = {**value, **held} if held else value
    return value if _MARKS.isdisjoint(value) else _left(value)


def _left(marked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in marked.items() if name not in _MARKS}


def delivery_of(*sources: object) -> tuple[tuple[str, str], ...]:
    """Return how soon an answer is wanted: service tiers and timeouts that the sources set.

    A source is a mapping of settings, or a model. Calls that differ here share stored answers but
    do not wait for one another: a priority call would wait for a flex call, and one with a short
    timeout for one with a long one.
    """
    found = dict.fromkeys(pair for source in sources for pair in _delivery(source))
    return tuple(sorted(found))


def _delivery(source: object) -> Iterator[tuple[str, str]]:
    values = source if isinstance(source, Mapping) else getattr(source, "__dict__", {})
    for name in _DELIVERY:
        value = values.get(name)
        if value is not None:
            yield name, str(value)
    for name in NESTED:
        nested = values.get(name)
        if nested and isinstance(nested, Mapping):
            yield from _delivery(nested)
