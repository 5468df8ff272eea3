"""Cut the retrieved context in the messages of a request, and report what of it is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from llm_optimizers.embeddings import Embed
from llm_optimizers.prompts.context.cutting import ContextBudget, cut_context
from llm_optimizers.prompts.context.report import ContextCut
from llm_optimizers.prompts.context.selection.selector import PassageSelector
from llm_optimizers.prompts.counting import TokenCounter
from llm_optimizers.types import ChatRequest, Message, Part

__all__ = ["cut_messages", "sent_cuts", "with_text"]


def cut_messages(
    request: ChatRequest, budget: ContextBudget, *, counter: TokenCounter, embed: Embed | None
) -> tuple[list[Message], list[ContextCut]]:
    """Return the messages with their context cut to the budget, and a report of each cut.

    A message whose text stays is the same object. Answers and tool results are not cut.
    """
    cuts: list[ContextCut] = []
    found: list[ContextCut] = []
    selector = PassageSelector(
        model=request.model,
        counter=counter,
        embed=embed,
        min_probability=budget.min_probability,
        report=found.append,
    )
    messages = []
    for at, message in enumerate(request.messages):
        messages.append(_with_context_cut(message, request, budget, selector))
        cuts += [replace(cut, message=at) for cut in found]
        found.clear()
    return messages, cuts


def sent_cuts(
    cuts: Sequence[ContextCut],
    planned: Sequence[Message],
    sent: Sequence[Message],
    origins: Sequence[int | None],
    *,
    shortened: Collection[int],
) -> tuple[ContextCut, ...]:
    """Return the reports that are true of what is sent.

    Left out are cuts in messages that are sent unchanged or as part of a summary. `planned` are
    the messages before the request's hard limit trims them to those `sent`, `origins` their
    indices in the original request, and `shortened` the indices of those that are not unchanged.
    """
    places = zip(origins, planned, sent, strict=True)
    trimmed = {origin for origin, before, after in places if before is not after}
    return tuple(
        replace(cut, trimmed=cut.message in trimmed)
        for cut in cuts
        if cut.message in origins and (cut.message in shortened or not cut.changed)
    )


def with_text(message: Message, change: Callable[[str], str]) -> Message:
    """Return the message with its text parts changed; the same object if none changes."""
    if isinstance(message.content, str):
        text = change(message.content)
        return message if text == message.content else replace(message, content=text)
    parts = tuple(_part_with_text(part, change) for part in message.content)
    same = all(a is b for a, b in zip(parts, message.content, strict=True))
    return message if same else replace(message, content=parts)


def _with_context_cut(
    message: Message, request: ChatRequest, budget: ContextBudget, selector: PassageSelector
) -> Message:
    if message.role in ("assistant", "tool"):
        return message
    question = _only_question(request) if message.role == "system" else None
    if message.role == "system" and question is None:
        return message
    return with_text(message, lambda text: cut_context(text, budget, selector, question=question))


def _only_question(request: ChatRequest) -> str | None:
    """Return the request's question if it is the first of its conversation, else None.

    In a longer conversation, context selected for the latest question would break the prefix.
    """
    roles = [m.role for m in request.messages]
    if roles.count("user") != 1 or "assistant" in roles:
        return None
    return request.messages[roles.index("user")].text


def _part_with_text(part: Part, change: Callable[[str], str]) -> Part:
    if part.kind != "text":
        return part
    text = change(part.text)
    return part if text == part.text else replace(part, text=text)
