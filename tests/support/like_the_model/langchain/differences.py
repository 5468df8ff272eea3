"""What the wrappers do differently from the bare model in LangChain, each with its reason."""

from __future__ import annotations

from support.like_the_model.differences import differ
from support.like_the_model.langchain.differences_of_caches import OF_CACHES

__all__ = ["DIFFERENCES"]

BATCHING = ("BatchingChatModel", "BatchingChatModel, combine")
COMBINING = ("BatchingChatModel, combine",)
ROUTER = ("ChatModelRouter", "cached router")
TWO_CLASSES = ("ChatModelRouter of two classes",)
ROUTERS = (*ROUTER, *TWO_CLASSES, "cached router, hit")
WRAPPERS = (
    "CachedChatModel",
    "CachedChatModel, hit",
    "OptimizedChatModel",
    *BATCHING,
    *ROUTERS,
    "cached, optimized",
)


_OWN_NAME = "A wrapper has its own name in graphs, schemas and the names of runs around it."
_TAKES_OVER = "If a model of a router fails, another one takes over."
_TWO = "Models of two classes have no profile, attributes, totals and class in common."
_OWN_STEP = "A router binds a schema on the model that it chooses, and parses in a step of its own."
_THREAD = "Calls go out together from a thread, with the client for synchronous code."
_TOGETHER = (
    "Questions asked at the same time share a prompt, and each answer has its share of the tokens."
)
_READS_ON = (
    "A router reads a stream up to its first chunk with content, since until then another model "
    "can answer: the events of an empty chunk come with that one."
)
_FAILING = ("error 429: *", "error 500: *", "error 503: *")

