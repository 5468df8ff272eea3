"""Checks of an answer that do not need the right one.

Gates look at one answer (empty, refused, malformed); agreement compares several. Measured on
recorded outcomes: agreement of two samples of a cheap model on the final answer separates right
from wrong with AUC .86 on school mathematics, agreement of two cheap models with .66 to .89 over
fifteen pairs; well-formed JSON says little beyond its form (.48 to .61), and neither hedging nor
token probabilities were good enough for a check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from llm_optimizers.arguments import flag, function, refuse, text
from llm_optimizers.evidence.comparison import Comparison, same_final_answer, same_json, unfenced
from llm_optimizers.types import ChatRequest

__all__ = [
    "Agreement",
    "Check",
    "Matches",
    "ModelAnswer",
    "NotEmpty",
    "NotRefused",
    "ValidJson",
    "ValidSchema",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """A model's answer: its text, and its tool calls as canonical JSON."""

    model: str
    text: str
    tool_calls: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is neither text nor a tool call."""
        return not (self.text.strip() or self.tool_calls)


class Check(Protocol):
    """Scores answers between 0 (fails) and 1 (passes)."""

    name: str
    gate: bool
    """Whether a score of 0 alone escalates the request, whatever the other checks say."""

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float | None:
        """Return the first answer's score, given the others; None if the check does not apply."""
        ...


class NotEmpty:
    """Fails an answer without text and without tool calls."""

    name = "not_empty"
    gate = True

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float:  # noqa: ARG002
        """Return 1 if there is text or a tool call."""
        return float(not answers[0].is_empty)


_REFUSALS = re.compile(
    r"^\W*(?:i['’]?m (?:very |really )?sorry|i am sorry|sorry,|i apologi[sz]e|unfortunately,? i"
    r"|as an ai\b|i (?:can['’]?t|cannot|can not|am unable to|['’]m unable to|won['’]?t)"
    r" (?:help|assist|answer|provide|do|comply|fulfil|fulfill|create|generate|access)"
    r"|i (?:do not|don['’]?t) (?:know|have (?:enough )?information))",
    re.IGNORECASE,
)


class NotRefused:
    """Fails an answer that opens with a refusal or an admission of not knowing (in English)."""

    name = "not_refused"
    gate = True

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float:  # noqa: ARG002
        """Return 0 for a refusal."""
        return float(bool(answers[0].tool_calls) or not _REFUSALS.match(answers[0].text[:200]))


class ValidJson:
    """Fails an answer that is not the JSON the request's `response_format` asks for.

    With a JSON schema, the type, the required properties and their types are checked at the top
    level. Does not apply where no JSON was asked for.
    """

    name = "valid_json"
    gate = True

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float | None:
        """Return 1 if the answer parses and has the required shape."""
        wanted = request.params.get("response_format")
        if not isinstance(wanted, Mapping) or wanted.get("type") not in (
            "json_object",
            "json_schema",
        ):
            return None
        try:
            value = json.loads(unfenced(answers[0].text))
        except ValueError:
            return 0.0
        return float(_fits(value, (wanted.get("json_schema") or {}).get("schema") or {}))


class ValidSchema:
    """Fails an answer that a pydantic model does not accept as JSON."""

    name = "valid_schema"
    gate = True

    def __init__(self, schema: type[BaseModel]) -> None:
        given: object = schema  # whatever its type says
        if not (isinstance(given, type) and issubclass(given, BaseModel)):
            refuse("schema", schema, "a pydantic class")
        self._schema = schema

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float:  # noqa: ARG002
        """Return 1 if the answer validates."""
        try:
            self._schema.model_validate_json(unfenced(answers[0].text))
        except ValidationError:
            return 0.0
        return 1.0


class Matches:
    """Fails an answer that does not contain a pattern, such as a required form.

    A gate by default; with `gate=False` only a score, which a fitted verifier weighs.
    """

    name = "matches"

    def __init__(self, pattern: str, *, gate: bool = True) -> None:
        self._pattern = re.compile(text("pattern", pattern))
        self.gate = flag("gate", gate)

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float:  # noqa: ARG002
        """Return 1 if the pattern occurs, or tools are called instead."""
        return float(bool(answers[0].tool_calls or self._pattern.search(answers[0].text)))


class Agreement:
    """Scores the share of further answers that are the same as the first.

    By default compares final answers (`same_final_answer`), which suits questions with one short
    answer. Pass another comparison for other questions.
    """

    name = "agreement"
    gate = False

    def __init__(self, same: Comparison = same_final_answer) -> None:
        self._same = function("same", same)

    def score(self, request: ChatRequest, answers: Sequence[ModelAnswer]) -> float | None:  # noqa: ARG002
        """Return 1 if all agree, None for a single answer."""
        if len(answers) < 2:
            return None
        first, *others = answers
        return sum(self._agrees(first, other) for other in others) / len(others)

    def _agrees(self, first: ModelAnswer, other: ModelAnswer) -> bool:
        if first.tool_calls or other.tool_calls:
            return same_json(first.tool_calls, other.tool_calls)
        return self._same(first.text, other.text)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def _fits(value: Any, schema: Mapping[str, Any], depth: int = 2) -> bool:
    kinds = schema.get("type")
    if isinstance(kinds, str):
        kinds = [kinds]
    if isinstance(kinds, list) and not any(_is(value, kind) for kind in kinds):
        return False
    if not isinstance(value, dict) or not depth:
        return True
    if any(name not in value for name in schema.get("required") or ()):
        return False
    properties = schema.get("properties") or {}
    return all(
        _fits(value[name], properties[name], depth - 1) for name in value if name in properties
    )


def _is(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _TYPES.get(str(kind), (object,)))
