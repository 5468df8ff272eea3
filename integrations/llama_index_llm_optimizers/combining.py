"""Call an LLM with the core's requests, for combined prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
)
from llama_index.core.llms.llm import LLM

from llama_index_llm_optimizers.account import text_of
from llama_index_llm_optimizers.call import ChatCall, CompletionCall, ModelCall, Reply
from llama_index_llm_optimizers.counting import count_usage, own_counter
from llama_index_llm_optimizers.messages import SHARE_KEY, request_of
from llama_index_llm_optimizers.usage import hit_mark, reported_by, share_of
from llama_index_llm_optimizers.wrappers import class_name_of, underlying_models
from llm_optimizers.batching.combining import (
    BilledAnswer,
    SharedAnswer,
    combined_format,
    raised_limits,
)
from llm_optimizers.caching.answers import reported_by_mark, served_by_mark
from llm_optimizers.costs.context import CallContext, call_scope
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message

__all__ = ["ask", "ask_shared", "combinable_request", "reply_of"]


def combinable_request(call: ModelCall, llm: LLM) -> ChatRequest | None:
    """Return the call as a request; a completion of a chat model becomes a user message.

    None if a message has content that cannot be read, or several texts, which each provider joins
    in its own way.
    """
    about = llm.metadata
    if isinstance(call, ChatCall) and any(len(message.blocks) > 1 for message in call.messages):
        return None
    if isinstance(call, CompletionCall) and about.is_chat_model:
        question = Message(role="user", content=call.prompt)
        return ChatRequest(messages=(question,), model=about.model_name, params=call.kwargs)
    try:
        return replace(request_of(call, call.kwargs), model=about.model_name)
    except ConfigurationError:
        return None


def ask(llm: LLM, request: ChatRequest) -> BilledAnswer:
    """Call the LLM with a request; return the answer and its usage."""
    settings, combined = dict(request.params), combined_format(request)
    if combined is not None:
        if len(tuple(underlying_models(llm))) == 1:  # a router's may have different limits
            llm = llm.model_copy(update=raised_limits(llm, combined.count))
        if "openai" not in class_name_of(llm).lower():
            # Not every LLM takes OpenAI's setting; the prompt also describes the JSON.
            del settings["response_format"]
    messages = [
        ChatMessage(role=MessageRole(message.role), content=message.text)
        for message in request.messages
    ]
    reply = llm.chat(messages, **settings)
    name = llm.metadata.model_name
    return _billed_answer(reply).counted(
        lambda: count_usage(own_counter(), name, messages, settings, reply)
    )


def ask_shared(llm: LLM, request: ChatRequest) -> BilledAnswer:
    """Like `ask`, but the cost is recorded for the callers that share the call."""
    with call_scope(CallContext(shared=True)):
        return ask(llm, request)


def _billed_answer(reply: Reply) -> BilledAnswer:
    """Return the answer with its usage, and with what strategies inside the LLM did."""
    mark = hit_mark(reply)
    reported = reported_by(reply) if mark is None else reported_by_mark(mark)
    served = None if mark is None else served_by_mark(mark)
    return BilledAnswer.of(
        text_of(reply), reported=reported, inner_share=share_of(reply), served=served, raw=reply
    )


def reply_of(call: ModelCall, answer: SharedAnswer, llm: LLM) -> Reply:
    """Return the caller's own reply; a combined one's `raw` has the caller's share of the usage."""
    made: Reply = answer.raw
    if answer.asked_with == 1 and isinstance(call, ChatCall):
        return made
    additional: dict[str, Any] = {"asked_with": answer.asked_with}
    if answer.asked_with == 1:
        additional = {**made.additional_kwargs, **additional}
        return CompletionResponse(text=answer.text, raw=made.raw, additional_kwargs=additional)
    additional[SHARE_KEY] = answer.share.as_dict()
    raw = {
        "model": answer.model or llm.metadata.model_name,
        "usage": {
            "prompt_tokens": answer.usage.input_tokens,
            "completion_tokens": answer.usage.output_tokens,
        },
    }
    if isinstance(call, CompletionCall):
        return CompletionResponse(text=answer.text, raw=raw, additional_kwargs=additional)
    message = ChatMessage(role=MessageRole.ASSISTANT, content=answer.text)
    return ChatResponse(message=message, raw=raw, additional_kwargs=additional)
