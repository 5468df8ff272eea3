"""What answers report: every provider's shape, whole and in chunks, and reports that are wrong."""

from __future__ import annotations

import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from llm_optimizers.costs import Usage
from llm_optimizers.costs.answers import Reported
from llm_optimizers.costs.reports import Report, used_in


def reported(answer: object, *translated: object, adds_up: bool = False) -> Reported:
    return Report(adds_up=adds_up).add(answer, *translated).reported()


def of_counts(**counts: Any) -> Reported:
    return reported({"usage": counts})


CHAT = {"prompt_tokens": 100, "completion_tokens": 10}
PLAIN = Usage(input_tokens=100, output_tokens=10)


class Shapes:
    """Places and names, by what a server sends."""

    CASES: tuple[tuple[str, dict[str, Any], Usage], ...] = (
        ("groq, in a chunk", {"x_groq": {"usage": {**CHAT, "queue_time": 0.03}}}, PLAIN),
        ("vllm", {"usage": {**CHAT, "total_tokens": 110, "prompt_tokens_details": None}}, PLAIN),
        (
            "a gateway in Anthropic's way, with OpenAI's names",
            {
                "usage": {
                    "prompt_tokens": 20,
                    "completion_tokens": 10,
                    "total_tokens": 8_630,
                    "cache_read_input_tokens": 8_000,
                    "cache_creation_input_tokens": 600,
                }
            },
            Usage(
                input_tokens=8_620,
                output_tokens=10,
                cache_read_tokens=8_000,
                cache_write_tokens=600,
            ),
        ),
        (
            "a gateway with both shapes, one of them empty",
            {
                "usage": {
                    "prompt_tokens": 0,
                    "completion_tokens": 0,
                    "input_tokens": 20,
                    "output_tokens": 10,
                    "cache_read_input_tokens": 80,
                }
            },
            Usage(input_tokens=100, output_tokens=10, cache_read_tokens=80),
        ),
        (
            "litellm",
            {
                "usage": {
                    "prompt_tokens": 1_100,
                    "completion_tokens": 10,
                    "total_tokens": 1_110,
                    "prompt_tokens_details": {
                        "cached_tokens": 500,
                        "cache_creation_tokens": 400,
                        "cache_creation_token_details": {
                            "ephemeral_5m_input_tokens": 100,
                            "ephemeral_1h_input_tokens": 300,
                        },
                    },
                    "cache_creation_input_tokens": 400,
                    "cache_read_input_tokens": 500,
                    "server_tool_use": {"web_search_requests": 2},
                }
            },
            Usage(
                input_tokens=1_100,
                output_tokens=10,
                cache_read_tokens=500,
                cache_write_tokens=400,
                cache_write_1h_tokens=300,
                web_searches=2,
            ),
        ),
        (
            "thoughts that only the total of Gemini's server in OpenAI's format has",
            {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3_015}},
            Usage(input_tokens=10, output_tokens=3_005),
        ),
        (
            "perplexity",
            {
                "usage": {
                    "prompt_tokens": 33,
                    "completion_tokens": 7_163,
                    "total_tokens": 7_196,
                    "citation_tokens": 20_016,
                    "num_search_queries": 18,
                    "reasoning_tokens": 73_997,
                }
            },
            Usage(
                input_tokens=33,
                output_tokens=81_160,
                reasoning_tokens=73_997,
                web_searches=18,
                other_units=20_016,
            ),
        ),
        (
            "gemini, by modality",
            {
                "usageMetadata": {
                    "promptTokenCount": 1_000,
                    "candidatesTokenCount": 1_300,
                    "thoughtsTokenCount": 50,
                    "toolUsePromptTokenCount": 200,
                    "cachedContentTokenCount": 600,
                    "promptTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 200},
                        {"modality": "AUDIO", "tokenCount": 542},
                        {"modality": "IMAGE", "tokenCount": 258},
                    ],
                    "cacheTokensDetails": [
                        {"modality": "AUDIO", "tokenCount": 500},
                        {"modality": "TEXT", "tokenCount": 100},
                    ],
                    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1_290}],
                }
            },
            Usage(
                input_tokens=1_200,
                output_tokens=1_350,
                cache_read_tokens=600,
                reasoning_tokens=50,
                input_audio_tokens=542,
                input_image_tokens=258,
                cache_read_audio_tokens=500,
                output_image_tokens=1_290,
            ),
        ),
        (
            "openai's realtime",
            {
                "response": {
                    "usage": {
                        "input_tokens": 300,
                        "output_tokens": 90,
                        "total_tokens": 390,
                        "input_token_details": {
                            "audio_tokens": 200,
                            "cached_tokens": 128,
                            "cached_tokens_details": {"audio_tokens": 64},
                        },
                        "output_token_details": {"audio_tokens": 70},
                    }
                }
            },
            Usage(
                input_tokens=300,
                output_tokens=90,
                cache_read_tokens=128,
                input_audio_tokens=200,
                cache_read_audio_tokens=64,
                output_audio_tokens=70,
            ),
        ),
        (
            "a compaction of Anthropic's, which the top level leaves out",
            {
                "usage": {
                    "input_tokens": 23_000,
                    "output_tokens": 1_000,
                    "iterations": [
                        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
                        {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000},
                        {
                            "type": "advisor_message",
                            "model": "another",
                            "input_tokens": 40,
                            "output_tokens": 2,
                        },
                    ],
                }
            },
            Usage(input_tokens=203_000, output_tokens=4_500, other_units=42),
        ),
        (
            "bedrock, the end of a stream",
            {
                "metadata": {
                    "usage": {
                        "inputTokens": 5,
                        "outputTokens": 10,
                        "cacheReadInputTokens": 95,
                        "cacheDetails": [{"ttl": "1h", "inputTokens": 50}],
                        "cacheWriteInputTokens": 50,
                    }
                }
            },
            Usage(
                input_tokens=150,
                output_tokens=10,
                cache_read_tokens=95,
                cache_write_tokens=50,
                cache_write_1h_tokens=50,
            ),
        ),
        ("ollama", {"model": "m", "prompt_eval_count": 100, "eval_count": 10}, PLAIN),
        (
            "cohere, with a search",
            {
                "meta": {
                    "billed_units": {"input_tokens": 9.0, "output_tokens": 2.0, "search_units": 1}
                }
            },
            Usage(input_tokens=9, output_tokens=2, other_units=1),
        ),
        (
            "speech that is billed by the second",
            {"usage": {**CHAT, "prompt_audio_seconds": 90}},
            Usage(input_tokens=100, output_tokens=10, other_units=90),
        ),
    )


