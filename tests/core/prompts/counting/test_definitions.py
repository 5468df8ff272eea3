"""Tools, schemas, calls and thoughts are counted, in every provider's shape."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from llm_optimizers.costs import Usage
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.types import ChatRequest, Message, Part, ToolCall

counter = TokenCounter()
MODEL = "gpt-4o"
NAME, DESCRIPTION = "find_flights", "Find flights between two airports on a day"
PARAMETERS = {
    "type": "object",
    "properties": {
        "start": {"type": "string", "description": "The airport's code"},
        "day": {"type": "string", "description": "The day, such as 2026-01-31"},
    },
    "required": ["start"],
}
OPENAI = {"name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS}
TOOL_SPEC = {"name": NAME, "description": DESCRIPTION, "inputSchema": {"json": PARAMETERS}}


class Address(BaseModel):
    street: str
    town: str


class Person(BaseModel):
    name: str
    address: Address


def asked(params: Mapping[str, Any], model: str = MODEL) -> int:
    """Return how many tokens the settings add to a request."""
    messages = (Message(role="user", content="Hi"),)
    whole = counter.count_request(ChatRequest(messages=messages, model=model, params=params))
    return whole.tokens - counter.count_request(ChatRequest(messages=messages, model=model)).tokens


@pytest.mark.parametrize(
    "params",
    [
        {"tools": [OPENAI]},  # OpenAI's Responses
        {"functions": [OPENAI]},
        {"tools": [{"name": NAME, "description": DESCRIPTION, "input_schema": PARAMETERS}]},
        {"tools": [{"toolSpec": TOOL_SPEC}]},
        {"toolConfig": {"tools": [{"toolSpec": TOOL_SPEC}]}},
        {"tools": {"tools": [{"toolSpec": TOOL_SPEC}]}},
        {"tools": [{"function_declarations": [OPENAI]}]},
        {"tools": [{"functionDeclarations": [OPENAI]}]},
    ],
    ids=["responses", "functions", "anthropic", "spec", "config", "bedrock", "google", "gemini"],
)
def test_a_tool_has_one_count_in_every_shape(params: Mapping[str, Any]) -> None:
    expected = asked({"tools": [{"type": "function", "function": OPENAI}]})
    assert asked(params) == expected
    assert expected > 30


def test_several_tools_add_up() -> None:
    one = asked({"tools": [OPENAI]})
    assert asked({"tools": [OPENAI, {**OPENAI, "name": "other"}]}) > 2 * one - 20


@pytest.mark.parametrize("choice", [None, {"type": "any"}])
def test_claude_gets_a_system_prompt_for_tools(choice: Any) -> None:
    params = {"tools": [OPENAI], "tool_choice": choice}
    assert asked(params, "claude-sonnet-4-5") - asked({"tools": [OPENAI]}, "llama-4") == (
        334 if choice is None else 301
    )


def test_a_schema_of_the_answer_is_counted_in_every_shape() -> None:
    schema = Person.model_json_schema()
    named = {"name": "Person", "schema": schema}
    shapes: list[Mapping[str, Any]] = [
        {"response_format": {"type": "json_schema", "json_schema": named}},
        {"response_format": Person},
        {"text": {"format": {"type": "json_schema", **named}}},
        {"text_format": Person},
        {"generation_config": {"response_schema": Person}},
        {"response_schema": schema},
        {"response_json_schema": schema},
    ]
    counts = {asked(params) for params in shapes}
    assert len(counts) == 1
    assert counts.pop() > counter.count('{"street":{"type":"string"}}', MODEL).tokens * 3
    assert asked({"response_format": {"type": "json_object"}}) == 0
    assert asked({"text": "verbose", "response_format": None, "instructions": ""}) == 0


def test_classes_inside_a_tools_parameters_are_counted() -> None:
    def sized(kind: type[BaseModel]) -> int:
        return asked({"tools": [{"name": "save", "parameters": kind.model_json_schema()}]})

    assert sized(Person) > sized(Address) + 10


def test_instructions_beside_the_messages_are_counted() -> None:
    text = "Answer in the manner of a librarian. " * 5
    assert asked({"instructions": text}) == counter.count(text, MODEL).tokens + 3


def test_an_answers_calls_and_thoughts_are_output() -> None:
    request = ChatRequest(messages=(Message(role="user", content="Hi"),), model=MODEL)
    calls = tuple(ToolCall(id=str(n), name=NAME, arguments='{"start":"HAM"}') for n in range(2))
    thought = Part(kind="thinking", data={"thinking": "Which airport?", "signature": "x" * 900})
    repeated = Part(kind="tool_use", data={"type": "tool_use", "input": {"start": "HAM"}})
    answer = Message(role="assistant", content=(thought, repeated), tool_calls=calls)
    each = counter.count(NAME, MODEL).tokens + counter.count('{"start":"HAM"}', MODEL).tokens + 3
    said = counter.count("Which airport?", MODEL).tokens
    used = counter.count_call(request, answer, "Yes.")
    assert used.output_tokens == 2 * each + said + counter.count("Yes.", MODEL).tokens
    assert used.input_tokens == counter.count_request(request).tokens
    assert counter.count_call(request) == Usage(input_tokens=used.input_tokens)


def wav(seconds: int, rate: int = 24_000) -> str:
    fields = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    head = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + fields + b"data\0\0\0\0"
    return base64.b64encode(head + bytes(2 * rate * seconds)).decode()


@pytest.mark.parametrize(
    ("model", "a_second"), [("gpt-4o-audio-preview", 10), ("gemini-2.5-flash", 32)]
)
def test_sound_is_counted_by_its_length(model: str, a_second: int) -> None:
    blocks: list[Mapping[str, Any]] = [
        {"type": "input_audio", "input_audio": {"data": wav(12), "format": "wav"}},
        {"type": "audio", "base64": wav(12), "mime_type": "audio/wav"},
        {"type": "audio", "data": "A" * (12 * 16_000 * 4 // 3), "mime_type": "audio/mp3"},
    ]
    for block in blocks:
        message = Message(role="user", content=(Part(kind=block["type"], data=block),))
        used = counter.count_call(ChatRequest(messages=(message,), model=model))
        assert abs(used.input_audio_tokens - 12 * a_second) <= 1
        assert used.input_tokens - used.input_audio_tokens == 7


def test_odd_sounds_do_not_stop_a_count() -> None:
    for data in ("", "UklGRg==", "!!", wav(1)[:40], None, 7):
        block = {"type": "audio", "data": data}
        message = Message(role="user", content=(Part(kind="audio", data=block),))
        used = counter.count_call(ChatRequest(messages=(message,), model=MODEL))
        assert used.input_tokens < 40


def test_a_completions_prompt_has_no_framing() -> None:
    messages = (Message(role="user", content="Once upon a time"),)
    request = ChatRequest(messages=messages, model=MODEL, completion=True)
    assert counter.count_request(request) == counter.count("Once upon a time", MODEL)


@pytest.mark.parametrize(
    "params",
    [
        {"tools": "none"},
        {"tools": [None, 7, [], "x"]},
        {"tools": [{"function": {"name": None, "parameters": 3}}]},
        {"response_format": {"json_schema": {"schema": "x"}}},
        {"response_format": int},
        {"generation_config": 7, "text": {"format": 3}},
        {"tools": [{"type": "web_search_preview"}]},
    ],
    ids=["text", "odd", "no_name", "no_schema", "no_model", "numbers", "own_tool"],
)
def test_odd_settings_do_not_stop_a_count(params: Mapping[str, Any]) -> None:
    assert asked(params) < 40


def test_the_api_references_example_is_estimated_within_a_token_in_sixteen() -> None:
    """OpenAI's reference of chat completions, "Functions": 82 tokens of prompt, 17 of answer."""
    place = {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    tool = {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {"location": place, "unit": unit},
            "required": ["location"],
        },
    }
    asked = Message(role="user", content="What's the weather like in Boston today?")
    call = ToolCall(id="1", name="get_current_weather", arguments='{\n"location": "Boston, MA"\n}')
    request = ChatRequest(messages=(asked,), model=MODEL, params={"tools": [tool]})
    used = counter.count_call(request, Message(role="assistant", tool_calls=(call,)))
    assert abs(used.input_tokens / 82 - 1) < 1 / 16
    assert abs(used.output_tokens / 17 - 1) < 1 / 16
