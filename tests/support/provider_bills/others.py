"""Servers in OpenAI's format, gateways, local servers; and answers that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import LangSmithParams
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms.llm import LLM
from llama_index.llms.openai import OpenAI

from llm_optimizers.costs import ModelPrice
from support.provider_bills.answers import chat
from support.provider_bills.row import Row, million, pieces
from support.provider_servers.base import Answer, Tokens, fixed, provider_server
from support.provider_servers.ollama import (
    OllamaHandler,
    langchain_model,
    llama_index_model,
)

__all__ = ["OTHERS"]


class Like(ChatOpenAI):
    """Names its provider, as the classes of other packages that are built on this one do."""

    provider: str

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return LangSmithParams(**{**params, "ls_provider": self.provider})


class LikeOpenAI(OpenAI):
    """Does not look up what OpenAI's models can do, as `OpenAILike` does not."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=100_000, is_chat_model=True, model_name=self.model, num_output=1_000
        )


def _langchain(provider: str, model: str, **settings: Any) -> Callable[[str], BaseChatModel]:
    given = {"model": model, "api_key": "x", "max_retries": 0, **settings}
    return lambda url: Like(provider=provider, base_url=url, **given)


def _llama_index(class_name: str, model: str) -> Callable[[str], LLM]:
    named = type(class_name, (LikeOpenAI,), {"class_name": classmethod(lambda _: class_name)})
    return lambda url: named(model=model, api_base=url, api_key="x", max_retries=0)


def _at(url: str) -> Any:
    return SimpleNamespace(url=url.removesuffix("/v1"))


def _row(
    name: str, providers: tuple[str, str], model: str, usage: dict[str, Any], **row: Any
) -> Row:
    answer, asked = row.pop("answer", {}), row.pop("asked", model)
    return Row(
        name=name,
        langchain=_langchain(providers[0], asked),
        llama_index=_llama_index(providers[1], asked),
        body=chat(model, usage, **answer),
        **row,
    )


OWN = ModelPrice(input=Decimal("0.2"), output=Decimal("0.6"), cache_read=Decimal("0.05"))
PLAIN = {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200}
YOURS = "your own price in these rows"
BOTH = {
    "prompt_tokens": 10_000,
    "completion_tokens": 500,
    "total_tokens": 10_500,
    "prompt_tokens_details": {"cached_tokens": 8_000},
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 8_000,
}

