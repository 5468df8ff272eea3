"""Count a call's tokens: what was asked, and all that an LLM wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from llama_index.core.base.llms.types import AudioBlock, ChatMessage, ChatResponse

from llama_index_llm_optimizers.call import Reply
from llama_index_llm_optimizers.messages import core_message
from llm_optimizers.costs import Usage
from llm_optimizers.fingerprint import compact_json
from llm_optimizers.prompts import TokenCounter
from llm_optimizers.types import ChatRequest, Message, Part

__all__ = ["count_usage", "own_counter"]


@cache
def own_counter() -> TokenCounter:
    """Return this process's own counter, for calls that no handler records."""
    return TokenCounter()


def count_usage(
    counter: TokenCounter,
    model: str,
    asked: Sequence[ChatMessage] | str,
    params: Mapping[str, Any],
    answer: Reply | None,
    *,
    said: str = "",
) -> Usage | None:
    """Count a call's tokens; None if its messages cannot be read.

    `said` are the deltas of the answer, for an LLM whose chunks do not contain those before them.
    """
    try:
        messages = (
            (Message(role="user", content=asked),)
            if isinstance(asked, str)
            else tuple(_asked(message) for message in asked)
        )
        # Of a chat model, LlamaIndex sends the prompt of a completion as a message.
        request = ChatRequest(messages=messages, model=model, params=params)
        return counter.count_call(request, *_said(answer, said))
    except Exception:  # noqa: BLE001 - the call is recorded even without a count
        return None


def _asked(message: ChatMessage) -> Message:
    """Return a message with the data of its sounds, of which keys have only digests."""
    sounds = [block for block in message.blocks if isinstance(block, AudioBlock)]
    if not sounds:
        return core_message(message)
    rest = [block for block in message.blocks if not isinstance(block, AudioBlock)]
    found = core_message(message.model_copy(update={"blocks": rest}))
    parts = (
        [Part(kind="text", text=found.text)] if isinstance(found.content, str) else found.content
    )
    heard = [
        Part(kind="audio", data={"data": block.resolve_audio(as_base64=True).read().decode()})
        for block in sounds
        if block.audio is not None or block.path is not None
    ]
    return replace(found, content=(*parts, *heard))


def _said(answer: Reply | None, deltas: str) -> Iterator[Message | str]:
    """Yield all that an LLM wrote: text, thoughts and tool calls."""
    if isinstance(answer, ChatResponse):
        message = core_message(answer.message)
        calls = tuple(
            replace(call, arguments=compact_json(call.arguments)) for call in message.tool_calls
        )
        message = replace(message, tool_calls=calls)
        if len(deltas) > len(message.text):
            message = replace(message, content=deltas)
        yield message
    elif answer is not None:
        yield max(answer.text, deltas, key=len)
