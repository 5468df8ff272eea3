"""PriceBook: dated list prices with strict checks, and the user's own prices."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.costs import ModelPrice, PriceBook, Usage
from llm_optimizers.costs.prices.rates import RateCard
from llm_optimizers.errors import ConfigurationError, UnpricedError

NOW = datetime(2026, 11, 1, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)
MILLION = Usage(input_tokens=1_000_000)


@pytest.fixture(scope="module")
def book():
    return PriceBook(clock=NOW.timestamp)


ARN = "arn:aws:bedrock:us-east-1"
# Dollars per million input tokens, by the providers' own pages.
PRICED = {
    "gpt-4o-mini": "0.15",
    "GPT-4o-mini": "0.15",
    "openai:gpt-4o-mini": "0.15",
    "openai/gpt-4o-mini": "0.15",
    "gpt-4o-mini-2024-07-18": "0.15",
    "gpt-4o-2024-05-13": "5",
    "gpt-4-0613": "30",
    "gpt-5-nano-2025-08-07": "0.05",
    "anthropic:claude-sonnet-4-5": "3",
    "claude-sonnet-4-5-20250929": "3",
    "claude-sonnet-4@20250514": "3",
    "claude-3-5-haiku-latest": "0.80",
    "mistralai/mistral-large-latest": "2",
    "google_genai:gemini-1.5-pro-002": "1.25",
    "models/gemini-1.5-pro-002": "1.25",
    "models/gemini-2.5-flash": "0.3",
    "publishers/google/models/gemini-2.5-flash": "0.3",
    "projects/mine/locations/us-central1/publishers/google/models/gemini-2.5-flash": "0.3",
    "text-embedding-3-small": "0.02",
    "text-embedding-ada-002": "0.10",
    "ft:gpt-4o-mini-2024-07-18:acme::7p4lURel": "0.3",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": "3.3",
    "amazon.nova-lite-v1:0": "0.06",
    "bedrock/meta.llama3-1-70b-instruct-v1:0": "0.72",
    "azure/gpt-4o": "2.5",
    "anthropic.claude-3-5-sonnet-20240620-v1:0": "3",
    "us.anthropic.claude-3-7-sonnet-20250219-v1:0": "3",
    "apac.anthropic.claude-3-5-sonnet-20241022-v2:0": "3",
    "us.anthropic.claude-3-5-haiku-20241022-v1:0": "0.8",
    "anthropic.claude-3-haiku-20240307-v1:0": "0.25",
    "anthropic.claude-3-opus-20240229-v1:0": "15",
    "eu.anthropic.claude-sonnet-4-5-20250929-v1:0": "3.3",
    "global.anthropic.claude-sonnet-4-5-20250929-v1:0": "3",
    f"{ARN}:123456789012:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0": "3",
    f"{ARN}::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0": "3.3",
    f"{ARN}:123456789012:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0": "0.25",
    f"bedrock/{ARN}::foundation-model/anthropic.claude-3-haiku-20240307-v1:0": "0.25",
    "bedrock/converse/us.anthropic.claude-3-haiku-20240307-v1:0": "0.25",
    "bedrock/us-west-2/anthropic.claude-3-haiku-20240307-v1:0": "0.25",
    "bedrock/invoke/eu-central-1/anthropic.claude-3-haiku-20240307-v1:0": "0.25",
    "publishers/anthropic/models/claude-sonnet-4-5@20250929": "3",
    "projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929": "3",
    "vertex_ai/claude-sonnet-4-5@20250929": "3",
    "gemini/gemini-2.5-flash": "0.3",
    "litellm_proxy/gpt-4o": "2.5",
    "litellm_proxy/azure/gpt-4o": "2.5",
    "openrouter/anthropic/claude-sonnet-4.5": "3",
    "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo": "0.88",
    "fireworks_ai/accounts/fireworks/models/deepseek-v3p2": "0.56",
    "fireworks_ai/deepseek-v3p2": "0.56",
    "groq/openai/gpt-oss-120b": "0.15",
    "databricks/databricks-meta-llama-3-3-70b-instruct": "0.5",
    "ft:gpt-3.5-turbo-0125:acme::7p4lURel": "3",
    "gpt-4o-mini-2024-07-18.ft-abc": "0.3",
}


@pytest.mark.parametrize(("model", "dollars"), PRICED.items())
def test_listed_names_snapshots_and_aliases_are_priced(book, model, dollars):
    assert book.rates(model, at=NOW).input * 1_000_000 == Decimal(dollars)


@pytest.mark.parametrize(
    "model",
    [
        "claude-sonnet-4-5-foo",
        "claude-3-5-haiku-turbo",
        "anthropic:claude-opus-4-5-uncensored",
        "gpt-4o-mini-foo",
        "gpt-4o-mini-2031-01-01",
        "gpt-99",
        "gemini-1.5-flash-8b",
        "ft:gpt-4o-mini",
        "ft:gpt-4-0613:acme::1",  # the list has it under gpt-4, at the price of gpt-4
        "ft:gpt-4.1-2025-04-14:acme::1",
        "gpt-4o-2024-08-06.ft-abc",
        "openai/gpt-4o:nitro",
        "openrouter/openai/gpt-4o:free",
        "openrouter/deepseek/deepseek-r1:free",
        "kr.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-v2:1",
        "my.gpt-4o",
        "/models/llama-3.1-8b-instruct.Q4_K_M.gguf",
        "models/llama.gguf",
        "tunedModels/mine",
        "projects/p/locations/us-central1/endpoints/123",
        f"{ARN}:1:application-inference-profile/a1b2",
        f"{ARN}:1:provisioned-model/a1b2",
        f"{ARN}:1:custom-model/anthropic.claude-3-haiku-20240307-v1:0/a1b2",
        f"{ARN}::foundation-model/my.claude-3-haiku-20240307-v1:0",
        "azure/my-deployment",
        "databricks/my-endpoint",
        "hosted_vllm/gpt-4o",
        "litellm_proxy/ollama/llama3.1",
        "whisper-1",
        "llama3.1",
        "llama3.1-8b",
        "llama3.1:8b",
        "mistral:7b",
        "deepseek-r1:7b",
        "ollama/llama3.1:8b",
        "meta-llama/Llama-3.1-8B-Instruct",
        "google/gemma-3-27b-it",
        "qwen3-32b",
        "my-model",
        "",
        ":",
        "/",
        "openai:",
    ],
)
def test_unlisted_models_are_unpriced_and_never_free(book, model):
    with pytest.raises(UnpricedError, match="ModelPrice"):
        book.cost(MILLION, model)
    with pytest.raises(UnpricedError):
        book.rates(model)


@pytest.mark.parametrize(
    ("model", "host"),
    [
        ("deepseek-r1", "deepseek"),
        ("mixtral-8x7b", "mistral"),
        ("mistral-7b", "mistral"),
        ("mistral-nemo", "mistral"),
        ("llama-3.3-70b-versatile", "groq"),
        ("gpt-oss-120b", "cerebras"),
    ],
)
def test_open_weights_have_no_price_without_who_serves_them(book, model, host):
    with pytest.raises(UnpricedError, match="open weights"):
        book.cost(MILLION, model, at=NOW)
    assert book.rates(model, provider=host, at=NOW).input > 0


@pytest.mark.parametrize("provider", [None, "openai", "azure"])
@pytest.mark.parametrize("model", ["gpt-oss-20b", "openai/gpt-oss-120b"])
def test_a_resellers_price_is_not_the_developers(book, provider, model):
    """OpenAI does not serve gpt-oss; the list has OpenRouter's price under its name."""
    with pytest.raises(UnpricedError):
        book.cost(MILLION, model, provider=provider)
    assert book.cost(MILLION, "openai/gpt-oss-120b", provider="openrouter") > 0


