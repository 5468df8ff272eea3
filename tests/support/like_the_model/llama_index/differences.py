"""What a wrapped LLM of LlamaIndex does differently from the bare one, each with its reason."""

from __future__ import annotations

from support.like_the_model.differences import Difference, table
from support.like_the_model.llama_index.ways import WAYS
from support.like_the_model.llama_index.wrappers import HIT, STACK_HIT, TWO_CLASSES, WRAPPERS

_HITS = (HIT, STACK_HIT)
_ROUTED = ("RoutedLLM*", "stack")
_SAYS_WHO = "A reply says which LLM gave it, in `additional_kwargs`."
_COMBINING = ("BatchedLLM, combining",)

_NOT_CALLED = (
    "to_dict",
    "metadata",
    "class_name",
    "isinstance of its class",
    "attributes",
    "Settings.llm",
    "a memory of its size",
)
_NOT_KEPT = (
    "*chat that fails with *",
    "*left after a chunk",
    "*cancelled",
    "* unknown setting",
    "*without messages",
)
_REPLIES = (
    "chat",
    "achat",
    "stream_chat",
    "astream_chat",
    "complete",
    "acomplete",
    "*stream_complete",
    "complete with*",
    "chat with a *",
    "chat with an *image",
    "chat with log probabilities",
    "chat with s*",
    "chat with thoughts",
    "*chat without messages",
    "stream_chat with an image",
    "*chat_with_tools*",
    "copy.*",
    "model_copy*",
    "pickle",
    "a field of its class",
    "an attribute that is set",
)
"""The ways that give a reply with all its fields."""
_TYPED = (
    "*structured_predict",
    "*structured_predict by text",
    "structured_predict of *",
    "structured_predict with *",
    "as_structured_llm *",
    "FunctionAgent with an output class",
    "query engine with an output class",
    "query engine over a structured LLM",
)
_TOOL_USERS = (
    "*structured_predict by tools",
    "FunctionCallingProgram*",
    "*chat_with_tools*",
    "*predict_and_call",
    "FunctionAgent*",
    "AgentWorkflow*",
    "an agent *",
    "router engine, Pydantic*",
    "the program that fits it",
)
_AGENTS = ("FunctionAgent*", "ReActAgent*", "AgentWorkflow*", "an agent *")

_SHARED = (
    "chat",
    "achat",
    "complete",
    "acomplete",
    "complete with *",
    "predict",
    "apredict",
    "predict with *",
    "structured_predict",
    "astructured_predict",
    "structured_predict with *",
    "as_structured_llm chat",
    "as_structured_llm achat",
    "as_structured_llm complete",
    "LLMTextCompletionProgram",
    "get_tool_calls_from_response, none there",
    "ReActAgent without streams",
    "a Workflow *",
    "query engine, compact",
    "query engine, refine",
    "query engine, *summarize",
    "query engine, accumulate",
    "query engine, async",
    "query engine with *",
    "query engine over *",
    "query engine of *",
    "sub-question engine",
    "router engine, *",
    "citation engine",
    "LLMRerank",
    "chat engine, condense *",
    "*Evaluator",
    "IngestionPipeline *",
    "chat that fails *",
    "achat that *",
    "rate_limiter *",
    "copy.*",
    "model_copy*",
    "pickle",
    "a field of its class",
    "* that is set",
    "TokenCountingHandler",
    "LlamaDebugHandler",
    "a memory that it summarises",
)
"""The ways that ask questions which may share a prompt."""
_SHARED_ASYNC = (
    "achat",
    "achat that *",
    "acomplete",
    "apredict",
    "astructured_predict",
    "as_structured_llm achat",
    "ReActAgent without streams",
    "a Workflow *",
    "query engine, async",
    "chat engine, condense *, async",
    "*Evaluator",
    "IngestionPipeline *",
)

