"""A chat model as the core asks it: a request and a reply in the core's words."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable

from langchain_llm_optimizers.account import hit_mark
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.delegating import DelegatingChatModel, models_behind
from langchain_llm_optimizers.messages import request_of_messages
from langchain_llm_optimizers.shared import usage_metadata
from langchain_llm_optimizers.usage import reported_by, share_of
from llm_optimizers.batching.combining import BilledAnswer, combined_format, raised_limits
from llm_optimizers.caching.answers import reported_by_mark, served_by_mark
from llm_optimizers.costs import Usage
from llm_optimizers.costs.context import CallContext, call_scope
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest

__all__ = ["ModelAsk", "request_of"]


def request_of(call: ModelCall) -> ChatRequest | None:
    """The call as a request, its own settings among them; None if a message cannot be read."""
    stop = {"stop": call.stop} if call.stop else {}
    try:
        return request_of_messages(call.messages, {**call.kwargs, **stop})
    except ConfigurationError:
        return None


class ModelAsk:
    """Calls of a chat model as the core makes them.

    A combined prompt is asked through the model's own structured output, a single one as it is.
    A `shared` call is not announced: the runs of the callers who share it are, each with its
    share of the bill.
    """

    def __init__(self, model: BaseChatModel, *, shared: bool = False) -> None:
        own: dict[str, Any] = {"callbacks": None} if shared else {}
        if not isinstance(model, DelegatingChatModel):
            own["cache"] = False  # LangChain's would keep combined prompts.
        self._model = model.model_copy(update=own)
        self._shared = shared
        self._structured = lru_cache(maxsize=64)(self._structured_model)

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        """Ask, and say what was answered and billed."""
        if not self._shared:
            return self._ask(request)
        # Models inside the model may have callbacks of their own.
        with call_scope(CallContext(shared=True)):
            return self._ask(request)

    def _ask(self, request: ChatRequest) -> BilledAnswer:
        messages: list[BaseMessage] = [
            SystemMessage(message.text) if message.role == "system" else HumanMessage(message.text)
            for message in request.messages
        ]
        wanted = combined_format(request)
        if wanted is None:
            answer = self._model.invoke(messages)
            return _reply(answer.text, answer)
        model = self._structured(json.dumps(wanted.schema), wanted.count)
        try:
            given = model.invoke(messages)
        except Exception as error:
            if (cut := _cut_off(error)) is not None:
                return cut
            raise
        answer, parsed = (given["raw"], given["parsed"]) if isinstance(given, dict) else (given, 0)
        text = json.dumps(parsed) if isinstance(parsed, dict) else _unparsed(answer)
        return _reply(text, answer)

    def _structured_model(self, schema: str, count: int) -> Runnable[Any, Any]:
        """The model with room for `count` answers, bound to the schema as it binds schemas."""
        model = self._model.model_copy(update=raised_limits(self._model, count))
        titled = {"title": "answers", "description": "The answers by id.", **json.loads(schema)}
        try:
            for each in models_behind(model):  # A router asks none of them before it is called.
                each.with_structured_output(titled, include_raw=True)
            return model.with_structured_output(titled, include_raw=True)
        except (NotImplementedError, TypeError):
            return model  # The prompt itself says which JSON is wanted.


def _reply(text: str, message: AIMessage) -> BilledAnswer:
    """What was answered and billed, and what strategies inside the model did."""
    mark = hit_mark([ChatGeneration(message=message)])
    return BilledAnswer.of(
        text,
        reported=reported_by(message) if mark is None else reported_by_mark(mark),
        inner_share=share_of(message),
        served=None if mark is None else served_by_mark(mark),
        raw=message,
    )


def _unparsed(answer: AIMessage) -> str:
    """What there is of an answer that broke off: its text, or a tool call's arguments."""
    broken = [call["args"] or "" for call in answer.invalid_tool_calls]
    return "".join(broken) or answer.text


def _cut_off(error: Exception) -> BilledAnswer | None:
    """What the SDK of OpenAI holds of an answer it refuses to parse for its length, billed all the
    same; None for any other error.
    """
    completion: Any = getattr(error, "completion", None)
    try:
        raw = completion.model_dump(mode="json", exclude_none=True)
        text = raw["choices"][0]["message"].get("content") or ""
        usage = Usage.from_openai(raw["usage"])
        metadata = {"model_name": raw["model"], "finish_reason": "length"}
        if raw.get("service_tier"):
            metadata["service_tier"] = raw["service_tier"]
        message = AIMessage(text, response_metadata=metadata, usage_metadata=usage_metadata(usage))
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return _reply(text, message)
