"""An LLM as the core asks it: a request and a reply in the core's words."""

from __future__ import annotations

from collections.abc import Iterator
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
from llama_index_llm_optimizers.call import ChatCall, CompletionCall, ModelCall
from llama_index_llm_optimizers.call import Reply as FrameworkReply
from llama_index_llm_optimizers.delegating import DelegatingLLM, class_name_of
from llama_index_llm_optimizers.messages import SHARE_KEY, request_of
from llama_index_llm_optimizers.usage import hit_mark, reported_by, share_of
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

__all__ = ["ask", "ask_shared", "combinable_request", "reply_of", "underlying_models"]


def combinable_request(call: ModelCall, llm: LLM) -> ChatRequest | None:
    """The call as a request, a bare prompt to a chat model as a question without context.

    None if a message holds something that cannot be seen.
    """
    about = llm.metadata
    if isinstance(call, CompletionCall) and about.is_chat_model:
        question = Message(role="user", content=call.prompt)
        return ChatRequest(messages=(question,), model=about.model_name, params=call.kwargs)
    try:
        return replace(request_of(call, call.kwargs), model=about.model_name)
    except ConfigurationError:
        return None


def underlying_models(llm: LLM) -> Iterator[LLM]:
    """The LLMs that may answer for one: itself, or those it wraps."""
    if not isinstance(llm, DelegatingLLM):
        yield llm
        return
    for child in llm._children:
        yield from underlying_models(child)


def ask(llm: LLM, request: ChatRequest) -> BilledAnswer:
    """One call of the LLM."""
    settings, combined = dict(request.params), combined_format(request)
    if combined is not None:
        llm = llm.model_copy(update=raised_limits(llm, combined.count))
        if "openai" not in class_name_of(llm).lower():
            # The prompt asks for JSON in words too; not every LLM takes OpenAI's setting.
            del settings["response_format"]
    messages = [
        ChatMessage(role=MessageRole(message.role), content=message.text)
        for message in request.messages
    ]
    return _reply(llm.chat(messages, **settings))


def ask_shared(llm: LLM, request: ChatRequest) -> BilledAnswer:
    """`ask`, with the bill shared out among the callers instead of recorded for the call."""
    with call_scope(CallContext(shared=True)):
        return ask(llm, request)


def _reply(reply: FrameworkReply) -> BilledAnswer:
    """What was answered and billed, and what strategies inside the LLM did."""
    mark = hit_mark(reply)
    return BilledAnswer.of(
        text_of(reply),
        reported=reported_by(reply) if mark is None else reported_by_mark(mark),
        inner_share=share_of(reply),
        served=None if mark is None else served_by_mark(mark),
        raw=reply,
    )


def reply_of(call: ModelCall, answer: SharedAnswer, llm: LLM) -> FrameworkReply:
    """The caller's own answer; `raw` of a shared one has the caller's share of the usage."""
    made: FrameworkReply = answer.raw
    if answer.asked_with == 1 and isinstance(call, ChatCall):
        return made
    beside: dict[str, Any] = {"asked_with": answer.asked_with}
    if answer.asked_with == 1:
        beside = {**made.additional_kwargs, **beside}
        return CompletionResponse(text=answer.text, raw=made.raw, additional_kwargs=beside)
    beside[SHARE_KEY] = answer.share.as_dict()
    raw = {
        "model": answer.model or llm.metadata.model_name,
        "usage": {
            "prompt_tokens": answer.usage.input_tokens,
            "completion_tokens": answer.usage.output_tokens,
        },
    }
    if isinstance(call, CompletionCall):
        return CompletionResponse(text=answer.text, raw=raw, additional_kwargs=beside)
    message = ChatMessage(role=MessageRole.ASSISTANT, content=answer.text)
    return ChatResponse(message=message, raw=raw, additional_kwargs=beside)