DIFFERENCES = (
    # --- of all wrappers -----------------------------------------------------------------------
    differ(
        "answer",
        WRAPPERS,
        ("fact: get_name", "fact: get_*put_jsonschema", "fact: get_graph"),
        _OWN_NAME,
    ),
    differ("events", WRAPPERS, ("agent, middleware: summary *",), _OWN_NAME),
    differ(
        "answer",
        WRAPPERS,
        ("fact: dumpd", "fact: lc_secrets"),
        "LangChain's serialisation would bring back the model without its wrapper.",
    ),
    differ(
        "answer",
        WRAPPERS,
        ("fact: _identifying_params",),
        "They name each model inside, for LangChain's cache.",
    ),
    differ(
        "events",
        WRAPPERS,
        ("*generate: several prompts",),
        "Each prompt is a call of its own, and its `batch_size` is 1.",
    ),
    differ(
        "events",
        WRAPPERS,
        ("*stream_events: version 3",),
        "The end of the stream inside is reported as one more token, without text.",
    ),
    differ(
        "events",
        ROUTERS,
        ("stream: stopped after the first chunk", "chain: stream", "cancelled: astream"),
        _READS_ON,
        but=(("cached router, hit", "chain: stream"),),
    ),
    *OF_CACHES,
    # --- of calls that go out together ---------------------------------------------------------
    differ(
        "requests",
        BATCHING,
        (
            "ainvoke",
            "ainvoke: *",
            "abatch",
            "abatch_as_completed",
            "agenerate",
            "agenerate: *",
            "agenerate_prompt",
            "asynchronous callbacks *",
            "with_alisteners",
            "in a chain: called by a coroutine",
            "error 500: ainvoke",
            "cancelled: ainvoke",
        ),
        _THREAD,
    ),
    differ(
        "answer requests events",
        COMBINING,
        (
            "batch",
            "batch: one *",
            "abatch",
            "batch_as_completed",
            "abatch_as_completed",
            "agenerate: several prompts",
            "with_retry: batch",
            "map",
        ),
        _TOGETHER,
    ),
    differ("requests events", COMBINING, ("chain: batch",), _TOGETHER),
    differ(
        "events",
        COMBINING,
        ("setting: include_response_headers, *",),
        "A shared response has no headers of one's own.",
    ),
    differ(
        "events",
        COMBINING,
        ("setting: streaming, invoke", "graph: *"),
        "A shared prompt is not streamed; a call of `stream` goes to the model alone.",
    ),
    differ(
        "requests",
        COMBINING,
        ("graph: *",),
        "A shared prompt is not streamed; a call of `stream` goes to the model alone.",
    ),
    # --- of routers ----------------------------------------------------------------------------
    differ(
        "events",
        ROUTERS,
        ("structured output*",),
        _OWN_STEP,
        but=[
            ("*", "structured output, json_schema: unfit answer"),
            ("*", "structured output: with tools"),
        ],
    ),
    differ("answer events", ROUTERS, ("LangSmith's runs: structured output",), _OWN_STEP),
    differ(
        "answer events",
        ROUTERS,
        ("conversation: audio",),
        "The model's profile says that it takes no audio, and a router keeps to that.",
    ),
    differ(
        "requests",
        (*ROUTER, *TWO_CLASSES),
        ("conversation: audio",),
        "The model's profile says that it takes no audio, and a router keeps to that.",
    ),
    differ("answer events", ROUTERS, _FAILING, _TAKES_OVER),
    differ("requests", ROUTER, _FAILING, _TAKES_OVER),
    differ("events", ROUTERS, ("with_retry", "error: no server", "error: timeout"), _TAKES_OVER),
    differ("requests", (*ROUTER, "cached router, hit"), ("error: timeout",), _TAKES_OVER),
    differ(
        "answer",
        TWO_CLASSES,
        (
            "with_retry",
            "structured output: with_retry",
            "error: no server",
            "error: timeout",
            "agent, middleware: retry",
        ),
        _TAKES_OVER,
    ),
    differ(
        "requests events",
        TWO_CLASSES,
        ("agent, middleware: retry",),
        _TAKES_OVER,
    ),
    differ("requests", TWO_CLASSES, ("with_retry", "structured output: with_retry"), _TAKES_OVER),
    differ(
        "answer requests events",
        ROUTERS,
        ("with_fallbacks: as the first", "with_fallbacks: stream"),
        _TAKES_OVER,
    ),
    differ(
        "answer requests events",
        (*ROUTER, "cached router, hit"),
        ("with_fallbacks: tools *", "agent, middleware: fallback *"),
        _TAKES_OVER,
    ),
    differ(
        "answer requests events",
        ("RouterMiddleware", "all middleware"),
        ("agent, middleware: fallback *",),
        "The router stands in the place of every model that other middleware chooses.",
    ),
    differ(
        "answer requests events",
        (*ROUTER, *TWO_CLASSES),
        ("attribute: *",),
        "An attribute is set on each model of a router, or on all by `model_copy(update=...)`.",
    ),
    differ(
        "answer events",
        ("cached router, hit",),
        ("attribute: *",),
        "An attribute is set on each model of a router, or on all by `model_copy(update=...)`.",
    ),
    differ(
        "answer",
        TWO_CLASSES,
        (
            "fact: profile",
            "fact: model_name",
            "fact: other attributes",
            "fact: model_kwargs",
            "fact: isinstance",
            "fact: _llm_type",
        ),
        _TWO,
    ),
    differ(
        "answer requests events",
        TWO_CLASSES,
        (
            "agent, response_format*: bare schema",
            "agent, response_format*: dict",
            "agent, response_format*: AutoStrategy",
            "agent, response_format: ainvoke",
            "configurable_fields: of the model",
            "model_copy: another setting of the model",
            "field of the model's class *",
        ),
        _TWO,
    ),
    differ("requests events", TWO_CLASSES, ("agent, middleware: that *",), _TWO),
    differ("answer", TWO_CLASSES, ("generate: none", "*generate: several prompts"), _TWO),
    differ("answer requests", TWO_CLASSES, ("agent, middleware: summary *",), _TWO),
)