@pytest.mark.parametrize("model", ["open-mistral-7b", "ministral-8b-latest", "gpt-chat-latest"])
def test_names_of_a_developers_own_api_need_no_provider(book, model):
    assert book.cost(MILLION, model) > 0


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-search-preview", "openai"),
        ("gpt-4o-mini-search-preview", "openai"),
        ("gpt-4o-mini-search-preview-2025-03-11", "azure"),
        ("gpt-4o-search-preview-2025-03-11", None),
        ("gpt-5-search-api", "openai"),
        ("openai/gpt-4o-mini-search-preview", "openrouter"),
    ],
)
def test_a_model_that_always_searches_has_a_fee_that_no_list_has(book, model, provider):
    bill = book.bill(MILLION, model, provider=provider)
    assert bill.cost is None
    assert bill.known > 0


def test_a_provider_is_not_guessed_from_a_similar_name(book):
    for provider in ("my-openai-proxy", "ollama", "vllm", "unknown"):
        with pytest.raises(UnpricedError, match=provider):
            book.cost(MILLION, "gpt-4o-mini", provider=provider)


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        ("openai", "gpt-4o-mini", "0.15"),
        ("OpenAI", "openai/gpt-4o-mini", "0.15"),
        ("azure_openai", "gpt-4o-mini", "0.15"),
        ("google_genai", "models/gemini-2.0-flash", "0.1"),
        ("genai", "models/gemini-2.5-flash", "0.3"),
        ("bedrock_converse", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
        ("litellm", "openai/gpt-4o-mini", "0.15"),
        ("openrouter", "openai/gpt-4o-mini", "0.15"),
        ("openrouter", "anthropic/claude-3.7-sonnet:thinking", "3"),
        ("anthropic-bedrock", "anthropic.claude-3-haiku-20240307-v1:0", "0.25"),
        ("bedrock_converse", "claude-3-haiku-20240307", "0.25"),
        ("google_anthropic_vertex", "claude-haiku-4-5@20251001", "1"),
        ("anthropicvertex", "claude-3-5-sonnet-v2@20241022", "3"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p2", "0.56"),
        ("groq", "openai/gpt-oss-120b", "0.15"),
        ("azure", "gpt-35-turbo", "0.5"),
        ("openai", "models/gemini-2.5-flash", "0.3"),
    ],
)
def test_frameworks_names_of_providers_are_understood(book, provider, model, dollars):
    assert book.cost(MILLION, model, provider=provider) == Decimal(dollars)


