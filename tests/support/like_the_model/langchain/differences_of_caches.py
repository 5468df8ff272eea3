"""What is different in a hit, and in a model with `HybridCache` as its cache."""

from __future__ import annotations

from support.like_the_model.differences import differ

__all__ = ["OF_CACHES"]

HITS = ("CachedChatModel, hit", "cached router, hit")
STORE_HIT = ("cache=HybridCache(), hit",)
_NOT_STORED = (
    "What was refused, cut off or given up, or does not fit its schema, is not stored: the model "
    "is asked again."
)
_PARSED = "The parsed object that OpenAI's package puts beside the answer is stored as JSON."
_ERRORS = "An error is not stored: the model is asked again."
_PARSED_WAYS = (
    "structured output, json_schema: pydantic",
    "structured output, json_schema: strict",
    "structured output: no method",
    "structured output: ainvoke",
    "structured output: batch",
    "structured output: in a chain",
    "structured output: with_retry",
)

OF_CACHES = (
    # --- of a hit ------------------------------------------------------------------------------
    differ(
        "requests",
        HITS,
        (
            "stream: stopped *",
            "stream cut off *",
            "cancelled: *",
            "answer with refusal: *",
            "answer with cut off: *",
            "tools: invalid arguments",
            "structured output, *: unfit answer*",
        ),
        _NOT_STORED,
    ),
    differ(
        "requests",
        HITS,
        ("error 4*: *",),
        _ERRORS,
        but=[("cached router, hit", "error 429: *")],
    ),
    differ(
        "requests",
        HITS[:1],
        (
            "error 5*: *",
            "error: timeout",
            "with_fallbacks: as the first",
            "with_fallbacks: stream",
            "with_fallbacks: tools *",
        ),
        _ERRORS,
    ),
    differ(
        "requests",
        ("CachedChatModel, hit", "CacheMiddleware, hit"),
        ("agent, middleware: fallback *",),
        _ERRORS,
    ),
    differ(
        "events",
        (*HITS, "CacheMiddleware, hit"),
        ("with_retry", "structured output: with_retry", "agent, middleware: retry"),
        "The answer to the second try was stored, so the first try succeeds.",
    ),
    differ(
        "requests",
        HITS,
        ("setting: n=2, stream",),
        "An answer is stored with as many choices as were asked for; a stream has one.",
    ),
    differ("requests", HITS, ("invoke: no messages",), "A call without messages is not cached."),
    differ(
        "answer", HITS, ("rate limiter of the model",), "A hit does not wait for a rate limiter."
    ),
    differ(
        "answer events",
        (*HITS, *STORE_HIT),
        ("setting: include_response_headers, *",),
        "Headers of a response are not stored.",
    ),
    differ("events", ("CachedChatModel, hit", *STORE_HIT), _PARSED_WAYS, _PARSED),
    differ(
        "events", HITS[:1], ("structured output: stream", "structured output: astream"), _PARSED
    ),
    differ(
        "answer events",
        (*HITS, *STORE_HIT),
        (
            "structured output, json_schema: pydantic, include_raw",
            "tools: response_format",
            "LangSmith's runs: structured output",
        ),
        _PARSED,
    ),
    differ(
        "answer events",
        HITS,
        ("answer with Responses API*: stream",),
        "Tool calls of a streamed hit are numbered from 0, without the blocks before them.",
    ),
    # --- of HybridCache, compared with LangChain's own cache -----------------------------------
    differ(
        "requests events",
        STORE_HIT,
        (
            "agent, response_format and tools: *",
            "agent: *",
            "agent, middleware: that *",
            "agent, middleware: todo list",
            "agent, middleware: c*",
            "tools: result handed back",
        ),
        "The ids of messages are no part of the key, so an agent's later steps are hits too.",
        but=[("*", "agent: no call"), ("*", "agent, response_format and tools: TypedDict")],
    ),
    differ(
        "answer",
        STORE_HIT,
        ("agent: stream of messages",),
        "A hit's message comes as a whole, as from LangChain's own cache.",
    ),
    differ(
        "requests events",
        STORE_HIT,
        (
            "answer with refusal: invoke",
            "answer with cut off: invoke",
            "tools: invalid arguments",
            "structured output, json_mode: unfit answer*",
            "structured output, function_calling: unfit answer*",
        ),
        _NOT_STORED,
    ),
    differ(
        "requests events",
        STORE_HIT,
        ("invoke: no messages",),
        "A call without messages is not cached.",
    ),
    differ(
        "answer events",
        STORE_HIT,
        ("deepcopy: *", "model_copy, deep: *"),
        "A deep copy has the same cache; of LangChain's own cache it has a copy.",
    ),
)
