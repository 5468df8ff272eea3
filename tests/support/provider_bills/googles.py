"""Gemini."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from langchain_core.messages import HumanMessage

from support.provider_bills.answers import gemini
from support.provider_bills.row import UNPRICED, Row, million, pieces
from support.provider_servers.gemini import langchain_model, llama_index_model

__all__ = ["GOOGLES"]

RATES = "https://ai.google.dev/gemini-api/docs/pricing"


def _row(name: str, model: str, usage: dict[str, Any], **row: Any) -> Row:
    candidate = row.pop("candidate", {})
    return Row(
        name=f"Gemini: {name}",
        rates=RATES,
        langchain=lambda url: langchain_model(SimpleNamespace(url=url), model=model),
        llama_index=lambda url: llama_index_model(SimpleNamespace(url=url), model=model),
        body=gemini(model, usage, **candidate),
        **row,
    )


PLAIN = {"promptTokenCount": 1_000, "candidatesTokenCount": 200, "totalTokenCount": 1_200}
SPOKEN = (
    HumanMessage(
        [{"type": "media", "mime_type": "audio/wav", "data": "UklGRg=="}, "What is said?"]
    ),
)
GROUNDED = {
    "groundingMetadata": {
        "webSearchQueries": ["weather ulm", "weather ulm today"],
        "groundingChunks": [{"web": {"uri": "https://example.com", "title": "Weather"}}],
    }
}

GOOGLES: tuple[Row, ...] = (
    _row(
        "thoughts",
        "gemini-2.5-flash",
        {**PLAIN, "thoughtsTokenCount": 700, "totalTokenCount": 1_900},
        billed="1,000 input, 900 output (700 of it thoughts)",
        dollars=million(1_000, "0.3") + million(900, "2.5"),
    ),
    _row(
        "cached content",
        "gemini-2.5-flash",
        {**PLAIN, "cachedContentTokenCount": 800},
        billed="200 input, 800 cached, 200 output",
        dollars=million(200, "0.3") + million(800, "0.03") + million(200, "2.5"),
    ),
    _row(
        "results of its tools",
        "gemini-2.5-flash",
        {**PLAIN, "toolUsePromptTokenCount": 3_000, "totalTokenCount": 4_200},
        billed="4,000 input, 200 output",
        dollars=million(4_000, "0.3") + million(200, "2.5"),
    ),
    _row(
        "audio, part of it cached",
        "gemini-2.5-flash",
        {
            **PLAIN,
            "cachedContentTokenCount": 500,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 200},
                {"modality": "AUDIO", "tokenCount": 800},
            ],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 500}],
        },
        billed="200 text and 300 audio input, 500 audio cached, 200 output",
        dollars=million(200, "0.3") + million(300, "1") + million(500, "0.1") + million(200, "2.5"),
        # langchain-google-genai keeps no details of the prompt.
        prompt=SPOKEN,
        seen_by_langchain=UNPRICED,
    ),
    _row(
        "grounding, billed once for a prompt",
        "gemini-2.5-flash",
        PLAIN,
        candidate=GROUNDED,
        billed="1,000 input, 200 output, 1 grounded prompt",
        dollars=million(1_000, "0.3") + million(200, "2.5") + pieces(1, "0.035"),
    ),
    _row(
        "grounding, billed for each query",
        "gemini-3-flash-preview",
        PLAIN,
        candidate=GROUNDED,
        billed="1,000 input, 200 output, 2 queries",
        dollars=million(1_000, "0.5") + million(200, "3") + pieces(2, "0.014"),
    ),
    _row(
        "long context",
        "gemini-2.5-pro",
        {
            "promptTokenCount": 250_000,
            "candidatesTokenCount": 1_000,
            "totalTokenCount": 251_000,
        },
        billed="250,000 input, 1,000 output, at the rates above 200,000",
        dollars=million(250_000, "2.5") + million(1_000, "15"),
    ),
    _row(
        "picture",
        "gemini-2.5-flash-image",
        {
            "promptTokenCount": 20,
            "candidatesTokenCount": 1_305,
            "totalTokenCount": 1_325,
            "candidatesTokensDetails": [
                {"modality": "IMAGE", "tokenCount": 1_290},
                {"modality": "TEXT", "tokenCount": 15},
            ],
        },
        billed="20 input, 15 output, 1,290 of a picture",
        dollars=million(20, "0.3") + million(15, "2.5") + million(1_290, "30"),
        # langchain-google-genai does not say which tokens are a picture's.
        seen_by_langchain=UNPRICED,
    ),
)
