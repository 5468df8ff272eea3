"""State at the provider: what a request refers to by name or id, so that its text is not all of it.

A cache key, a combined prompt and a cascade are made of what the request says. Some parameters
point to what the provider keeps instead. They are of three kinds:

* `moving`: every call changes it, or others may: a conversation, a session, a container. Two equal
  requests are two different ones, so such a call is never cached, shared or combined.
* `continued`: a response that never changes, and that this request continues. Equal requests
  are equal, but the ids of tool calls in them are the provider's and must stay as they are.
* `fixed`: anything else that lies at the provider: cached content, a file, the web as a server-side
  tool sees it. Equal requests have equal answers for as long as the user's `ttl` says, but they
  cannot be compared by meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from llm_optimizers.settings.nested import NESTED

__all__ = [
    "STATE_SETTING",
    "ProviderState",
    "holds_reference",
    "state_of",
    "state_settings",
    "stateful_settings",
]

STATE_SETTING = "provider_state"
"""The name, which no setting of a call has, under which the state of models is among them."""


Kind: TypeAlias = Literal["moving", "continued", "fixed"]

_PARAMETERS: Mapping[str, Kind] = MappingProxyType(
    {
        # OpenAI's and Azure's Responses: https://platform.openai.com/docs/api-reference/responses
        "conversation": "moving",
        "background": "moving",  # The answer is a receipt for work that has not ended.
        "previous_response_id": "continued",
        "prompt": "fixed",  # A stored prompt, {"id": …}; its text can be edited there.
        # OpenAI's and Azure's Assistants: …/docs/api-reference/runs
        "thread_id": "moving",
        "assistant_id": "fixed",
        # Chat Completions that search: …/docs/guides/tools-web-search
        "web_search_options": "fixed",
        # Azure on your data: https://learn.microsoft.com/azure/ai-foundry/openai/references/on-your-data
        "data_sources": "fixed",
        # LlamaIndex's OpenAIResponses: the LLM object continues its last response.
        "track_previous_responses": "moving",
        # LlamaIndex's OpenAIResponses and GoogleGenAI: server-side tools.
        "built_in_tools": "fixed",
        "built_in_tool": "fixed",
        # Anthropic: https://docs.claude.com/en/docs/agents-and-tools/tool-use/code-execution-tool
        "container": "moving",
        "reuse_last_container": "moving",  # langchain-anthropic
        "mcp_servers": "moving",
        # Gemini: https://ai.google.dev/api/caching and …/gemini-api/docs/interactions
        "cached_content": "fixed",
        "cachedContent": "fixed",
        "previous_interaction_id": "continued",
        # Mistral's agents and conversations: https://docs.mistral.ai/agents/agents
        "conversation_id": "moving",
        "agent_id": "fixed",
        # Bedrock's agents: https://docs.aws.amazon.com/bedrock/latest/APIReference, InvokeAgent
        "sessionId": "moving",
        "session_id": "moving",
        "memoryId": "moving",
        "agentId": "fixed",
        # Volcengine's context API, whose sessions grow: https://www.volcengine.com/docs/82379
        "context_id": "moving",
        # xAI: the answer is fetched later. Searches of xAI, OpenRouter, Qwen and Cohere.
        "deferred": "moving",
        "search_parameters": "fixed",
        "plugins": "fixed",
        "enable_search": "fixed",
        "connectors": "fixed",
    }
)
_CONTAINERS = (
    *NESTED,
    *("config", "fields", "kwargs", "llm", "bound", "model", STATE_SETTING),
)
"""Names under which a request's parameters hold settings: also those of wrapped models."""
_TOOLS = ("tools", "built_in_tools")
_CLIENT_TOOLS = ("function", "custom")
_CLIENT_FIELDS = frozenset(
    {
        *("name", "function", "input_schema", "parameters", "toolSpec"),
        *("function_declarations", "functionDeclarations", "class", "schema"),
    }
)
"""Fields of a tool without a type that the client runs; Gemini's own are like `google_search`."""
_MOVING_TOOLS = ("code_interpreter", "code_execution_", "mcp", "remote_mcp", "shell")
"""Beginnings of the types of tools that act or keep files at the provider, so that a call is an
act and not only an answer: OpenAI's code interpreter, shell and MCP, Anthropic's dated ones."""
_MAX_DEPTH = 6
_FLAGS = ("use_previous_response_id",)
"""Settings that are no state themselves but say that messages refer to it (langchain-openai)."""
_NAMES = frozenset({*_PARAMETERS, *_FLAGS, *_TOOLS, *NESTED})
_READ = frozenset({*_PARAMETERS, *_TOOLS, *_CONTAINERS})
_HELD_IN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "item_reference": (),
        "audio": ("base64", "data", "url"),
        "reasoning": ("encrypted_content",),
        "image_generation_call": ("result",),
        "web_search_call": ("results",),
        "file_search_call": ("results",),
    }
)
"""OpenAI's items that the provider keeps, with the fields that hold the content if it is sent."""
_LABELS = frozenset(
    {
        *("type", "id", "index", "name", "filename", "title", "status", "detail", "extras"),
        *("source_type", "mime_type", "mimeType", "media_type", "format", "metadata"),
        "cache_control",
    }
)
"""Fields that say something about a block's content and do not hold it."""
_FILE_IDS = ("file_id", "file_uri", "fileUri")
_FILE_HOLDERS = ("file", "source", "input_file", "image_file", "fileData", "file_data")
"""Fields of a block that hold the file, or its id, in a mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """The names of a request's parameters that refer to state at the provider, by kind."""

    moving: tuple[str, ...] = ()
    continued: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.moving or self.continued or self.fixed)