@pytest.mark.parametrize(
    ("answer", "usage"),
    [(answer, usage) for _, answer, usage in Shapes.CASES],
    ids=[name for name, *_ in Shapes.CASES],
)
def test_a_shape_is_read(answer: dict[str, Any], usage: Usage) -> None:
    found = reported(answer)
    assert found.usage == usage
    assert not found.suspicious
    assert used_in(answer) == usage


def test_objects_of_an_sdk_are_read_as_mappings() -> None:
    class Counts(BaseModel):
        model_config = ConfigDict(extra="allow")
        prompt_tokens: int

    class Answer(BaseModel):
        model: str
        usage: Counts

    extra: dict[str, Any] = {"completion_tokens": 10, "cost": 0.5}
    found = reported(Answer(model="m", usage=Counts(prompt_tokens=100, **extra)))
    assert (found.model, found.usage, found.cost) == ("m", PLAIN, Decimal("0.5"))


# --- pieces --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "pieces"),
    [
        ({"usage": {"server_tool_use": {"web_search_requests": 3}}}, {"web_searches": 3}),
        (
            {
                "usage": {
                    "server_tool_use": {"web_search_requests": 1, "code_execution_requests": 2}
                }
            },
            {"web_searches": 1},
        ),
        ({"usage": {"server_tool_use": {"code_execution_requests": 2}}}, {"code_sessions": 1}),
        ({"usage": {"server_tool_use": {"web_fetch_requests": 4}}}, {}),
        ({"usage": {"server_tool_use": {"moon_landings": 4}}}, {"other_units": 4}),
        (
            # What the server counts, not what failed.
            {
                "usage": {"server_tool_use": {"web_search_requests": 0}},
                "content": [{"type": "server_tool_use", "name": "web_search", "id": "a"}],
            },
            {},
        ),
        (
            {
                "content": [
                    {"type": "text", "text": "let me look"},
                    {"type": "server_tool_use", "name": "web_search", "id": "a"},
                    {"type": "web_search_tool_result", "tool_use_id": "a", "content": []},
                    {"type": "tool_use", "name": "web_search_of_mine", "id": "b"},
                ]
            },
            {"web_searches": 1},
        ),
        (
            {"content": [{"type": "server_tool_use", "name": "bash_code_execution", "id": "a"}]},
            {"code_sessions": 1},
        ),
        (
            {
                "output": [
                    {"type": "web_search_call", "id": "1", "action": {"type": "search"}},
                    {"type": "web_search_call", "id": "2", "action": {"type": "open_page"}},
                    {"type": "web_search_call", "id": "3", "status": "failed"},
                    {"type": "file_search_call", "id": "4"},
                    {"type": "code_interpreter_call", "id": "5", "container_id": "c"},
                    {"type": "code_interpreter_call", "id": "6", "container_id": "c"},
                    {"type": "image_generation_call", "id": "7", "status": "completed"},
                    {"type": "function_call", "id": "8"},
                    {"type": "mcp_call", "id": "9"},
                    {"type": "moon_call", "id": "10"},
                ]
            },
            {
                "web_searches": 1,
                "file_searches": 1,
                "code_sessions": 1,
                "images": 1,
                "other_units": 1,
            },
        ),
        (
            {"grounding_metadata": {"web_search_queries": ["a", "b", "a"]}},
            {"web_searches": 2},
        ),
        ({"usage": {"num_sources_used": 5}}, {"other_units": 5}),
        ({"usage": {"num_server_side_tools_used": 2}}, {"other_units": 2}),
        (
            {
                "usage": {
                    "num_server_side_tools_used": 4,
                    "server_side_tool_usage_details": {
                        "web_search_calls": 1,
                        "x_search_calls": 2,
                        "mcp_calls": 1,
                        "file_search_calls": 0,
                        "image_generation_calls": 1,
                    },
                }
            },
            {"web_searches": 1, "images": 1, "other_units": 2},
        ),
    ],
)
def test_what_is_billed_by_the_piece_is_counted(
    answer: dict[str, Any], pieces: dict[str, int]
) -> None:
    usage = reported(answer).usage
    assert usage == (Usage(**pieces) if pieces else None)
    tokens = {**answer.get("usage", {}), **CHAT}
    assert reported({**answer, "usage": tokens}).usage == PLAIN + Usage(**pieces)


