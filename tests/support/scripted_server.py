"""A provider on loopback that gives the same answer to every request, as one body or as events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.local_server import LocalHandler, serving


@dataclass
class ScriptedProvider:
    """`body` answers a plain request, `events` a stream; `requests` are the bodies it got."""

    body: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def scripted_server(
    body: Mapping[str, Any], events: Sequence[Mapping[str, Any]] = ()
) -> Iterator[ScriptedProvider]:
    """Run a provider on a free port; its `url` is the client's `base_url`."""
    script = ScriptedProvider(body=body, events=events)

    class Handler(LocalHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            script.requests.append(asked)
            stream = bool(asked.get("stream"))
            raw = _events(script.events) if stream else json.dumps(script.body).encode()
            self.send_response(200)
            kind = "text/event-stream" if stream else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("Connection", "close")  # no connection outlives its test's loop
            self.close_connection = True
            self.end_headers()
            self.wfile.write(raw)

    with serving(Handler) as script.url:
        yield script


def _events(events: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the events as a stream: with names if they have a `type`, as OpenAI's Responses."""
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        lines.append(f"{name}data: {json.dumps(event)}\n\n")
    if not any("type" in event for event in events):
        lines.append("data: [DONE]\n\n")
    return "".join(lines).encode()
