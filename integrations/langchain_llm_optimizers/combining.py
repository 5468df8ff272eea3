"""Call a chat model with the core's requests, for combined prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable

from langchain_llm_optimizers.account import RunInfo, count_run, hit_mark
from langchain_llm_optimizers.call import ModelCall
from langchain_llm_optimizers.delegating import DelegatingChatModel
from langchain_llm_optimizers.messages import request_of_messages
from langchain_llm_optimizers.shared import usage_metadata
from langchain_llm_optimizers.usage import reported_by, share_of
from langchain_llm_optimizers.wrappers import is_wrapper, underlying_models
from llm_optimizers.batching.combining import BilledAnswer, combined_format, raised_limits
from llm_optimizers.caching.answers import reported_by_mark, served_by_mark
from llm_optimizers.costs import Usage
from llm_optimizers.costs.context import CallContext, call_scope
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest

__all__ = ["ModelCaller", "combinable_request"]


def combinable_request(call: ModelCall) -> ChatRequest | None:
    """Return the call as a request with its settings; None if a message cannot be read."""
    stop = {"stop": call.stop} if call.stop else {}
    try:
        return request_of_messages(call.messages, {**call.kwargs, **stop})
    except ConfigurationError:
        return None


class ModelCaller:
    """Calls a chat model with a request of the core's.

    A combined prompt uses the model's own structured output; a single one does not. A `shared` call
    opens no run of its own: each caller that shares it has a run with its share of the cost.
    """

    def __init__(self, model: BaseChatModel, *, shared: bool = False) -> None:
        own: dict[str, Any] = {"callbacks": None} if shared else {}
        if not isinstance(model, DelegatingChatModel):
            own["cache"] = False  # LangChain would cache combined prompts.
        self._model = model.model_copy(update=own)
        self._shared = shared
        self._structured = lru_cache(maxsize=64)(self._structured_model)

    def __call__(self, request: ChatRequest) -> BilledAnswer:
        """Call the model; return the answer and its usage."""
        if not self._shared:
            return self._ask(request)
        # Models inside the model may have callbacks that would record this call too.
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
            return self._billed(answer.text, answer, messages)
        model = self._structured(json.dumps(wanted.schema), wanted.count)
        try:
            given = model.invoke(messages)
        except Exception as error:
            if (cut := _cut_off(error)) is not None:
                return cut
            raise
        answer, parsed = (given["raw"], given["parsed"]) if isinstance(given, dict) else (given, 0)
        text = json.dumps(parsed) if isinstance(parsed, dict) else _unparsed(answer)
        return self._billed(text, answer, messages)

    def _billed(
        self, text: str, answer: AIMessage, messages: Sequence[BaseMessage]
    ) -> BilledAnswer:
        """Return an answer with its usage, counted here if the provider reported none."""

        def count() -> Usage | None:
            model = str(self._model._get_ls_params().get("ls_model_name") or "")
            run = RunInfo(id="", started=datetime.now(UTC), messages=messages, model=model)
            return count_run(None, run, [ChatGeneration(message=answer)])

        return _billed_answer(text, answer).counted(count)

    def _structured_model(self, schema: str, count: int) -> Runnable[Any, Any]:
        """Return the model, with output limits raised for `count` answers, bound to the schema."""
        # The limits of a wrapped model are not the wrapper's to set.
        limits = {} if is_wrapper(self._model) else raised_limits(self._model, count)
        model = self._model.model_copy(update=limits)
        titled = {"title": "answers", "description": "The answers by id.", **json.loads(schema)}
        try:
            for each in underlying_models(model):  # A router would only find out at the call.
                each.with_structured_output(titled, include_raw=True)
            return model.with_structured_output(titled, include_raw=True)
        except (NotImplementedError, TypeError):
            return model  # The prompt also describes the JSON.


def _billed_answer(text: str, message: AIMessage) -> BilledAnswer:
    """Return the answer with its usage, and with what strategies inside the model did."""
    mark = hit_mark([ChatGeneration(message=message)])
    reported = reported_by(message) if mark is None else reported_by_mark(mark)
    served = None if mark is None else served_by_mark(mark)
    return BilledAnswer.of(
        text, reported=reported, inner_share=share_of(message), served=served, raw=message
    )


def _unparsed(answer: AIMessage) -> str:
    """Return the text of an answer that was cut off, or its tool calls' arguments."""
    broken = [call["args"] or "" for call in answer.invalid_tool_calls]
    return "".join(broken) or answer.text


def _cut_off(error: Exception) -> BilledAnswer | None:
    """Return the billed answer in the OpenAI SDK's error for an answer cut off by its length.

    None for any other error.
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
    return _billed_answer(text, message)