def state_of(settings: Mapping[str, Any]) -> ProviderState:
    """Return which of a request's settings refer to state at the provider, wherever they are set.

    Names inside tool definitions and schemas are the user's and do not count.
    """
    found: dict[Kind, list[str]] = {"moving": [], "continued": [], "fixed": []}
    for name, kind in _named(settings, _MAX_DEPTH):
        if name not in found[kind]:
            found[kind].append(name)
    return ProviderState(**{kind: tuple(names) for kind, names in found.items()})


def state_settings(*sources: object) -> dict[str, Any]:
    """Return the state in each source's settings as one setting of a request; {} without any."""
    found = [stateful_settings(source) for source in sources]
    return {STATE_SETTING: found} if any(found) else {}


def stateful_settings(source: object) -> dict[str, Any]:
    """Return those settings of a source that may refer to state at the provider.

    A source is a mapping of settings, or a model.
    """
    settings = source if isinstance(source, Mapping) else _settings_held_by(source)
    return {
        name: value
        for name, value in settings.items()
        if (name in _FLAGS and not _is_unset(value)) or state_of({name: value})
    }


def _settings_held_by(model: object) -> dict[str, Any]:
    """Return a model's settings of the names that matter here.

    Some integrations keep such a setting in a private attribute of the same name.
    """
    held = (
        getattr(model, "__pydantic_private__", None),
        getattr(model, "__pydantic_extra__", None),
        getattr(model, "__dict__", None),
    )
    given: dict[str, Any] = {}
    for values in held:
        for name, value in (values or {}).items():
            public = name.removeprefix("_")
            if public in _NAMES and not given.get(public):
                given[public] = value
    return {name: value for name, value in given.items() if _is_data(value)}


def holds_reference(block: Mapping[str, Any]) -> bool:
    """Whether a content block names something at the provider instead of holding it.

    An uploaded file, an item reference, an image by its id, a search whose results are not
    included, OpenAI's reasoning without its encrypted text, and any block that has only an id.
    """
    if any(block.get(name) for name in _FILE_IDS):
        return True
    holders = (block.get(name) for name in _FILE_HOLDERS)
    if any(isinstance(h, Mapping) and any(h.get(name) for name in _FILE_IDS) for h in holders):
        return True
    kind = block.get("type")
    if not isinstance(kind, str) or not block.get("id"):
        return False
    held = _HELD_IN.get(kind)
    if held is None:
        return block.keys() <= _LABELS
    return not any(block.get(name) for name in held)


def _named(settings: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Kind]]:
    for name, value in settings.items():
        if name not in _READ or _is_unset(value):
            continue
        kind = _PARAMETERS.get(name)
        if kind is not None and _refers(name, value):
            yield name, kind
        if name in _TOOLS and isinstance(value, Sequence) and not isinstance(value, str):
            yield from _tools(value)
        if name in _CONTAINERS and depth:
            for inner in value if isinstance(value, list | tuple) else (value,):
                if isinstance(inner, Mapping):
                    yield from _named(inner, depth - 1)


def _refers(name: str, value: Any) -> bool:
    """Whether the value is a reference; other APIs use the name `prompt` for texts."""
    return name != "prompt" or (isinstance(value, Mapping) and bool(value.get("id")))


def _tools(tools: Sequence[Any]) -> Iterator[tuple[str, Kind]]:
    for tool in tools:
        kind = _server_tool(tool) if isinstance(tool, Mapping) else None
        if kind is not None:
            yield f"the tool {kind}", "moving" if kind.startswith(_MOVING_TOOLS) else "fixed"


def _server_tool(tool: Mapping[str, Any]) -> str | None:
    """Return the type of a tool that the provider runs, None for one that the client runs."""
    kind = tool.get("type")
    if isinstance(kind, str):
        return None if kind in _CLIENT_TOOLS else kind
    return None if not tool or _CLIENT_FIELDS & tool.keys() else str(next(iter(tool)))


def _is_unset(value: object) -> bool:
    return value is None or (_is_data(value) and not value)


def _is_data(value: object) -> bool:
    return isinstance(value, str | bool | int | Mapping | list | tuple)
