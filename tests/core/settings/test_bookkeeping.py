"""Settings that shape no answer: each with its reason, and everything else counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import pytest
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses

from llm_optimizers.settings.bookkeeping import (
    Api,
    delivery_of,
    shapes_answer,
    shaping_headers,
    shaping_settings,
    unmarked,
)

APIS: tuple[Api, ...] = get_args(Api)
OPENAI = frozenset[Api]({"openai"})


def at(api: str) -> frozenset[Any]:
    return frozenset({api})


@pytest.mark.parametrize(
    ("api", "name", "value"),
    [
        ("openai", "user", "ann"),
        ("openai", "safety_identifier", "a1"),
        ("openai", "metadata", {"team": "a"}),
        ("openai", "metadata", None),
        ("openai", "prompt_cache_key", "s"),
        ("openai", "prompt_cache_retention", "24h"),
        ("openai", "prompt_cache_options", {"ttl": "1h"}),
        ("openai", "service_tier", "flex"),
        ("openai", "stream_options", {"include_usage": True}),
        ("anthropic", "metadata", {"user_id": "a"}),
        ("anthropic", "cache_control", {"type": "ephemeral"}),
        ("anthropic", "service_tier", "auto"),
        ("google", "labels", {"team": "a"}),
        ("ollama", "keep_alive", "5m"),
        ("bedrock", "requestMetadata", {"team": "a"}),
        ("bedrock", "serviceTier", {"type": "flex"}),
        ("bedrock", "aws_session_token", "changes every hour"),
        *((api, name, 3) for api in APIS for name in ("timeout", "request_timeout", "max_retries")),
    ],
)
def test_what_a_provider_says_shapes_no_answer(api: str, name: str, value: Any) -> None:
    assert not shapes_answer(name, value, at(api))


@pytest.mark.parametrize(
    ("api", "name", "value"),
    [
        *(("openai", name, 1) for name in ("seed", "n", "logprobs", "top_logprobs", "temperature")),
        *(("openai", name, "x") for name in ("store", "modalities", "prediction", "verbosity")),
        ("openai", "extra_query", {"api-version": "2"}),
        ("openai", "metadata", {"tags": ["paid"]}),  # a gateway chooses a model by it
        ("openai", "user", {"name": "ann"}),
        ("openai", "labels", {"team": "a"}),
        ("openai", "keep_alive", 3),
        ("openai", "openai_organization", "org"),
        ("openai", "safe_prompt", True),  # Mistral's, by way of OpenAI's client
        *(("anthropic", name, "x") for name in ("user", "speed", "inference_geo", "betas")),
        ("google", "metadata", {"team": "a"}),
        ("ollama", "user", "ann"),
        ("ollama", "options", {"num_ctx": 1}),
        ("bedrock", "performanceConfig", {"latency": "optimized"}),
        ("bedrock", "metadata", {"team": "a"}),
    ],
)
def test_everything_else_counts(api: str, name: str, value: Any) -> None:
    assert shapes_answer(name, value, at(api))


def test_without_a_known_api_only_the_transport_does_not_count() -> None:
    given = {"user": "ann", "metadata": {}, "service_tier": "flex", "timeout": 3}
    assert shaping_settings(given, frozenset()) == {
        "user": "ann",
        "metadata": {},
        "service_tier": "flex",
    }


def test_a_setting_counts_if_it_counts_at_one_of_several_apis() -> None:
    given = {"user": "ann", "metadata": {"user_id": "a"}}
    assert shaping_settings(given, frozenset[Api]({"openai", "anthropic"})) == {"user": "ann"}


@pytest.mark.parametrize("names", [chat, responses])
def test_openai_has_the_parameters_that_are_left_out(names: Any) -> None:
    known = {name for kind in vars(names).values() for name in getattr(kind, "__annotations__", {})}
    skipped = {name for name in known if not shapes_answer(name, None, OPENAI)}
    # Its SDK's own type has these, and no others of its parameters are left out.
    assert skipped == {
        *("metadata", "user", "safety_identifier", "service_tier", "stream", "stream_options"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    }


NESTED = ("extra_body", "model_kwargs", "additional_kwargs", "generation_config")


@pytest.mark.parametrize("name", NESTED)
def test_nested_settings_count_by_what_is_in_them(name: str) -> None:
    assert shaping_settings({name: {"user": "ann"}}, OPENAI) == {}
    assert shaping_settings({name: {"user": "ann", "top_k": 3}}, OPENAI) == {name: {"top_k": 3}}
    assert shaping_settings({name: {}}, OPENAI) == {}
    deep = {name: {"extra_body": {"user": "a", "min_p": 1}, "extra_headers": {"B3": "1"}}}
    assert shaping_settings(deep, OPENAI) == {name: {"extra_body": {"min_p": 1}}}
    assert shaping_settings({name: {"user": "ann"}}, frozenset()) == {name: {"user": "ann"}}


def test_gemini_s_http_options() -> None:
    given = {"http_options": {"timeout": 3, "headers": {"traceparent": "1"}, "base_url": None}}
    assert shaping_settings(given, at("google")) == {}
    assert shaping_settings({"http_options": {"api_version": "v1"}}, at("google")) != {}


@pytest.mark.parametrize(
    "name",
    [
        *("X-Request-Id", "x-client-request-id", "Idempotency-Key", "traceparent", "tracestate"),
        *("X-B3-TraceId", "x-stainless-timeout", "x-datadog-trace-id", "X-Amzn-Trace-Id"),
        *("Authorization", "User-Agent", "Cookie"),
    ],
)
def test_headers_of_a_request_a_trace_or_a_client(name: str) -> None:
    assert shaping_headers({name: "1"}) == {}
    assert shaping_settings({"extra_headers": {name: "1"}}, OPENAI) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("anthropic-beta", "OpenAI-Beta", "anthropic-version", "OpenAI-Organization"),
        *("OpenAI-Project", "x-portkey-config", "x-route", "baggage", "Accept-Language"),
    ],
)
def test_all_other_headers_count_whatever_their_case(name: str) -> None:
    one, same, other = (
        shaping_settings({"extra_headers": {each: value, "b3": value}}, OPENAI)
        for each, value in ((name, "1"), (name.upper(), "1"), (name, "2"))
    )
    assert one["extra_headers"].keys() == {name.lower()}
    assert one["extra_headers"] == {**same["extra_headers"]}
    assert one != other


MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("block", "left"),
    [
        ({"type": "text", "text": "a", **MARK}, {"type": "text", "text": "a"}),
        ({"cachePoint": {"type": "default"}}, {}),
        ({"type": "cache_point", "cache_type": "default"}, {}),
        ({"type": "cache", "cache": {"cache_control": {"type": "ephemeral"}}}, {}),
        ({"type": "text", "text": "cache_control"}, {"type": "text", "text": "cache_control"}),
    ],
)
def test_marks_of_the_provider_s_prompt_cache(block: dict[str, Any], left: Any) -> None:
    assert unmarked(block) == left


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ({"tools": [{"name": "f", **MARK}]}, {"tools": [{"name": "f"}]}),
        ({"tools": [{"name": "f", "extras": MARK}]}, {"tools": [{"name": "f", "extras": None}]}),
        ({"system": [{"text": "a"}, {"cachePoint": {}}]}, {"system": [{"text": "a"}]}),
        (
            {"tools": {"tools": [{"toolSpec": {}}, {"cachePoint": {}}], "toolChoice": {}}},
            {"tools": {"tools": [{"toolSpec": {}}], "toolChoice": {}}},
        ),
    ],
)
def test_marks_in_tools_and_system_prompts(marked: Any, plain: Any) -> None:
    assert shaping_settings(marked, frozenset()) == plain
    assert shaping_settings(plain, frozenset()) == plain


def test_a_schema_may_name_its_fields_as_it_likes() -> None:
    schema = {"parameters": {"properties": {"cache_control": {}, "user": {}, "timeout": {}}}}
    given = {"tools": [{"type": "function", "function": schema}], "response_format": schema}
    assert shaping_settings(given, OPENAI) == given


def test_how_soon_an_answer_is_wanted() -> None:
    model = SimpleNamespace(service_tier="flex", request_timeout=30, temperature=1)
    assert delivery_of({}, model) == (("request_timeout", "30"), ("service_tier", "flex"))
    assert delivery_of({"timeout": 3, "user": "a"}) == (("timeout", "3"),)
    assert delivery_of({"extra_body": {"service_tier": "flex"}}) == (("service_tier", "flex"),)
    assert delivery_of({"temperature": 1}, object()) == ()