def test_an_item_that_a_stream_repeats_counts_once() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search"}}
    report = Report()
    report.add({"type": "response.output_item.done", "item": item})
    report.add({"type": "response.completed", "response": {"output": [item], "usage": CHAT}})
    assert report.reported().usage == PLAIN + Usage(web_searches=1)


# --- costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "cost"),
    [
        ({"cost": 0.00123}, "0.00123"),
        ({"cost": "0.0001950"}, "0.0001950"),
        ({"cost": 0}, "0"),
        ({"cost": 1e-7}, "1E-7"),
        ({"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 19}}, "0.95"),
        ({"cost": 0.95, "is_byok": True, "cost_details": {"upstream_inference_cost": 19}}, "19.95"),
        ({"cost": 0, "is_byok": True}, None),
        ({"cost": {"total_cost": 0.0086, "request_cost": 0.006}}, "0.0086"),
        ({"cost_in_usd_ticks": 318_319_000}, "0.0318319000"),
        ({"estimated_cost": 0.0000268}, "0.0000268"),
        ({"cost": None}, None),
        ({}, None),
    ],
)
def test_what_a_provider_says_it_billed(counts: dict[str, Any], cost: str | None) -> None:
    found = of_counts(**CHAT, **counts)
    assert (found.cost, found.usage) == (None if cost is None else Decimal(cost), PLAIN)
    assert not found.suspicious


@pytest.mark.parametrize(
    ("answer", "cost"),
    [
        ({"cost": 0.25, "cost_details": {"upstream_inference_cost": 0.25}}, "0.25"),
        ({"headers": {"x-litellm-response-cost": "0.0000315"}}, "0.0000315"),
        ({"headers": {"x-litellm-response-cost": "None"}}, None),
        ({"headers": {"x-litellm-response-cost": "0.0"}}, None),  # a model without a price there
        ({"hidden_params": {"response_cost": 0.5}}, "0.5"),
        (SimpleNamespace(_hidden_params={"response_cost": 0.5}), "0.5"),
        ({"provider_metadata": {"gateway": {"cost": "0.0014"}}}, "0.0014"),
    ],
)
def test_a_cost_beside_the_counts_is_found(answer: object, cost: str | None) -> None:
    assert reported(answer).cost == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    "cost", [-0.1, math.nan, math.inf, "many", True, "NaN", 1e30, [1], "9" * 500, 10**40]
)
def test_a_cost_that_cannot_be_right_is_not_believed(cost: object) -> None:
    found = of_counts(**CHAT, cost=cost)
    assert (found.cost, found.suspicious, found.usage) == (None, True, PLAIN)


