"""A stand-in for OpenAI's Responses API on loopback: it keeps state, and refuses what OpenAI does.

A response is kept under its id, a conversation grows with every call, and an item is looked up
under its id. The errors are those of https://platform.openai.com/docs/guides/conversation-state and
of public reports: an unknown response or item, a second item with one id, a tool result without its
call, a call without its result, reasoning without the item after it, and an item without the
reasoning before it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.local_server import LocalHandler, serving

Item = dict[str, Any]


class RefusedError(Exception):
    """The request is answered with 400 and this text."""


@dataclass
class FakeResponses:
    """The server's state and the bodies it got.

    Its answer to a request with function tools and without a result for them since the last
    question is a call of the first tool with `arguments`, else text that quotes the question and
    counts the items that the model saw. `encrypted` adds encrypted reasoning.
    """

    url: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    encrypted: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    responses: dict[str, list[Item]] = field(default_factory=dict)
    conversations: dict[str, list[Item]] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    reasoned: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def calls(self) -> int:
        """How often the server was asked."""
        return len(self.requests)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to a request, and remember both."""
        with self.lock:
            self.requests.append(body)
            number = len(self.requests)
            sent = body["input"]
            new = [_message(sent)] if isinstance(sent, str) else [_message(each) for each in sent]
            before = self._before(body)
            self._check(before, new)
            seen = [*before, *new]
            output = self._output(body, seen, number)
            kept = [*seen, *output]
            self.responses[f"resp_{number:032d}"] = kept
            if body.get("conversation"):
                self.conversations[_id_of(body["conversation"])] = kept
            for item in output:
                self.items[item["id"]] = item
            self.reasoned[output[-1]["id"]] = output[0]["id"]
        return _response(body, number, output)

    def _before(self, body: dict[str, Any]) -> list[Item]:
        """Return the items that the request goes on from."""
        if previous := body.get("previous_response_id"):
            if previous not in self.responses:
                raise RefusedError(f"Previous response with id '{previous}' not found.")
            return self.responses[previous]
        if conversation := body.get("conversation"):
            return self.conversations.get(_id_of(conversation), [])
        return []

    def _check(self, before: list[Item], new: list[Item]) -> None:
        seen = [*before, *new]
        ids = [item["id"] for item in seen if item.get("id")]
        calls = [item["call_id"] for item in seen if item.get("type") == "function_call"]
        results = [item["call_id"] for item in seen if item.get("type") == "function_call_output"]
        for identifier in [*ids, *calls]:
            if [*ids, *calls].count(identifier) > 1:
                raise RefusedError(f"Duplicate item found with id {identifier}.")
        for call in results:
            if call not in calls:
                raise RefusedError(
                    f"No tool call found for function call output with call_id {call}."
                )
        for call in calls:
            if call not in results:
                raise RefusedError(f"No tool output found for function call {call}.")
        for place, item in enumerate(new):
            self._check_item(item, new[place - 1] if place else {}, [*new, {}][place + 1])

    def _check_item(self, item: Item, before: Item, after: Item) -> None:
        identifier = item.get("id")
        if identifier is None:
            return
        if identifier not in self.items:
            raise RefusedError(f"Item with id '{identifier}' not found.")
        if item["type"] == "reasoning":
            if self.reasoned.get(after.get("id", "")) != identifier:
                raise RefusedError(f"Item '{identifier}' was provided without its following item.")
        elif before.get("id") != self.reasoned.get(identifier):
            raise RefusedError(f"Item '{identifier}' was provided without its 'reasoning' item.")

    def _output(self, body: dict[str, Any], seen: list[Item], number: int) -> list[Item]:
        reasoning: Item = {"type": "reasoning", "id": f"rs_{number:032d}", "summary": []}
        if self.encrypted:
            reasoning["encrypted_content"] = f"encrypted {number}"
        tools = [tool for tool in body.get("tools") or () if tool["type"] == "function"]
        asked = max(i for i, item in enumerate(seen) if item.get("role") == "user")
        answered = any(item["type"] == "function_call_output" for item in seen[asked:])
        if tools and not answered:
            call = {
                "type": "function_call",
                "id": f"fc_{number:032d}",
                "call_id": f"call_{number:024d}",
                "name": tools[0]["name"],
                "arguments": json.dumps(self.arguments),
                "status": "completed",
            }
            return [reasoning, call]
        text = f"{_text(seen[asked])} ({len(seen)} items)"
        content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        message = {
            "type": "message",
            "id": f"msg_{number:032d}",
            "role": "assistant",
            "status": "completed",
            "content": content,
        }
        return [reasoning, message]


def _id_of(conversation: Any) -> str:
    return str(conversation["id"] if isinstance(conversation, dict) else conversation)


def _message(item: Any) -> Item:
    if isinstance(item, str):
        return {"type": "message", "role": "user", "content": item}
    return {"type": "message", **item}


def _text(item: Item) -> str:
    content = item["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _response(body: dict[str, Any], number: int, output: list[Item]) -> dict[str, Any]:
    return {
        "id": f"resp_{number:032d}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": body["model"],
        "status": "completed",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": 1.0,
        "top_p": 1.0,
        "metadata": {},
        "incomplete_details": None,
        "error": None,
        "instructions": None,
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 110,
        },
    }


def _events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a response as the events of a stream, without their sequence numbers."""
    yield {"type": "response.created", "response": {**whole, "output": [], "status": "in_progress"}}
    for place, item in enumerate(whole["output"]):
        at = {"output_index": place, "item_id": item["id"]}
        empty = {**item, "status": "in_progress"}
        if item["type"] == "function_call":
            empty["arguments"] = ""
        elif item["type"] == "message":
            empty["content"] = []
        yield {"type": "response.output_item.added", "output_index": place, "item": empty}
        if item["type"] == "function_call":
            arguments = {**at, "delta": item["arguments"], "arguments": item["arguments"]}
            yield {"type": "response.function_call_arguments.delta", **arguments}
            yield {"type": "response.function_call_arguments.done", **arguments}
        elif item["type"] == "message":
            text = {**at, "content_index": 0, "text": item["content"][0]["text"], "logprobs": []}
            for delta in re.findall(r"\s*\S+", text["text"]):
                yield {"type": "response.output_text.delta", **text, "delta": delta}
            yield {"type": "response.output_text.done", **text}
        yield {"type": "response.output_item.done", "output_index": place, "item": item}
    yield {"type": "response.completed", "response": whole}


@contextmanager
def responses_server(**settings: Any) -> Iterator[FakeResponses]:
    """Run a server on a free port; its `url` is the client's `base_url`."""
    fake = FakeResponses(**settings)

    class Handler(_Handler):
        state = fake

    with serving(Handler) as fake.url:
        yield fake


class _Handler(LocalHandler):
    state: FakeResponses

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            whole = self.state.answer(body)
        except RefusedError as refused:
            error = {"message": str(refused), "type": "invalid_request_error", "code": None}
            self._send(400, "application/json", json.dumps({"error": error}))
            return
        if not body.get("stream"):
            self._send(200, "application/json", json.dumps(whole))
            return
        events = [
            json.dumps({**event, "sequence_number": number})
            for number, event in enumerate(_events(whole))
        ]
        lines = "".join(f"data: {event}\n\n" for event in events)
        self._send(200, "text/event-stream", lines)

    def _send(self, status: int, kind: str, text: str) -> None:
        raw = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
