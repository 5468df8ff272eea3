"""What is billed by the piece: searches, containers that run code, pictures, and unknown kinds.

Servers count them beside the tokens, or show them only as parts of the answer: a call of OpenAI's
web search, a block of Anthropic's, the queries of Gemini's grounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_optimizers.costs.usage.places import (
    Found,
    as_fields,
    at,
    fields_at,
    first_of,
    listed,
    there,
)

__all__ = ["Pieces", "counts_pieces", "pieces_of_counts"]

# Where counts stand beside the tokens: Anthropic's and OpenRouter's `server_tool_use`, LiteLLM's
# details, Perplexity's queries, x.ai's and Mistral's tools.
_COUNTED: Mapping[str, tuple[str, ...]] = {
    "web_searches": (
        "server_tool_use.web_search_requests",
        "prompt_tokens_details.web_search_requests",
        "server_side_tool_usage_details.web_search_calls",
        "tool_calls_details.search_web.invocation",
        "connectors.web_search",
        "num_search_queries",
    ),
    "file_searches": (
        "server_side_tool_usage_details.file_search_calls"
        " + server_side_tool_usage_details.document_search_calls",
        "connectors.document_library",
    ),
    "code_sessions": (
        "server_side_tool_usage_details.code_interpreter_calls",
        "connectors.code_interpreter",
    ),
    "images": (
        "server_side_tool_usage_details.image_generation_calls",
        "connectors.image_generation",
    ),
    "other_units": (
        "citation_tokens + num_sources_used + prompt_audio_seconds + billed_units.search_units"
        " + billed_units.classifications",
    ),
}
_TOOL_COUNTS = ("server_tool_use", "server_side_tool_usage_details")
# Names of counts that are read above, or cost no more than their tokens: fetched pages, the use of
# the user's own tools.
_KNOWN = frozenset(
    {
        *("web_search_requests", "code_execution_requests", "web_fetch_requests"),
        *("tool_search_requests", "web_search_calls", "file_search_calls", "mcp_calls"),
        *("document_search_calls", "code_interpreter_calls", "image_generation_calls"),
        *("tool_calls_requested", "tool_calls_executed"),
    }
)
_FREE_CALLS = frozenset(
    {
        *("function_call", "custom_tool_call", "mcp_call", "computer_call", "tool_search_call"),
        *("local_shell_call", "apply_patch_call", "tool_call", "server_tool_call", "program_call"),
        *("invalid_tool_call", "non_standard_call"),
    }
)
_CALLS = {
    "file_search_call": "file_searches",
    "image_generation_call": "images",
}
_IN_CONTAINERS = ("code_interpreter_call", "shell_call")
_FREE_TOOLS = ("web_fetch", "tool_search", "mcp", "memory", "computer", "advisor")
_CODE_TOOLS = ("code_execution", "code_interpreter")


def counts_pieces(given: Mapping[str, Any]) -> bool:
    """Whether a server counts pieces here, if only zeros; then parts of the answer say no more."""
    return any(as_fields(given.get(place)) for place in _TOOL_COUNTS) or bool(
        pieces_of_counts(given, Found())
    )


_EVENTS = ("item", "content_block")
_PARTS = ("output", "response.output", "content", "tool_outputs", "built_in_tool_calls", *_EVENTS)
_GROUNDED = ("grounding_metadata", "groundingMetadata")


def pieces_of_counts(given: Mapping[str, Any], found: Found) -> dict[str, int]:
    """Return the pieces that a server counts beside the tokens."""
    pieces = {name: first_of(given, places, found) for name, places in _COUNTED.items()}
    tools = fields_at(given, "server_tool_use")
    if tools.get("code_execution_requests") and not _searched(tools):
        pieces["code_sessions"] += 1  # all of an answer's run in one container
    listed = False
    for place in _TOOL_COUNTS:
        for name, count in fields_at(given, place).items():
            listed = True
            if name not in _KNOWN and isinstance(count, int | float) and count:
                pieces["other_units"] += found.count(name, count)
    if not listed:
        pieces["other_units"] += first_of(given, ("num_server_side_tools_used",), found)
    return {name: count for name, count in pieces.items() if count}


def _searched(tools: Mapping[str, Any]) -> bool:
    """Whether the answer used Anthropic's web tools, with which running code costs nothing.

    https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/code-execution-tool
    """
    return bool(tools.get("web_search_requests") or tools.get("web_fetch_requests"))


@dataclass(slots=True)
class Pieces:
    """The pieces that parts of an answer show, each once, however often a stream repeats it."""

    _seen: dict[str, set[str]] = field(default_factory=dict)
    _fetched: bool = False

    def add(self, answer: Mapping[str, Any]) -> None:
        """Add the parts of an answer, or of one of its chunks."""
        for number, part in enumerate(_parts(answer)):
            kind = part.get("type")
            if isinstance(kind, str) and (kind.endswith(("_call", "_use"))):
                self._add_part(kind, part, str(part.get("id") or number))
        for _, grounding in there(answer, _GROUNDED):
            self._add_grounding(as_fields(grounding))

    def counts(self) -> dict[str, int]:
        """Return the counts by their names in `Usage`."""
        found = {name: len(ids) for name, ids in self._seen.items() if ids}
        if self._fetched or "web_searches" in found:
            found.pop("containers", None)
        containers = found.pop("containers", 0)
        if containers:
            found["code_sessions"] = found.get("code_sessions", 0) + 1
        return found

    def _add_part(self, kind: str, part: Mapping[str, Any], id_: str) -> None:
        if part.get("status") == "failed":
            return
        if kind == "web_search_call":
            # A page opened or searched after the search costs nothing.
            action = at(part, "action.type")
            if action in (None, "search"):
                self._count("web_searches", id_)
        elif kind in _CALLS:
            self._count(_CALLS[kind], id_)
        elif kind in _IN_CONTAINERS:
            container = part.get("container_id") or at(part, "environment.container_id")
            if kind != "shell_call" or container:
                self._count("code_sessions", str(container or id_))
        elif kind in ("server_tool_use", "server_tool_call"):
            self._add_tool(str(part.get("name") or ""), part, id_)
        elif kind.endswith("_call") and kind not in _FREE_CALLS:
            self._count("other_units", id_)

    def _add_tool(self, tool: str, part: Mapping[str, Any], id_: str) -> None:
        """Add a tool that Anthropic's server ran, or LangChain's standard block of any server's."""
        if tool == "web_search":
            if at(part, "args.type") in (None, "search"):
                self._count("web_searches", id_)
        elif tool == "file_search":
            self._count("file_searches", id_)
        elif tool == "image_generation":
            self._count("images", id_)
        elif any(name in tool for name in _CODE_TOOLS):
            self._count("containers", "")
        elif not tool.startswith(_FREE_TOOLS):
            self._count("other_units", id_)
        self._fetched |= tool == "web_fetch"

    def _add_grounding(self, grounding: Mapping[str, Any]) -> None:
        for name in ("web_search_queries", "webSearchQueries", "image_search_queries"):
            for query in listed(grounding.get(name)):
                self._count("web_searches", str(query))
        for name in ("retrieval_queries", "retrievalQueries"):
            for query in listed(grounding.get(name)):
                self._count("other_units", str(query))

    def _count(self, name: str, id_: str) -> None:
        self._seen.setdefault(name, set()).add(id_)


def _parts(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of an answer: OpenAI's output items, Anthropic's and LangChain's blocks."""
    for place, value in there(answer, _PARTS):
        for part in [value] if place in _EVENTS else listed(value):
            yield as_fields(part)