# --- tiers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "tier"),
    [
        ({}, "standard"),
        ({"service_tier": "default"}, "standard"),
        ({"service_tier": "flexflex"}, "flex"),
        ({"service_tier": "scale"}, "other"),
        ({"service_tier": "on_demand"}, "standard"),
        ({"service_tier": "performance"}, "other"),
        ({"response": {"service_tier": "priority"}}, "priority"),
        ({"service_tier": {"type": "flex"}}, "flex"),
        ({"serviceTier": {"type": "flex"}}, "flex"),
        ({"serviceTier": {"type": "reserved"}}, "other"),
        ({"metadata": {"serviceTier": {"type": "priority"}}}, "priority"),
        ({"usage": {"service_tier": "batch"}}, "batch"),
        ({"message": {"usage": {"service_tier": "priority"}}}, "priority"),
        ({"usage": {"service_tier": "standard", "speed": "fast"}}, "other"),
        ({"usage": {"service_tier": "standard", "speed": "standard"}}, "standard"),
        ({"usage": {"inference_geo": "us"}}, "other"),
        ({"performanceConfig": {"latency": "optimized"}}, "other"),
        ({"metadata": {"performanceConfig": {"latency": "optimized"}}}, "other"),
        ({"performanceConfig": {"latency": "standard"}}, "standard"),
        ({"usage": {"inference_geo": "global"}}, "standard"),
        ({"usage_metadata": {"traffic_type": "ON_DEMAND_FLEX"}}, "flex"),
        ({"usageMetadata": {"trafficType": "ON_DEMAND"}}, "standard"),
        ({"usageMetadata": {"trafficType": "ON_DEMAND_PRIORITY"}}, "priority"),
        ({"usageMetadata": {"trafficType": "PROVISIONED_THROUGHPUT"}}, "other"),
        ({"usageMetadata": {"trafficType": "ON_DEMAND_OFFPEAK"}}, "other"),
        ({"headers": {"x-gemini-service-tier": "flex"}}, "flex"),
        ({"service_tier": "turbo"}, "other"),
        ({"service_tier": 7}, "standard"),
    ],
)
def test_a_tier_is_read_in_its_providers_words(answer: dict[str, Any], tier: str) -> None:
    assert reported(answer).tier == tier


def test_the_last_tier_of_a_stream_counts() -> None:
    report = Report()
    report.add({"response": {"service_tier": "auto"}})
    report.add({"response": {"service_tier": "flex"}})
    assert report.add({"choices": []}).reported().tier == "flex"


# --- streams and translations --------------------------------------------------------------------


