"""Read the prompts to audit: a text, a chat request, or a log of requests by its templates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from llm_optimizers.cli.output import say
from llm_optimizers.prompts.templates import Template, find_templates
from llm_optimizers.text.json_lines import json_lines, opened_lines
from llm_optimizers.types import ChatRequest, Message, Role

__all__ = ["Prompt", "read_prompts"]

_MAX_BYTES = 20_000_000
_SHOWN_BAD_LINES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A text to audit and where it stands.

    In a log it is the example of a template: `requests` were made from it, with `texts` different
    texts, `longer` times as long as the example altogether. In other files `requests` is None.
    """

    file: str
    place: str
    role: Role
    text: str
    requests: int | None = None
    texts: int = 1
    longer: float = 1.0


def read_prompts(path: Path) -> Iterator[Prompt]:
    """Yield the prompts of a file.

    Raises:
        BadParameter: it is no text or holds no chat request.
    """
    if path.suffix == ".jsonl" or path.name.endswith(".jsonl.gz"):
        yield from _log(path)
        return
    if path.stat().st_size > _MAX_BYTES:
        raise typer.BadParameter(f"{path} is over {_MAX_BYTES // 1_000_000} MB; split it")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is not UTF-8 text") from None
    if path.suffix != ".json":
        yield Prompt(file=str(path), place="", role="system", text=text)
        return
    try:
        messages = _messages(json.loads(text))
    except (ValueError, RecursionError, AttributeError) as error:
        raise typer.BadParameter(f"{path}: not a chat request: {error}") from None
    for index, message in enumerate(messages):
        place = f"message {index} ({message.role})"
        yield Prompt(file=str(path), place=place, role=message.role, text=message.text)


def _messages(raw: Any) -> tuple[Message, ...]:
    body = raw if isinstance(raw, dict) else {"messages": raw}
    return ChatRequest.from_openai(body.get("body") or body).messages


def _log(path: Path) -> Iterator[Prompt]:
    """Yield one prompt per template; lines that are no requests are counted and left out."""
    counts: dict[Role, dict[str, int]] = {}
    places: dict[tuple[Role, str], str] = {}
    bad: list[str] = []
    with opened_lines(path) as lines:
        for line in json_lines(lines):
            try:
                messages = _messages(line.read())
            except (ValueError, RecursionError, AttributeError) as error:
                bad.append(f"row {line.number}: not a chat request: {error}")
                continue
            for index, message in enumerate(messages):
                of_role = counts.setdefault(message.role, {})
                of_role[message.text] = of_role.get(message.text, 0) + 1
                place = f"row {line.number}, message {index} ({message.role})"
                places.setdefault((message.role, message.text), place)
    if bad and not counts:
        raise typer.BadParameter(f"{path}: {bad[0]}")
    for reason in bad[:_SHOWN_BAD_LINES]:
        say(f"{path}: {reason}; left out", err=True)
    if len(bad) > _SHOWN_BAD_LINES:
        say(f"{path}: {len(bad):,} rows left out in all", err=True)
    for role, texts in counts.items():
        for found in find_templates(texts):
            yield _prompt(path, role, places[role, found.example], found)


def _prompt(path: Path, role: Role, place: str, found: Template) -> Prompt:
    return Prompt(
        file=str(path),
        place=place,
        role=role,
        text=found.example,
        requests=found.requests,
        texts=found.texts,
        longer=found.characters / max(1, len(found.example)),
    )