def test_an_arn_that_hides_its_model_says_what_to_do(book):
    with pytest.raises(UnpricedError, match=r"does not name the model.*base_model"):
        book.rates(f"{ARN}:1:application-inference-profile/a1b2", provider="bedrock_converse")


def test_a_reason_is_the_same_text_for_all_calls_without_it(book):
    usage = Usage(input_tokens=1)
    reasons = {
        book.bill(usage, "mine").unpriced,
        book.bill(usage, "yours", provider="openai").unpriced,
        book.bill(usage, "theirs", provider="my-proxy").unpriced,
    }
    assert reasons == {"no list price"}
    assert book.bill(usage, "gpt-4o", tier="flex").unpriced == "no price for the flex tier"
    assert book.bill(usage, "whisper-1").unpriced == "not billed by tokens"
    assert book.bill(Usage(web_searches=1), "gpt-4").unpriced == "no price for web searches"
    early = datetime(2026, 10, 13, tzinfo=UTC)
    found = book.bill(usage, "gpt-4o", tier="batch", at=early)
    assert found.unpriced == "no price on that day"
    with pytest.raises(UnpricedError) as error:
        book.cost(Usage(web_searches=1), "gpt-4")
    assert error.value.reason == "no price for web searches"
    assert pickle.loads(pickle.dumps(error.value)).reason == error.value.reason