def test_the_parts_of_a_stream_are_one_report() -> None:
    report = Report()
    report.add(
        {
            "type": "message_start",
            "message": {
                "model": "claude",
                "usage": {
                    "input_tokens": 3,
                    "cache_read_input_tokens": 21_500,
                    "output_tokens": 1,
                    "cache_creation": {"ephemeral_1h_input_tokens": 40},
                },
            },
        }
    )
    report.add({"type": "message_delta", "usage": {"input_tokens": 3, "output_tokens": 250}})
    found = report.reported()
    assert found.model == "claude"
    assert found.usage == Usage(
        input_tokens=21_543,
        output_tokens=250,
        cache_read_tokens=21_500,
        cache_write_tokens=40,
        cache_write_1h_tokens=40,
    )


def test_counts_that_grow_are_not_added_up_nor_is_their_cost() -> None:
    report = Report()
    for output in (1, 4, 9):
        report.add(
            {"usage": {"prompt_tokens": 100, "completion_tokens": output, "cost": output / 8}}
        )
    found = report.reported()
    assert (found.usage, found.cost) == (
        Usage(input_tokens=100, output_tokens=9),
        Decimal("1.125"),
    )


def test_the_providers_own_counts_say_more_than_a_translation() -> None:
    own = {
        "prompt_tokens": 40,
        "completion_tokens": 8,
        "total_tokens": 1_048,
        "completion_tokens_details": {"reasoning_tokens": 1_000},
        "prompt_tokens_details": {"cached_tokens": 32},
    }
    translated = {"input_tokens": 40, "output_tokens": 8, "total_tokens": 1_048}
    usage = Usage(
        input_tokens=40,
        output_tokens=1_008,
        cache_read_tokens=32,
        reasoning_tokens=1_000,
    )
    for adds_up in (False, True):
        found = reported({"token_usage": own}, translated, adds_up=adds_up)
        assert found.usage == usage


def test_own_counts_that_a_framework_added_up_are_not_used_nor_their_cost() -> None:
    own = {"prompt_tokens": 300, "completion_tokens": 30, "cost_in_usd_ticks": 30}
    translated = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
    found = reported({"token_usage": own, "model": "grokgrok"}, translated, adds_up=True)
    assert (found.usage, found.cost, found.model) == (PLAIN, None, "grok")


@pytest.mark.parametrize(
    ("own", "translated", "adds_up", "usage"),
    [
        # The counts with the most tokens, input and output together.
        ((100, 20), (100, 10, 110), False, (100, 20)),
        ((10, 110), (60, 50, 110), False, (10, 110)),
        ((100, 20), (100, 30, 130), False, (100, 30)),
        # What only a translation's total has is no more than the provider's own.
        ((100, 20), (100, 10, 150), False, (100, 20)),
        # Without a total of their own they are a framework's sum if input and output are.
        ((100, 20), (100, 10, 110), True, (100, 10)),
        ((10, 100), (100, 10, 110), True, (10, 100)),
    ],
)
def test_of_two_reports_the_one_with_more_tokens_counts(
    own: tuple[int, int], translated: tuple[int, int, int], adds_up: bool, usage: tuple[int, int]
) -> None:
    provider = dict(zip(("prompt_tokens", "completion_tokens"), own, strict=True))
    names = ("input_tokens", "output_tokens", "total_tokens")
    made = dict(zip(names, translated, strict=True))
    found = reported({"token_usage": provider}, made, adds_up=adds_up).usage or Usage()
    assert (found.input_tokens, found.output_tokens) == usage


def test_a_sum_of_anthropics_counts_is_found_by_input_cache_and_output() -> None:
    own = {"input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 60}
    translated = {"input_tokens": 150, "output_tokens": 10, "total_tokens": 160}
    found = reported({"usage": own}, translated, adds_up=True).usage
    assert found == Usage(input_tokens=150, output_tokens=10)


def test_cached_audio_without_details_of_the_prompt_is_audio() -> None:
    counts = {"promptTokenCount": 100, "candidatesTokenCount": 10, "cachedContentTokenCount": 40}
    cached = [{"modality": "AUDIO", "tokenCount": 40}]
    found = reported({"usageMetadata": {**counts, "cacheTokensDetails": cached}})
    assert not found.suspicious
    assert found.usage is not None
    assert found.usage.input_audio_tokens == found.usage.cache_read_audio_tokens == 40


def test_a_cached_price_of_langchains_is_no_cost() -> None:
    translated = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "total_cost": 0}
    assert reported({}, translated).cost is None


