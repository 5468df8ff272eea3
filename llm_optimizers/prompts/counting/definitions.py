"""Count the tokens of tool definitions and answer schemas, which providers put into the prompt.

Tools follow OpenAI's cookbook, "How to count tokens with tiktoken". A schema of the answer is
written as in OpenAI's harmony format (https://cookbook.openai.com/articles/openai-harmony).
Other providers' shapes (Anthropic, Bedrock, Gemini, OpenAI's Responses) are read by their names and
counted in the same way, as an estimate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from llm_optimizers.prompts.counting.counts import TokenCount, estimated, exact
from llm_optimizers.prompts.counting.vocabularies import bare_name, encoding_name

__all__ = ["count_definitions", "count_instructions", "count_schemas"]

Count: TypeAlias = Callable[[str, str], TokenCount]
"""Counts a text for a model."""

_LISTS = ("tools", "functions", "tool_config", "toolConfig")
_GROUPS = ("tools", "function_declarations", "functionDeclarations")
_INNER = ("function", "toolSpec", "tool_spec")
_PARAMETERS = (
    *("parameters", "input_schema", "inputSchema"),
    *("parameters_json_schema", "parametersJsonSchema"),
)
_FORMATS = ("response_format", "text", "text_format", "output_format", "output_config")
_SCHEMAS = ("response_schema", "responseSchema", "response_json_schema", "responseJsonSchema")
_SETTINGS = ("generation_config", "generationConfig")
_INSTRUCTIONS = ("instructions", "system", "system_instruction", "systemInstruction")
_HARMONY = "# Response Formats\n\n## {name}\n\n"
_CLAUDES_TOOL_PROMPT, _FORCED = 346, 313
"""The system prompt that Anthropic adds for tools, and the one if a tool must be used (Claude 4:
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview#pricing)."""


def count_definitions(params: Mapping[str, Any], model: str, count: Count) -> TokenCount:
    """Count a request's tool definitions, which come before all messages."""
    total = exact(0)
    for tool in _tools(params):
        total += _tool(tool, model, count)
    if not total.tokens:
        return total
    if bare_name(model).startswith("claude"):
        return total + estimated(_FORCED if _is_forced(params) else _CLAUDES_TOOL_PROMPT)
    return total + exact(12)  # once for any number of tools


def count_schemas(params: Mapping[str, Any], model: str, count: Count) -> TokenCount:
    """Count the schemas that the answer must fit."""
    total = exact(0)
    for name, schema in _schemas(params):
        total += count(_HARMONY.format(name=name) + _json(schema), model) + estimated(0)
    return total


def count_instructions(params: Mapping[str, Any], model: str, count: Count) -> TokenCount:
    """Count the system prompts that stand beside the messages."""
    total = exact(0)
    for name in _INSTRUCTIONS:
        text = params.get(name)
        if isinstance(text, str) and text:
            total += count(text, model) + estimated(3)
    return total


def _tools(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _LISTS:
        given = params.get(name)
        if given is not None:
            yield from _flat(given if isinstance(given, list | tuple) else [given])


def _flat(tools: list[Any] | tuple[Any, ...]) -> Iterator[Mapping[str, Any]]:
    """Yield each definition, also of those in groups, without what is around it."""
    for each in tools:
        tool = _mapping(each)
        groups = [tool[name] for name in _GROUPS if isinstance(tool.get(name), list | tuple)]
        for group in groups:
            yield from _flat(group)
        if groups or (not tool and not isinstance(each, Mapping)):
            continue
        inner = next((tool[name] for name in _INNER if isinstance(tool.get(name), Mapping)), tool)
        yield inner


def _is_forced(params: Mapping[str, Any]) -> bool:
    choice = _mapping(params.get("tool_choice")).get("type", params.get("tool_choice"))
    return choice in ("any", "tool", "required")


def _tool(function: Mapping[str, Any], model: str, count: Count) -> TokenCount:
    opening = 10 if encoding_name(model) == "cl100k_base" else 7
    total = TokenCount(tokens=opening, exact="name" in function)
    if function and "name" not in function:  # the provider's own tool, such as a web search
        return total + count(_json(function), model)
    described = str(function.get("description") or "").removesuffix(".")
    total += count(f"{function.get('name')}:{described}", model)
    given = next((function[name] for name in _PARAMETERS if function.get(name)), None)
    parameters = _mapping(given)
    parameters = _mapping(parameters.get("json")) or parameters  # Bedrock
    properties = _mapping(parameters.get("properties"))
    if not properties:
        return total
    total += exact(3)
    for name, schema in properties.items():
        total += _property(str(name), schema, model, count)
    inside = parameters.get("$defs") or parameters.get("definitions")
    return total + count(_json(inside), model) + estimated(0) if inside else total


def _property(name: str, schema: Any, model: str, count: Count) -> TokenCount:
    if not isinstance(schema, Mapping) or not isinstance(schema.get("type"), str):
        return count(f"{name}:{_json(schema)}", model) + estimated(3)
    total = TokenCount(tokens=3, exact=schema["type"] not in ("object", "array"))
    choices = schema.get("enum")
    if isinstance(choices, list):
        total += exact(3 * len(choices) - 3)
        for choice in choices:
            total += count(str(choice), model)
    nested = schema.get("properties") or schema.get("items")
    if nested:
        total += count(_json(nested), model)
    described = str(schema.get("description") or "").removesuffix(".")
    return total + count(f"{name}:{schema['type']}:{described}", model)


def _schemas(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the JSON schema of each form that the answer must have."""
    for name in _FORMATS:
        yield from _formats(params.get(name))
    for settings in (params, *(_mapping(params.get(name)) for name in _SETTINGS)):
        for name in _SCHEMAS:
            found = _schema(settings.get(name))
            if found:
                yield str(found.get("title") or ""), found


def _formats(given: Any) -> Iterator[tuple[str, Any]]:
    made = _schema(given) if isinstance(given, type) else None
    if made:
        yield str(made.get("title") or ""), made
        return
    form = _mapping(given)
    form = _mapping(form.get("format")) or form  # OpenAI's Responses, Anthropic
    form = _mapping(form.get("json_schema")) or form
    schema = _schema(form.get("schema"))
    if schema:
        yield str(form.get("name") or ""), schema


def _schema(given: Any) -> Mapping[str, Any]:
    """Return a JSON schema, that of a class too; {} for anything else."""
    if isinstance(given, type) and issubclass(given, BaseModel):
        return given.model_json_schema()
    return _mapping(given)


def _mapping(given: Any) -> Mapping[str, Any]:
    """Return a provider's object as a mapping, {} for what is none."""
    if isinstance(given, Mapping):
        return given
    if isinstance(given, BaseModel):
        return given.model_dump(exclude_none=True, warnings=False)
    return {}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
