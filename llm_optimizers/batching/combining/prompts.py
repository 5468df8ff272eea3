"""Several questions in one prompt: which can be combined, how, and how to split the answers.

Asking six short questions with a shared long prefix in one call saves up to five sixths of the
input tokens (Cheng et al. 2023, arXiv 2301.08721). Answers get worse with the position in the
prompt (Lin 2024, arXiv 2309.00384), so combining is opt-in and tested first (`agreement.py`).
All functions here are pure.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_optimizers.settings.choices import CHOICE_SETTINGS, choices_of
from llm_optimizers.settings.provider_state import state_of, stateful_settings
from llm_optimizers.types import ChatRequest, Message

__all__ = [
    "COMBINED_SIZE",
    "CombinedFormat",
    "combination_key",
    "combine",
    "combined_format",
    "gives_plain_text",
    "raised_limits",
    "split_answers",
]

_INSTRUCTION = (
    "The JSON list below holds independent requests. Answer each one fully, exactly as if it "
    "were the only one; no request has anything to do with another. Return JSON of the form "
    '{"answers": [{"id": "q1", "answer": …}]} with every id once.\n\n'
)
COMBINED_SIZE = 6
"""The default limit of questions in a prompt."""
# Parameters that do not change an answer's form; calls with the same values may be combined.
_SHARED_PARAMS = frozenset(
    {
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "temperature",
        "timeout",
        "top_p",
        "user",
        "verbosity",
    }
)
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_ANSWER_OVERHEAD = 16
"""Output tokens for an answer's id, quotes and escapes."""
# Settings of a model under which an answer is not one plain text.
_FORMAT_SETTINGS = (
    "stop",
    "stop_sequences",
    "logprobs",
    "tools",
    "modalities",
    "audio",
    "audio_config",
    "prediction",
    "response_format",
    "response_schema",
    "format",
    "json_mode",
)
_FURTHER_SETTINGS = ("model_kwargs", "additional_kwargs", "extra_body")
"""Fields in which models keep settings without a field."""
_HARMLESS_SETTINGS = _SHARED_PARAMS - {"response_format"} | {"stream_options"}


def combination_key(request: ChatRequest) -> Hashable | None:
    """Return a key that is equal for requests that can be combined, None for a separate call.

    Never combined: several turns, tools and tool results, images and other parts, streams,
    several choices, stop words, any parameter not known to be harmless, and schemas with
    references.
    """
    if not request.messages:
        return None
    *prefix, last = request.messages
    if last.role != "user" or last.name or last.multimodal or not last.text.strip():
        return None
    if any(m.role != "system" or m.name or m.multimodal for m in prefix):
        return None
    params = {name: value for name, value in request.params.items() if value is not None}
    if params.pop("stream", False) or params.pop("n", 1) != 1:
        return None
    if not params.keys() <= _SHARED_PARAMS or not _nestable(params.get("response_format")):
        return None
    try:
        settings = json.dumps(params, sort_keys=True)
    except (TypeError, ValueError):
        return None
    return (request.tenant, request.model, tuple(m.text for m in prefix), settings)


def gives_plain_text(model: object) -> bool:
    """Whether each answer of a model is one plain text, by the settings in its fields.

    False for several choices, stop words, log probabilities, tools, other modalities, an output
    format, state at the provider, and any other setting passed to the provider that is not known
    to be harmless.
    """
    if state_of(stateful_settings(model)):
        return False
    if choices_of(model) != 1 or any(_is_set(model, name) for name in _FORMAT_SETTINGS):
        return False
    further = {name for name, value in _further_settings(model).items() if value is not None}
    return further - {*CHOICE_SETTINGS} <= _HARMLESS_SETTINGS


def raised_limits(model: object, count: int) -> dict[str, int]:
    """Return a model's output limits by field, raised for `count` answers in one output."""
    limits = {name: getattr(model, name, None) for name in _OUTPUT_LIMITS}
    return {
        name: _room_for(count, limit) for name, limit in limits.items() if isinstance(limit, int)
    }