DIFFERENCES = (
    Difference(
        reason="A hit is no call: nothing is sent, and an `LLMCacheHitEvent` takes the place of "
        "the LLM's events.",
        parts=frozenset({"requests", "events"}),
        wrappers=_HITS,
        but=tuple(("*", way) for way in (*_NOT_CALLED, *_NOT_KEPT)),
    ),
    Difference(
        reason="A hit has no `raw` and no token counts, which belong to the call that was made, "
        "and says in `additional_kwargs` how it was matched.",
        parts=frozenset({"extras"}),
        wrappers=_HITS,
        ways=(*_REPLIES, "LlamaDebugHandler"),
        but=(("*", "*without messages"),),
    ),
    Difference(
        reason="A router reads a stream up to its first chunk with content, since until then "
        "another LLM can answer: the events of an empty chunk come with that one.",
        parts=frozenset({"events"}),
        wrappers=(*_ROUTED, STACK_HIT),
        ways=("*left after a chunk",),
    ),
    Difference(
        reason="What counts or limits calls does not see a hit.",
        parts=frozenset({"answer"}),
        wrappers=_HITS,
        ways=("rate_limiter set on it", "TokenCountingHandler", "LlamaDebugHandler"),
    ),
    Difference(
        reason="It is the wrapper that is written as data; its LLM is in `llm` or `models`.",
        parts=frozenset({"answer"}),
        ways=("class_name", "to_dict"),
    ),
    Difference(
        reason="The question is not added to the list of messages that the caller gave.",
        parts=frozenset({"answer", "extras"}),
        ways=("chat_with_tools and a history",),
    ),
    Difference(
        reason="`timeout` is the wrapper's own: how long a caller waits.",
        parts=frozenset({"answer"}),
        wrappers=("BatchedLLM*",),
        ways=("attributes",),
    ),
    Difference(
        reason="Questions that may share a prompt are asked from the wrapper's threads, and each "
        "caller's share of the cost is an `LLMSharedAnswerEvent`.",
        parts=frozenset({"events", "spans"}),
        wrappers=_COMBINING,
        ways=_SHARED,
    ),
    Difference(
        reason="Asynchronous ones among them are asked by the LLM's synchronous method.",
        parts=frozenset({"requests"}),
        wrappers=_COMBINING,
        ways=_SHARED_ASYNC,
    ),
    Difference(
        reason="A completion is asked as a chat, and says how many shared its prompt.",
        parts=frozenset({"extras"}),
        wrappers=_COMBINING,
        ways=("complete", "acomplete", "complete with *"),
    ),
    Difference(
        reason=_SAYS_WHO,
        parts=frozenset({"extras"}),
        wrappers=_ROUTED,
        ways=_REPLIES,
    ),
    Difference(
        reason=_SAYS_WHO,
        parts=frozenset({"extras"}),
        wrappers=(STACK_HIT,),
        ways=("*without messages",),
    ),
    Difference(
        reason="The messages that an agent sends again say it too, in the events of its next call.",
        parts=frozenset({"events"}),
        wrappers=_ROUTED,
        ways=_AGENTS,
    ),
    Difference(
        reason="After an error that may pass the next LLM is asked.",
        parts=frozenset({"answer", "events", "extras"}),
        wrappers=("RoutedLLM*",),
        ways=("*chat that fails with 429", "chat that fails with 500"),
    ),
    Difference(
        reason="In the tests the next LLM is at the same server.",
        parts=frozenset({"requests"}),
        wrappers=("RoutedLLM",),
        ways=("*chat that fails with 429", "chat that fails with 500"),
    ),
    Difference(
        reason="Attributes that a wrapper of several LLMs lacks are set on those LLMs.",
        parts=frozenset({"answer", "requests", "events", "spans"}),
        wrappers=("RoutedLLM*",),
        ways=("an attribute that is set",),
    ),
    Difference(
        reason="LLMs of two classes share no format: an object is asked for by a tool, or by text "
        "if that is set.",
        parts=frozenset({"requests", "events"}),
        wrappers=(TWO_CLASSES,),
        ways=_TYPED,
    ),
    Difference(
        reason="Tools are written in the format of the LLM that is chosen, within its call.",
        parts=frozenset({"spans"}),
        wrappers=(TWO_CLASSES,),
        ways=(*_TYPED, *_TOOL_USERS),
    ),
    Difference(
        reason="LLMs of two classes share no class but `FunctionCallingLLM`.",
        parts=frozenset({"answer"}),
        wrappers=(TWO_CLASSES,),
        ways=("isinstance of its class",),
    ),
    Difference(
        reason="A field of one of the two classes refuses the wrapper.",
        parts=frozenset({"answer", "extras", "requests", "events", "spans"}),
        wrappers=(TWO_CLASSES,),
        ways=("a field of its class",),
    ),
)
"""The order is that of the reasons' numbers in the table."""


_KINDS = {
    "calls": "calls",
    "structured": "objects",
    "tools": "tools",
    "agents": "agents",
    "engines": "engines",
    "failures": "failures",
    "state": "copies",
    "surface": "attributes",
}
"""What the ways of each module are called in the table."""


def table_of_differences() -> str:
    """Return the table of all ways and wrappers in Markdown."""
    ways = [
        (name, f"{_KINDS[way.use.__module__.rpartition('.')[2]]}: {way.title}")
        for name, way in WAYS.items()
    ]
    return table(ways, list(WRAPPERS), DIFFERENCES)
