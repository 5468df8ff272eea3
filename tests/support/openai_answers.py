"""Answers as OpenAI's two APIs write them, with every field that an answer may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
}
_TOKEN = {"token": "Hello", "logprob": -0.1, "bytes": [72], "top_logprobs": []}
CALLS = [
    {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "weather", "arguments": f'{{"town": "{town}"}}'},
    }
    for number, town in enumerate(("Ulm", "Bonn"))
]


def completion(finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Return the body of a chat completion whose message has these fields."""
    whole = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **message}
    logprobs = {"content": [_TOKEN], "refusal": None}
    choice = {"index": 0, "message": whole, "finish_reason": finish_reason, "logprobs": logprobs}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [choice],
        "usage": _USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def completion_events(
    deltas: Sequence[dict[str, Any]], finish_reason: str = "stop"
) -> list[dict[str, Any]]:
    """Return the events of a streamed chat completion."""
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }
    first = {"role": "assistant", "content": "", "refusal": None}
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": delta, "finish_reason": None}] for delta in (first, *deltas)
    ]
    choices.append([{"index": 0, "delta": {}, "finish_reason": finish_reason}])
    events = [{**head, "choices": choice, "usage": None} for choice in choices]
    return [*events, {**head, "choices": [], "usage": _USAGE}]


def call_deltas() -> list[dict[str, Any]]:
    """Return the deltas of `CALLS`, each in two parts."""
    deltas = []
    for index, call in enumerate(CALLS):
        arguments = call["function"]["arguments"]
        begun = {**call["function"], "arguments": ""}
        deltas.append({"tool_calls": [{**call, "index": index, "function": begun}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in (arguments[:5], arguments[5:])
        ]
    return deltas


def response(output: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the body of a response of the Responses API."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "gpt-5-2025-08-07",
        "status": "completed",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": 1.0,
        "top_p": 1.0,
        "metadata": {},
        "incomplete_details": None,
        "error": None,
        "instructions": None,
        "service_tier": "default",
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 15,
        },
    }


REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Thinking."}],
    "encrypted_content": "c2VjcmV0",
}
CITED_TEXT = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {
            "type": "output_text",
            "text": "Ulm is on the Danube.",
            "logprobs": [],
            "annotations": [
                {
                    "type": "url_citation",
                    "start_index": 0,
                    "end_index": 3,
                    "url": "https://ulm.example",
                    "title": "Ulm",
                }
            ],
        }
    ],
}
FUNCTION_CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"town": "Ulm"}',
    "status": "completed",
}
WEB_SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "Ulm"},
}


def response_events(output: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events of a streamed response; text and arguments come in two parts."""
    whole = response(output)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(output):
        events += _item_events(index, item)
    events.append({"type": "response.completed", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    place = {"output_index": index, "item_id": item["id"]}
    empty = {**item, "status": "in_progress"}
    middle: list[dict[str, Any]] = []
    if item["type"] == "message":
        empty["content"] = []
        middle = _text_events({**place, "content_index": 0}, item["content"][0])
    elif item["type"] == "function_call":
        empty["arguments"] = ""
        written = item["arguments"]
        kind = "response.function_call_arguments"
        middle = [{"type": f"{kind}.delta", **place, "delta": part} for part in _halves(written)]
        middle.append({"type": f"{kind}.done", **place, "arguments": written})
    elif item["type"] == "reasoning":
        empty = {**item, "summary": [], "encrypted_content": None}
        middle = _summary_events({**place, "summary_index": 0}, item["summary"][0])
    added = {"type": "response.output_item.added", "output_index": index, "item": empty}
    done = {"type": "response.output_item.done", "output_index": index, "item": item}
    return [added, *middle, done]


def _text_events(place: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    empty = {**part, "text": "", "annotations": []}
    kind = "response.output_text"
    return [
        {"type": "response.content_part.added", **place, "part": empty},
        *(
            {"type": f"{kind}.delta", **place, "delta": delta, "logprobs": []}
            for delta in _halves(part["text"])
        ),
        *(
            {
                "type": f"{kind}.annotation.added",
                **place,
                "annotation_index": number,
                "annotation": annotation,
            }
            for number, annotation in enumerate(part["annotations"])
        ),
        {"type": f"{kind}.done", **place, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
    ]


def _summary_events(place: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    kind = "response.reasoning_summary"
    return [
        {"type": f"{kind}_part.added", **place, "part": {**part, "text": ""}},
        *(
            {"type": f"{kind}_text.delta", **place, "delta": delta}
            for delta in _halves(part["text"])
        ),
        {"type": f"{kind}_text.done", **place, "text": part["text"]},
        {"type": f"{kind}_part.done", **place, "part": part},
    ]


def _halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]
