"""`abatch_chat`: many conversations at once, which LlamaIndex has no call for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms.llm import LLM

__all__ = ["abatch_chat"]


async def abatch_chat(
    llm: LLM,
    conversations: Sequence[Sequence[ChatMessage]],
    *,
    max_concurrency: int | None = None,
    return_exceptions: bool = False,
    **kwargs: Any,
) -> list[ChatResponse | BaseException]:
    """Chat about many things at once; answers come in the order of the conversations.

    With a `BatchedLLM` leave `max_concurrency` at None:
    its groups fill up by themselves, and it bounds the calls.

    Args:
        llm: Any LLM.
        conversations: The messages of each.
        max_concurrency: How many are under way at the same time; all by default.
        return_exceptions: Give errors in their places instead of raising the first.
        kwargs: Settings of every call.

    Raises:
        What the first failing call raised, unless `return_exceptions`; the others are cancelled.
    """
    places = asyncio.Semaphore(max_concurrency or max(1, len(conversations)))

    async def one(messages: Sequence[ChatMessage]) -> ChatResponse | BaseException:
        async with places:
            try:
                return await llm.achat(messages, **kwargs)
            except Exception as error:
                if return_exceptions:
                    return error
                raise

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(messages)) for messages in conversations]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