# What is billed beside plain tokens, by the providers' pages; None where no rate is known.
PARTS = [
    ("gpt-4o-audio-preview", Usage(input_tokens=800, input_audio_tokens=800), None),
    ("gpt-4o-audio-preview", Usage(output_tokens=400, output_audio_tokens=400), None),
    ("gpt-audio", Usage(output_tokens=400, output_audio_tokens=300), "0.0202"),
    ("gemini-2.5-flash", Usage(input_tokens=1_000, input_audio_tokens=1_000), "0.001"),
    ("gemini-2.5-pro", Usage(input_tokens=1_000, input_audio_tokens=1_000), "0.00125"),
    ("gemini-2.5-flash-image", Usage(output_tokens=1_290), None),
    ("gemini-2.5-flash-image", Usage(output_tokens=1_290, output_image_tokens=1_290), "0.0387"),
    ("openrouter/google/gemini-2.5-flash-image", Usage(output_tokens=1_290), None),
    ("openrouter/google/gemini-omni-1.1-flash", Usage(output_tokens=1_290), None),
    ("gemini-omni-1.1-flash", Usage(output_tokens=1_290), None),
    ("gpt-5-image", Usage(output_tokens=1_290), None),
    ("gpt-image-1", Usage(output_tokens=1_000), "0.04"),
    ("gpt-image-1", Usage(input_tokens=1_000, input_image_tokens=1_000), "0.01"),
    ("gpt-4o-mini-tts", Usage(output_tokens=1_000, output_audio_tokens=1_000), "0.012"),
    ("gemini-2.5-flash-preview-tts", Usage(output_tokens=1_000), "0.01"),
    ("gpt-4o", Usage(input_tokens=1_000, input_image_tokens=1_000), "0.0025"),
    ("claude-sonnet-4-5", Usage(input_tokens=1_000, input_image_tokens=1_000), "0.003"),
    ("claude-sonnet-4-5", Usage(web_searches=3), "0.03"),
    ("gpt-5", Usage(web_searches=3, file_searches=2), "0.035"),
    ("gpt-5", Usage(code_sessions=1), None),
    ("xai/grok-4", Usage(web_searches=1), None),
    ("gemini-2.5-pro", Usage(web_searches=3), "0.035"),
    ("gemini-3-flash-preview", Usage(web_searches=3), "0.042"),
    ("gpt-4o", Usage(images=1), None),
]


@pytest.mark.parametrize(("model", "usage", "dollars"), PARTS)
def test_parts_with_a_rate_of_their_own_are_never_billed_as_text(book, model, usage, dollars):
    cost = book.bill(usage, model, at=NOW).cost
    assert cost == (None if dollars is None else Decimal(dollars))


def test_a_day_before_the_first_price_is_unpriced(book):
    from genai_prices import data_snapshot, types

    later = types.ConditionalPrice(
        constraint=types.StartDateConstraint(start_date=date(2026, 6, 1)),
        prices=types.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2)),
    )
    model = types.ModelInfo(id="new", match=types.ClauseEquals("new"), prices=[later])
    openai = types.Provider(id="openai", name="OpenAI", api_pattern="", models=[model])
    data_snapshot.set_custom_snapshot(
        data_snapshot.DataSnapshot(providers=[openai], from_auto_update=False)
    )
    try:
        assert book.cost(MILLION, "openai/new", at=datetime(2026, 6, 1, tzinfo=UTC)) == 1
        with pytest.raises(UnpricedError, match="only from 2026-06-01"):
            book.cost(MILLION, "openai/new", at=datetime(2026, 5, 31, 23, 59, tzinfo=UTC))
        set_back = PriceBook(clock=lambda: 0.0)
        assert set_back.bill(MILLION, "openai/new").unpriced == "no price on that day"
    finally:
        data_snapshot.set_custom_snapshot(None)


def test_an_open_model_has_the_price_of_the_given_host_only(book):
    model = "llama-3.3-70b-versatile"
    assert book.cost(MILLION, model, provider="groq") == Decimal("0.59")
    with pytest.raises(UnpricedError):
        book.cost(MILLION, model)


def test_a_price_that_changed_is_taken_at_the_date_of_the_call(book):
    before = datetime(2025, 6, 9, 23, 59, tzinfo=UTC)
    after = datetime(2025, 6, 10, tzinfo=UTC)
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert book.cost(usage, "o3", at=before) == Decimal(50)
    assert book.cost(usage, "o3", at=after) == Decimal(10)
    # The same times in another zone, and without one (which means UTC).
    tokyo = timezone(timedelta(hours=9))
    assert book.cost(usage, "o3", at=before.astimezone(tokyo)) == Decimal(50)
    assert book.cost(usage, "o3", at=after.replace(tzinfo=None)) == Decimal(10)
    assert book.quote("o3", at=after).since == after.date()