def combine(requests: Sequence[ChatRequest]) -> tuple[ChatRequest, tuple[str, ...]]:
    """Combine requests with equal `combination_key`s; returns the request and an id for each.

    The shared prefix is unchanged, so that the provider's prompt cache still applies. An output
    limit is multiplied.
    """
    first = requests[0]
    ids = tuple(f"q{number}" for number in range(1, len(requests) + 1))
    questions = [
        {"id": id_, "request": request.messages[-1].text}
        for id_, request in zip(ids, requests, strict=True)
    ]
    ask = Message(role="user", content=_INSTRUCTION + json.dumps(questions, ensure_ascii=False))
    params = {k: v for k, v in first.params.items() if v is not None and k not in ("stream", "n")}
    for limit in _OUTPUT_LIMITS:
        if limit in params:
            params[limit] = _room_for(len(requests), params[limit])
    params["response_format"] = _format(ids, _answer_schema(params.get("response_format")))
    return replace(first, messages=(*first.messages[:-1], ask), params=params), ids


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedFormat:
    """The output format of a combined prompt: a JSON schema for `count` answers."""

    schema: Mapping[str, Any]
    count: int


def combined_format(request: ChatRequest) -> CombinedFormat | None:
    """Return the output format of a request made by `combine`, None for any other request."""
    try:
        schema = request.params["response_format"]["json_schema"]["schema"]
        ids = schema["properties"]["answers"]["items"]["properties"]["id"]["enum"]
        return CombinedFormat(schema=schema, count=len(ids))
    except (LookupError, TypeError):
        return None


def split_answers(text: str, ids: Sequence[str]) -> dict[str, str]:
    """Return the answers by id, without those that are missing, null, duplicate or cut off.

    The text is read as far as it is valid JSON, so that answers before a cut by the output limit
    are kept. Structured answers are returned as JSON text.
    """
    found: dict[str, str] = {}
    broken: set[str] = set()
    for entry in _entries(text):
        id_ = entry.get("id")
        if not isinstance(id_, str) or id_ not in ids:
            continue
        answer = entry.get("answer")
        if id_ in found or answer is None or answer == "":
            broken.add(id_)
        else:
            found[id_] = answer if isinstance(answer, str) else json.dumps(answer)
    return {id_: answer for id_, answer in found.items() if id_ not in broken}


def _is_set(model: object, name: str) -> bool:
    """Whether a setting is set. `tools=True` means only that a model supports tools."""
    value = getattr(model, name, None)
    return bool(value) and not callable(value) and not (name == "tools" and value is True)


def _further_settings(model: object) -> dict[str, Any]:
    found = [getattr(model, name, None) for name in _FURTHER_SETTINGS]
    return {k: v for each in found if isinstance(each, Mapping) for k, v in each.items()}


def _room_for(count: int, limit: int) -> int:
    return (limit + _ANSWER_OVERHEAD) * count + _ANSWER_OVERHEAD


def _nestable(response_format: Any) -> bool:
    """Whether answers of this format can be nested: plain text or a schema."""
    if response_format is None or response_format == {"type": "text"}:
        return True
    if not isinstance(response_format, Mapping) or response_format.get("type") != "json_schema":
        return False
    schema = response_format.get("json_schema")
    has_schema = isinstance(schema, Mapping) and isinstance(schema.get("schema"), Mapping)
    return has_schema and '"$ref"' not in json.dumps(schema, default=repr)


def _answer_schema(response_format: Any) -> Mapping[str, Any]:
    if isinstance(response_format, Mapping) and response_format.get("type") == "json_schema":
        schema: Mapping[str, Any] = response_format["json_schema"]["schema"]
        return schema
    return {"type": "string"}


def _format(ids: Sequence[str], answer: Mapping[str, Any]) -> dict[str, Any]:
    item = _object({"id": {"type": "string", "enum": list(ids)}, "answer": answer})
    answers = _object({"answers": {"type": "array", "items": item}})
    return {
        "type": "json_schema",
        "json_schema": {"name": "answers", "strict": True, "schema": answers},
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _entries(text: str) -> list[Mapping[str, Any]]:
    """Return the entries of the `answers` list, up to the first that is not valid JSON.

    Only the list itself is read, so that JSON quoted in an answer is not taken as another answer.
    """
    opening = text.find('"answers"')
    start = text.find("[", opening)
    if opening < 0 or start < 0 or text[opening + len('"answers"') : start].strip() != ":":
        return []
    decoder = json.JSONDecoder()
    entries: list[Mapping[str, Any]] = []
    position = start + 1
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        try:
            entry, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):  # RecursionError if a model repeats a bracket
            return entries
        if isinstance(entry, Mapping):
            entries.append(entry)