OTHERS: tuple[Row, ...] = (
    _row(
        "DeepSeek: its cache",
        ("deepseek", "DeepSeek"),
        "deepseek-chat",
        {**PLAIN, "prompt_cache_hit_tokens": 640, "prompt_cache_miss_tokens": 360},
        billed="360 input, 640 cached, 200 output",
        rates="https://api-docs.deepseek.com/quick_start/pricing",
        dollars=million(360, "0.135") + million(640, "0.035") + million(200, "0.55"),
    ),
    _row(
        "Groq: on demand",
        ("groq", "Groq"),
        "llama-3.3-70b-versatile",
        {**PLAIN, "queue_time": 0.03, "prompt_time": 0.01, "completion_time": 0.4},
        answer={"service_tier": "on_demand", "x_groq": {"id": "req_1"}},
        billed="1,000 input, 200 output",
        rates="https://groq.com/pricing",
        dollars=million(1_000, "0.59") + million(200, "0.79"),
    ),
    _row(
        "Together",
        ("together", "TogetherLLM"),
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        {**PLAIN, "cached_tokens": 0},
        billed="1,000 input, 200 output",
        rates="https://www.together.ai/pricing",
        dollars=million(1_000, "0.88") + million(200, "0.88"),
    ),
    _row(
        "Mistral",
        ("mistral", "Mistral"),
        "mistral-large-latest",
        {**PLAIN, "prompt_audio_seconds": None},
        billed="1,000 input, 200 output",
        rates="https://mistral.ai/pricing",
        dollars=million(1_000, "2") + million(200, "6"),
    ),
    _row(
        "x.ai: reasoning outside the output",
        ("xai", "XAI"),
        "grok-4",
        {
            "prompt_tokens": 40,
            "completion_tokens": 8,
            "total_tokens": 1_048,
            "completion_tokens_details": {"reasoning_tokens": 1_000},
            "num_sources_used": 0,
        },
        billed="40 input, 1,008 output (1,000 of it reasoning)",
        rates="https://docs.x.ai/docs/models",
        dollars=million(40, "3") + million(1_008, "15"),
    ),
    _row(
        "x.ai: its own cost, in ticks",
        ("xai", "XAI"),
        "grok-4",
        {
            "prompt_tokens": 9_212,
            "completion_tokens": 3_417,
            "total_tokens": 12_629,
            "prompt_tokens_details": {"cached_tokens": 3_072},
            "num_sources_used": 3,
            "cost_in_usd_ticks": 318_319_000,
        },
        billed="what it says: 318,319,000 ticks of 1e-10 dollars, 3 sources included",
        rates="the answer",
        dollars=318_319_000 * Decimal("1e-10"),
        priced_by="provider",
    ),
    _row(
        "x.ai: sources without its cost",
        ("xai", "XAI"),
        "grok-4",
        {**PLAIN, "num_sources_used": 3},
        billed="sources, whose price is in no list here",
        rates="https://docs.x.ai/docs/models",
        dollars=None,
    ),
    _row(
        "OpenRouter: its own cost",
        ("openrouter", "OpenRouter"),
        "anthropic/claude-sonnet-4.5",
        {**PLAIN, "cost": 0.00123, "is_byok": False},
        billed="what it says: 0.00123 credits, which are dollars",
        rates="the answer",
        dollars=Decimal("0.00123"),
        priced_by="provider",
    ),
    _row(
        "OpenRouter: with your own key",
        ("openrouter", "OpenRouter"),
        "anthropic/claude-sonnet-4.5",
        {
            **PLAIN,
            "cost": 0.0003,
            "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.006},
        },
        billed="its fee of 0.0003, and 0.006 on your key",
        rates="the answer",
        dollars=Decimal("0.0003") + Decimal("0.006"),
        priced_by="provider",
    ),
    _row(
        "Perplexity: its own cost",
        ("perplexity", "Perplexity"),
        "sonar-pro",
        {
            "prompt_tokens": 18,
            "completion_tokens": 170,
            "total_tokens": 188,
            "search_context_size": "low",
            "cost": {
                "input_tokens_cost": 0.00005,
                "output_tokens_cost": 0.00255,
                "request_cost": 0.006,
                "total_cost": 0.0086,
            },
        },
        billed="what it says: 0.0086 dollars, the search included",
        rates="the answer",
        dollars=Decimal("0.0086"),
        priced_by="provider",
    ),
    _row(
        "Perplexity: without its cost",
        ("perplexity", "Perplexity"),
        "sonar-pro",
        {**PLAIN, "search_context_size": "high"},
        billed="1,000 input, 200 output, 1 request of the largest context",
        rates="https://docs.perplexity.ai/getting-started/pricing",
        dollars=million(1_000, "3") + million(200, "15") + pieces(1, "0.014"),
    ),
    _row(
        "LiteLLM's proxy: both shapes",
        ("litellm", "LiteLLM"),
        "claude-sonnet-4-5",
        BOTH,
        billed="2,000 input, 8,000 cached, 500 output",
        rates="https://docs.anthropic.com/en/docs/about-claude/pricing",
        dollars=million(2_000, "3") + million(8_000, "0.3") + million(500, "15"),
    ),
    _row(
        "Databricks: both shapes",
        ("databricks", "Databricks"),
        "databricks-claude-sonnet-4-5",
        BOTH,
        own={"databricks-claude-sonnet-4-5": OWN},
        priced_by="own",
        billed="2,000 input, 8,000 cached, 500 output",
        rates=YOURS,
        dollars=million(2_000, "0.2") + million(8_000, "0.05") + million(500, "0.6"),
    ),
    _row(
        "Snowflake: Anthropic's input with OpenAI's names",
        ("snowflake", "Snowflake"),
        "claude-4-sonnet-of-ours",
        {
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "total_tokens": 8_030,
            "cache_read_input_tokens": 8_000,
        },
        own={"claude-4-sonnet-of-ours": OWN},
        priced_by="own",
        billed="20 input, 8,000 cached, 10 output",
        rates=YOURS,
        dollars=million(20, "0.2") + million(8_000, "0.05") + million(10, "0.6"),
    ),
    _row(
        "vLLM: a server of your own",
        ("vllm", "Vllm"),
        "meta-llama/Llama-3.1-8B-Instruct",
        {**PLAIN, "prompt_tokens_details": None},
        own={"meta-llama/Llama-3.1-8B-Instruct": OWN},
        priced_by="own",
        billed="1,000 input, 200 output",
        rates=YOURS,
        dollars=million(1_000, "0.2") + million(200, "0.6"),
    ),
    _row(
        "A local server that is asked for GPT",
        ("openai", "OpenAI"),
        "/models/llama-3.1-8b-instruct.Q4_K_M.gguf",
        PLAIN,
        asked="gpt-4o",
        billed="nothing that a list knows",
        rates="none",
        dollars=None,
    ),
    Row(
        name="Ollama",
        billed="26 input, 290 output",
        rates=YOURS,
        dollars=million(26, "0.2") + million(290, "0.6"),
        own={"llama3.2": OWN},
        priced_by="own",
        serve=lambda: provider_server(
            OllamaHandler, fixed(Answer(text="Sunny.", tokens=Tokens(fresh=26, output=290)))
        ),
        langchain=lambda url: langchain_model(_at(url)),
        llama_index=lambda url: llama_index_model(_at(url)),
    ),
    _row(
        "Gemini in OpenAI's format: thoughts in the total only",
        ("google_genai", "GoogleGenAI"),
        "gemini-2.5-flash",
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3_015},
        billed="10 input, 3,005 output (3,000 of it thoughts)",
        rates="https://ai.google.dev/gemini-api/docs/pricing",
        dollars=million(10, "0.3") + million(3_005, "2.5"),
    ),
    _row(
        "Impossible: more cached than sent",
        ("openai", "OpenAI"),
        "gpt-4.1",
        {**PLAIN, "prompt_tokens_details": {"cached_tokens": 5_000}},
        suspicious=True,
        billed="the larger of the two as input without a discount, 200 output",
        rates="https://openai.com/api/pricing",
        dollars=million(5_000, "2") + million(200, "8"),
    ),
)