def test_without_a_date_the_price_is_that_of_the_clock():
    old = PriceBook(clock=datetime(2025, 1, 1, tzinfo=UTC).timestamp)
    assert old.cost(MILLION, "o3") == Decimal(10)


def test_a_price_that_depends_on_the_hour_is_not_cached_for_the_day(book):
    night, day = NOW.replace(hour=20), NOW.replace(hour=10)
    costs = [book.cost(MILLION, "deepseek-chat", at=at) for at in (night, day, night, day)]
    assert costs == [Decimal("0.135"), Decimal("0.27")] * 2


def test_batch_flex_and_priority_have_their_published_prices(book):
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    costs = {
        tier: book.cost(usage, "gpt-5", at=NOW, tier=tier)
        for tier in ("standard", "batch", "flex", "priority")
    }
    assert costs == {
        "standard": Decimal("11.25"),
        "batch": Decimal("5.625"),
        "flex": Decimal("5.625"),
        "priority": Decimal("22.5"),
    }


@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [
        ("azure", "gpt-4o", "batch"),  # the maker's discount does not apply to a reseller
        ("aws", "amazon.nova-lite-v1:0", "batch"),
        (None, "gpt-4o", "flex"),
        (None, "claude-sonnet-4-5", "priority"),
        (None, "gpt-3.5-turbo-1106", "batch"),
    ],
)
def test_a_tier_without_a_published_price_is_unpriced(book, provider, model, tier):
    assert book.cost(MILLION, model, provider=provider) > 0
    with pytest.raises(UnpricedError, match=tier):
        book.cost(MILLION, model, provider=provider, tier=tier)


def test_a_tier_is_unpriced_before_its_price_is_known(book):
    with pytest.raises(UnpricedError, match="known only from 2026-10-14"):
        book.cost(MILLION, "gpt-4o", at=datetime(2026, 10, 13, tzinfo=UTC), tier="batch")
    assert book.cost(MILLION, "gpt-4o", at=NOW, tier="batch") == Decimal("1.25")


@pytest.mark.parametrize("tier", ["Batch", "BATCH", "processing", "", None])
def test_an_unknown_tier_raises(book, tier):
    with pytest.raises(ConfigurationError, match=r"`tier` is .*; give 'standard', 'batch'"):
        book.cost(MILLION, "gpt-4o", tier=tier)


def test_the_long_context_price_applies_to_every_token_of_the_call(book):
    at_the_edge = Usage(input_tokens=200_000, output_tokens=1_000)
    beyond = Usage(input_tokens=200_001, output_tokens=1_000)
    assert book.cost(at_the_edge, "gemini-2.5-pro") == Decimal("0.26")
    assert book.cost(beyond, "gemini-2.5-pro") == Decimal("0.5150025")
    assert book.rates("gemini-2.5-pro").input == Decimal("0.00000125")
    assert book.rates("gemini-2.5-pro", input_tokens=200_001).input == Decimal("0.0000025")


def test_cached_tokens_are_billed_once_at_the_cache_rate(book):
    usage = Usage(
        input_tokens=1_000_000,
        cache_read_tokens=600_000,
        cache_write_tokens=300_000,
        cache_write_1h_tokens=100_000,
        output_tokens=10_000,
    )
    # 0.1 M plain at 3, 0.6 M read at 0.3, 0.2 M written at 3.75, 0.1 M for an hour at 6.
    expected = Decimal("0.3") + Decimal("0.18") + Decimal("0.75") + Decimal("0.6") + Decimal("0.15")
    assert book.cost(usage, "claude-haiku-4-5") == expected / 3
    rates = book.rates("claude-haiku-4-5")
    assert rates.cache_read * 10 == rates.input
    assert rates.cache_write == rates.input * Decimal("1.25")


def test_without_cache_prices_cached_tokens_have_the_input_rate(book):
    rates = book.rates("text-embedding-3-small")
    assert rates.input == rates.cache_read == rates.cache_write == Decimal("0.00000002")
    assert rates.output == 0


def test_output_of_a_model_without_an_output_price_is_unpriced(book):
    with pytest.raises(UnpricedError, match="output"):
        book.cost(Usage(input_tokens=1, output_tokens=1), "text-embedding-3-small")


