"""A provider on loopback whose answers depend on the request alone: agents, schemas, choices."""

from __future__ import annotations

import json
from typing import Any

from support.openai_server import last_text, tool_call

REACT, CODE = "Action Input:", "<execute>...</execute>"


def answer(body: dict[str, Any]) -> dict[str, Any] | str:
    """Return a text, JSON for a schema, or a tool call."""
    schema = (body.get("response_format") or {}).get("json_schema")
    if schema:
        return json.dumps(filled(schema["schema"]))
    called = _tool_called(body)
    return {"tool_calls": called} if called else _text(body)


def filled(schema: dict[str, Any]) -> Any:
    """Return the same value for every request with this JSON schema."""
    defs = schema.get("$defs", {})

    def fill(part: dict[str, Any], name: str) -> Any:
        if "$ref" in part:
            return fill(defs[part["$ref"].rpartition("/")[2]], name)
        if "anyOf" in part:
            return fill(part["anyOf"][0], name)
        kind = part.get("type")
        if kind == "object":
            return {key: fill(each, key) for key, each in part.get("properties", {}).items()}
        if kind == "array":
            return [fill(part.get("items", {}), name)]
        values: dict[Any, Any] = {"integer": 1, "number": 1.0, "boolean": True}
        return values.get(kind, _WORDS.get(name, "Ulm"))

    return fill(schema, "")


_WORDS = {"to_agent": "writer", "tool_name": "rivers", "sub_question": "What of the Danube?"}


def _tool_called(body: dict[str, Any]) -> list[dict[str, Any]]:
    tools = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice")
    asked = _question(body)
    forced = choice == "required" or isinstance(choice, dict)
    if not tools or not (forced or "weather" in asked or "hand off" in asked):
        return []
    if body["messages"][-1]["role"] == "tool" and not forced:
        return []
    named = choice["function"]["name"] if isinstance(choice, dict) else ""
    wanted = named or ("handoff" if "hand off" in asked else "")
    function = next((each for each in tools if each["name"] == wanted), tools[0])
    if wanted == "handoff" and function["name"] != "handoff":
        return []  # the one who was handed to
    count = 2 if "two towns" in asked else 1
    return [
        tool_call(function["name"], filled(function["parameters"]), f"call_{number}")
        for number in range(count)
    ]


def _question(body: dict[str, Any]) -> str:
    asked = [each for each in body["messages"] if each["role"] == "user"]
    return last_text({"messages": asked[-1:]}) if asked else ""


def _text(body: dict[str, Any]) -> str:
    if not body["messages"]:
        return "answer to nothing"
    whole, last = json.dumps(body["messages"]), last_text(body)
    if REACT in whole:
        if last.startswith("Observation:"):
            return "Thought: I can answer without using any more tools.\nAnswer: It is mild."
        return 'Thought: I need a tool.\nAction: weather\nAction Input: {"town": "Ulm"}'
    if CODE in whole:
        ran = "result" in last
        return "It is mild." if ran else "<execute>\nprint(weather('Ulm'))\n</execute>"
    for mark, said in _TEXTS.items():
        if mark in last:
            return said
    return f"answer to {last}"


_TEXTS = {
    "Some choices are given below": '[{"choice": 1, "reason": "It is about rivers."}]',
    "sub-questions": '```json\n{"items": [{"sub_question": "What of the Danube?", '
    '"tool_name": "rivers"}]}\n```',
    "YES or NO": "YES",
    "Here is a JSON schema": '{"name": "Ulm", "size": 1}',
    "JSON": '{"name": "Ulm", "size": 1}',
}
