"""Combined prompts over a LangChain chat model: the core's words in LangChain's, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from langchain_llm_optimizers.messages import COMBINED, request_of_messages
from langchain_llm_optimizers.usage import usage_of
from llm_optimizers.batching.combining.ask import Answered, Reply
from llm_optimizers.costs import Usage
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest

__all__ = ["ModelAsk", "combinable_request", "result_of"]

_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# Settings of a model under which an answer is more than a text.
_SHAPING = ("stop", "stop_sequences", "logprobs", "tools", "modalities", "audio", "prediction")


def combinable_request(
    model: BaseChatModel, messages: Sequence[BaseMessage], tenant: str
) -> ChatRequest | None:
    """The messages as a request that may share a prompt, as far as model and messages allow."""
    if getattr(model, "n", None) not in (None, 1):
        return None
    if any(getattr(model, name, None) for name in _SHAPING):
        return None
    try:
        request = request_of_messages(messages, {})
    except ConfigurationError:
        return None
    return ChatRequest(messages=request.messages, params=request.params, tenant=tenant)


class ModelAsk:
    """One call of a chat model as `CombinedAsk` makes it; no caller's callbacks hear of it.

    A combined prompt is asked through the model's own structured output, a single one as it is.
    """

    def __init__(self, model: BaseChatModel) -> None:
        # The caller's run speaks for this call; a cache would keep prompts nobody asked.
        self._model = model.model_copy(update={"callbacks": None, "cache": False})
        self._structured = lru_cache(maxsize=64)(self._structured_model)

    def __call__(self, request: ChatRequest) -> Reply:
        """Ask, and say what was answered and billed."""
        messages = [_message(message.role, message.text) for message in request.messages]
        schema = request.params.get("response_format")
        if schema is None:
            answer = self._model.invoke(messages)
            return Reply(text=answer.text, usage=usage_of(answer) or Usage(), raw=answer)
        entries = schema["json_schema"]["schema"]["properties"]["answers"]["items"]
        count = len(entries["properties"]["id"]["enum"])
        model = self._structured(json.dumps(schema["json_schema"]["schema"]), count)
        try:
            given = model.invoke(messages)
        except Exception as error:
            if (cut := _cut_off(error)) is not None:
                return cut
            raise
        answer, parsed = (given["raw"], given["parsed"]) if isinstance(given, dict) else (given, 0)
        text = json.dumps(parsed) if isinstance(parsed, dict) else _unparsed(answer)
        return Reply(text=text, usage=usage_of(answer) or Usage(), raw=answer)

    def _structured_model(self, schema: str, count: int) -> Runnable[Any, Any]:
        """The model with room for `count` answers, bound to the schema as it binds schemas."""
        limits = {
            name: value * (count + 1)
            for name in _OUTPUT_LIMITS
            if isinstance(value := getattr(self._model, name, None), int)
        }
        model = self._model.model_copy(update=limits)
        titled = {"title": "answers", "description": "The answers by id.", **json.loads(schema)}
        try:
            return model.with_structured_output(titled, include_raw=True)
        except (NotImplementedError, TypeError):
            return model  # The prompt itself says which JSON is wanted.


def result_of(answered: Answered) -> ChatResult:
    """A caller's own answer as its model's result, with its own share of the tokens."""
    raw: AIMessage = answered.raw
    alone = answered.asked_with == 1 and answered.usage == answered.alone
    if alone:
        return ChatResult(generations=[ChatGeneration(message=raw)])
    told = raw.response_metadata
    metadata = {key: value for key, value in told.items() if key not in ("token_usage", "usage")}
    metadata[COMBINED] = {
        "asked_with": answered.asked_with,
        "alone": answered.alone.as_dict(),
        "estimated": answered.estimated,
    }
    message = AIMessage(
        content=answered.text,
        response_metadata=metadata,
        usage_metadata=_usage_metadata(answered.usage) if raw.usage_metadata else None,
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _message(role: str, text: str) -> BaseMessage:
    return SystemMessage(text) if role == "system" else HumanMessage(text)


def _unparsed(answer: AIMessage) -> str:
    """What there is of an answer that broke off: its text, or a tool call's arguments."""
    broken = [call["args"] or "" for call in answer.invalid_tool_calls]
    return "".join(broken) or answer.text


def _cut_off(error: Exception) -> Reply | None:
    """What the SDK of OpenAI holds of an answer it refuses to parse for its length, billed all the
    same; None for any other error.
    """
    completion: Any = getattr(error, "completion", None)
    try:
        raw = completion.model_dump(mode="json", exclude_none=True)
        text = raw["choices"][0]["message"].get("content") or ""
        usage = Usage.from_openai(raw["usage"])
        told = {"model_name": raw["model"], "finish_reason": "length"}
        message = AIMessage(text, response_metadata=told, usage_metadata=_usage_metadata(usage))
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return Reply(text=text, usage=usage, raw=message)


def _usage_metadata(usage: Usage) -> UsageMetadata:
    """Whole numbers only: LangChain adds usages up and refuses fractions."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details={
            "cache_read": usage.cache_read_tokens,
            "cache_creation": usage.cache_write_tokens,
        },
        output_token_details={"reasoning": usage.reasoning_tokens},
    )