def test_a_providers_miscount_never_makes_a_call_cheaper(book):
    correct = Usage(input_tokens=1_000, cache_read_tokens=1_000)
    miscounted = Usage(input_tokens=500, cache_read_tokens=1_000)
    assert book.cost(miscounted, "gpt-4o") > book.cost(correct, "gpt-4o") > 0


def test_a_fee_per_request_is_charged_once(book):
    assert book.cost(Usage(), "sonar", provider="perplexity") == Decimal("0.012")


MODELS = [
    ("gpt-4o-mini", "openai"),
    ("gpt-4o-audio-preview", "openai"),
    ("gpt-audio", "openai"),
    ("gpt-realtime", "openai"),
    ("gemini-2.5-flash", "google"),
    ("gpt-5.6-sol", "openai"),
    ("claude-sonnet-4-6", "anthropic"),
    ("claude-opus-4-5", "anthropic"),
    ("gemini-2.5-pro", "google"),
    ("gemini-3-flash-preview", "google"),
    ("sonar-deep-research", "perplexity"),
    ("deepseek-chat", "deepseek"),
]


@given(
    model=st.sampled_from(MODELS),
    at=st.integers(0, 365 * 3 * 24).map(lambda hours: START + timedelta(hours=hours)),
    tier=st.sampled_from(["standard", "batch"]),
    plain=st.integers(0, 400_000),
    read=st.integers(0, 100_000),
    written=st.integers(0, 100_000),
    answer=st.integers(0, 100_000),
    reasoning=st.integers(0, 100_000),
    spoken=st.integers(0, 100_000),
    said=st.integers(0, 100_000),
    searches=st.tuples(st.integers(0, 1), st.integers(0, 5)),
)
def test_costs_agree_with_those_of_genai_prices(
    book, model, at, tier, plain, read, written, answer, reasoning, spoken, said, searches
):
    import genai_prices

    name, provider = model
    counts = {
        "input_tokens": plain + read + written + spoken,
        "output_tokens": answer + reasoning + said,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "input_audio_tokens": spoken,
        "output_audio_tokens": said,
        "web_searches": searches[0],
    }
    usage = Usage(reasoning_tokens=reasoning, file_searches=searches[1], **counts)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            output_reasoning_tokens=reasoning,
            cache_audio_read_tokens=0,
            storage_searches=searches[1],
            **counts,
        ),
        name,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context={"processing": "batch"} if tier == "batch" else None,
    )
    ours = book.bill(usage, name, provider=provider, at=at, tier=tier)
    if ours.cost is None:
        # They bill audio as text and a search as nothing where the list has no rate.
        assert tier == "batch" or spoken or said or any(searches), ours.unpriced
    else:
        assert ours.cost == theirs.total_price