# --- reports that are wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"prompt_tokens_details": {"cached_tokens": 500}},
            Usage(input_tokens=500, output_tokens=10),
        ),
        (
            {"prompt_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 60}},
            Usage(input_tokens=150, output_tokens=10, cache_write_tokens=60),
        ),
        (
            {"completion_tokens_details": {"reasoning_tokens": 50}},
            Usage(input_tokens=100, output_tokens=60, reasoning_tokens=50),
        ),
        (
            {"completion_tokens_details": {"audio_tokens": 50}},
            Usage(input_tokens=100, output_tokens=50, output_audio_tokens=50),
        ),
        (
            {"prompt_tokens_details": {"audio_tokens": 500}},
            Usage(input_tokens=500, output_tokens=10, input_audio_tokens=500),
        ),
        ({"total_tokens": 10**9}, PLAIN),
        ({"total_tokens": -3}, PLAIN),
        ({"prompt_tokens_details": {"cached_tokens": -5}}, PLAIN),
        ({"prompt_tokens": "100"}, PLAIN),
        ({"completion_tokens": 9.5}, PLAIN),
        ({"completion_tokens": True}, Usage(input_tokens=100)),
        ({"completion_tokens": math.nan}, Usage(input_tokens=100)),
        ({"completion_tokens": 1e30}, Usage(input_tokens=100)),
        ({"completion_tokens": 10**40}, Usage(input_tokens=100)),
        ({"completion_tokens": -10}, Usage(input_tokens=100)),
        ({"prompt_tokens": "many", "completion_tokens": math.inf}, None),
        ({"prompt_tokens": -100, "total_tokens": 110}, PLAIN),
        ({"completion_tokens": "many", "total_tokens": 110}, PLAIN),
        ({"server_tool_use": {"web_search_requests": -1}}, PLAIN),
    ],
)
def test_a_report_that_cannot_be_right_is_suspicious_and_never_cheaper(
    counts: dict[str, Any], usage: Usage | None
) -> None:
    found = of_counts(**{**CHAT, **counts})
    assert found.suspicious
    assert found.usage == usage


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "usage",
                        "usage_metadata",
                        "response",
                        "message",
                        "content",
                        "output",
                        "type",
                    ),
                    *(
                        "prompt_tokens",
                        "completion_tokens",
                        "total_tokens",
                        "prompt_tokens_details",
                    ),
                    *("cached_tokens", "input_tokens", "output_tokens", "cache_read_input_tokens"),
                    *("cache_creation", "iterations", "promptTokenCount", "promptTokensDetails"),
                    *("modality", "tokenCount", "inputTokens", "cacheDetails", "ttl", "tokens"),
                    *("server_tool_use", "web_search_requests", "cost", "cost_details", "is_byok"),
                    *("service_tier", "serviceTier", "model", "headers", "grounding_metadata"),
                    *("web_search_queries", "item", "name", "id", "output_tokens_details"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.lists(ANYTHING, max_size=3), ANYTHING, st.booleans())
def test_no_report_breaks_a_call(answers: list[Any], translated: Any, adds_up: bool) -> None:
    report = Report(adds_up=adds_up)
    for answer in answers:
        report.add(answer, translated)
    found = report.reported()
    assert found.cost is None or (found.cost.is_finite() and found.cost >= 0)
    if found.usage is not None:
        used = found.usage
        assert used.cache_read_tokens + used.cache_write_tokens <= used.input_tokens
        assert used.input_audio_tokens + used.input_image_tokens <= used.input_tokens
        assert used.reasoning_tokens <= used.output_tokens
        assert used.output_audio_tokens + used.output_image_tokens <= used.output_tokens
        assert used.cache_read_audio_tokens <= used.input_audio_tokens


def test_an_object_that_raises_is_suspicious() -> None:
    class Raises(dict[str, Any]):
        def get(self, *_: object) -> Any:
            raise RuntimeError

    found = Report().add(Raises(usage=CHAT)).reported()
    assert (found.usage, found.suspicious) == (None, True)
