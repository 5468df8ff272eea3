"""What the lossless passes do to the tool outputs of recorded agents' runs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Row, Run
from llm_optimizers.prompts import RequestOptimizer, TokenCounter
from llm_optimizers.types import ChatRequest, Message, ToolCall
from prompts.judges import kind_of_output, same_meaning

MODEL = "gpt-4o"


def agent_rows(run: Run) -> Iterator[Row]:
    """Measure each run's last request: messages with another meaning, tokens saved."""
    paths = sorted((run.data / "agents").glob("*.jsonl.gz"))
    paths = [path for path in paths if not path.name.startswith("usage")]
    if not paths:
        run.say(f"  no recorded runs in {run.data / 'agents'}: their rows are left out")
        return
    total = _Tally()
    for path in paths:
        tally = _Tally()
        runs = list(_runs(path))
        for done, messages in enumerate(runs, 1):
            tally.add(messages)
            run.progress(done, len(runs), path.name)
        total.join(tally)
        yield tally.saved_row(f"lossless_agents_saved_pct_{path.name.partition('.')[0]}")
    yield total.saved_row("lossless_agents_saved_pct")
    yield Row(
        name="lossless_agents_changed_wrong",
        value=total.wrong,
        target="0",
        note=f"of {total.outputs:,} tool outputs and {total.others:,} other messages;"
        f" {total.rewritten:,} outputs were rewritten",
    )


class _Tally:
    """Counts over the messages of some runs."""

    def __init__(self) -> None:
        self.wrong = self.rewritten = self.outputs = self.others = 0
        self.before = self.after = self.whole = 0
        self._counter = TokenCounter()
        self._optimizer = RequestOptimizer(provider_cache=False, counter=self._counter)

    def add(self, messages: tuple[Message, ...]) -> None:
        """Count one run, sent as its last request."""
        request = ChatRequest(model=MODEL, messages=messages)
        sent = self._optimizer.optimize(request).request.messages
        if len(sent) != len(messages):
            raise ValueError("the optimizer has changed the number of messages")
        for before, after in zip(messages, sent, strict=True):
            output = before.role == "tool"
            kind = kind_of_output(before.text) if output else "text"
            self.wrong += not same_meaning(kind, before.text, after.text)
            self.whole += self._tokens(before)
            self.outputs += output
            self.others += not output
            if output:
                self.rewritten += before.text != after.text
                self.before += self._tokens(before)
                self.after += self._tokens(after)

    def join(self, other: _Tally) -> None:
        """Add the counts of other runs."""
        for name in ("wrong", "rewritten", "outputs", "others", "before", "after", "whole"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def saved_row(self, name: str) -> Row:
        """Return the share of the tool outputs' tokens that was saved."""
        saved = self.before - self.after
        return Row(
            name=name,
            value=100 * saved / self.before if self.before else None,
            unit="%",
            note=f"of {self.before:,} tokens in {self.outputs:,} tool outputs;"
            f" {100 * saved / max(1, self.whole):.1f} % of all messages'",
        )

    def _tokens(self, message: Message) -> int:
        return self._counter.count(message.text, MODEL).tokens


def _runs(path: Path) -> Iterator[tuple[Message, ...]]:
    """Yield the messages of each run, the system prompt first."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        system = json.loads(next(lines))["system"]
        for line in lines:
            recorded = json.loads(line)["messages"]
            yield (Message(role="system", content=system), *map(_message, recorded))


def _message(recorded: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(id=str(call.get("id", at)), name=call["name"], arguments=json.dumps(call["args"]))
        for at, call in enumerate(recorded.get("tool_calls") or ())
    )
    content = recorded["content"] or ""
    return Message(role=recorded["role"], content=content, tool_calls=calls)