class TestOwnPrices:
    def test_they_price_an_unlisted_model(self):
        book = PriceBook({"llama3.1": ModelPrice(input=Decimal(1), output=Decimal(2))})
        usage = Usage(input_tokens=1_000_000, output_tokens=500_000, cache_read_tokens=100)
        assert book.cost(usage, "Llama3.1") == Decimal(2)
        assert book.cost(usage, "llama3.1", provider="vllm") == Decimal(2)
        assert book.quote("llama3.1").source == "your own price"

    def test_zero_is_allowed(self):
        free = ModelPrice(input=Decimal(0), output=Decimal(0))
        book = PriceBook({"ollama/llama3.1:8b": free})
        assert book.cost(MILLION, "ollama/llama3.1:8b") == 0
        assert book.cost(MILLION, "llama3.1:8b", provider="ollama") == 0
        assert book.cost(MILLION, "ollama:llama3.1:8b") == 0
        with pytest.raises(UnpricedError):
            book.cost(MILLION, "llama3.1:8b", provider="groq")

    def test_they_take_precedence_over_the_list_for_the_given_provider(self):
        cheap = ModelPrice(
            input=Decimal(1), output=Decimal(1), cache_read=Decimal(0), cache_write=Decimal(3)
        )
        book = PriceBook({"azure/gpt-4o": cheap})
        assert book.cost(MILLION, "gpt-4o", provider="azure_openai") == 1
        assert book.cost(MILLION, "gpt-4o", provider="openai") == Decimal("2.5")
        usage = Usage(input_tokens=3, cache_read_tokens=1, cache_write_tokens=1)
        assert book.cost(usage, "azure/gpt-4o") * 1_000_000 == 1 + 0 + 3

    def test_a_batch_is_unpriced_without_a_discount(self):
        price = ModelPrice(input=Decimal(4), output=Decimal(8))
        with pytest.raises(UnpricedError, match="batch_discount"):
            PriceBook({"mine": price}).cost(MILLION, "mine", tier="batch")
        halved = ModelPrice(input=Decimal(4), output=Decimal(8), batch_discount=Decimal("0.25"))
        book = PriceBook({"mine": halved})
        assert book.cost(MILLION, "mine", tier="batch") == 3
        with pytest.raises(UnpricedError, match="flex"):
            book.cost(MILLION, "mine", tier="flex")

    @pytest.mark.parametrize("bad", [Decimal(-1), 1.5, "1", None, Decimal("NaN")])
    def test_an_invalid_amount_is_refused(self, bad):
        with pytest.raises(ConfigurationError, match="`input` is"):
            ModelPrice(input=bad, output=Decimal(1))

    def test_a_discount_over_one_is_refused(self):
        with pytest.raises(ConfigurationError, match="half price"):
            ModelPrice(input=Decimal(1), output=Decimal(1), batch_discount=Decimal(50))

    def test_a_plain_number_is_refused(self):
        with pytest.raises(ConfigurationError, match="ModelPrice"):
            PriceBook({"mine": 3})


def test_context_windows_are_read_from_the_list(book):
    assert book.context_window("gpt-4o-mini") == 128_000
    assert book.context_window("my-model") is None


def test_a_quote_names_its_source(book):
    quote = book.quote("openai/gpt-4o-mini")
    assert (quote.model, quote.provider, quote.tier) == ("gpt-4o-mini", "openai", "standard")
    assert quote.source.startswith("genai-prices ")
    assert quote.url == "https://developers.openai.com/api/docs/pricing"
    assert quote.at == NOW


def test_a_newer_snapshot_of_the_list_is_used_at_once(book):
    from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot

    assert book.cost(MILLION, "gpt-4o-mini") == Decimal("0.15")
    others = [p for p in get_snapshot().providers if p.id != "openai"]
    set_custom_snapshot(DataSnapshot(providers=others, from_auto_update=True))
    try:
        with pytest.raises(UnpricedError):
            book.cost(MILLION, "gpt-4o-mini")
        assert "updated" in book.quote("claude-haiku-4-5").source
    finally:
        set_custom_snapshot(None)
    assert book.cost(MILLION, "gpt-4o-mini") == Decimal("0.15")


def test_a_list_price_of_zero_is_unpriced(book):
    from genai_prices import data_snapshot, types

    nothing = types.ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0))
    model = types.ModelInfo(id="gift", match=types.ClauseEquals("gift"), prices=nothing)
    openai = types.Provider(id="openai", name="OpenAI", api_pattern="", models=[model])
    data_snapshot.set_custom_snapshot(
        data_snapshot.DataSnapshot(providers=[openai], from_auto_update=False)
    )
    try:
        with pytest.raises(UnpricedError, match="zero"):
            book.cost(MILLION, "openai/gift")
    finally:
        data_snapshot.set_custom_snapshot(None)


def test_the_cache_of_many_days_is_bounded():
    book = PriceBook()
    before = _rate_cards()
    for day in range(5_000):
        book.cost(MILLION, "gpt-4o-mini", at=NOW - timedelta(days=day))
    assert 0 < _rate_cards() - before <= 4_096


def _rate_cards():
    gc.collect()
    return sum(isinstance(each, RateCard) for each in gc.get_objects())


def test_importing_costs_does_not_load_the_price_list():
    code = (
        "import sys; from llm_optimizers.costs import PriceBook; PriceBook();"
        "assert 'genai_prices.data' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
