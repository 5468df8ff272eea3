"""Cut the retrieved context in the messages of a request, and report what of it is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, groupby

from llm_optimizers.embeddings import Embed
from llm_optimizers.prompts.context.cutting import ContextBudget, cut_contexts, outside
from llm_optimizers.prompts.context.documents.asking import question_in
from llm_optimizers.prompts.context.report import ContextCut
from llm_optimizers.prompts.context.selection.selector import PassageSelector
from llm_optimizers.prompts.context.selection.tasks import names_nothing
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
    first, nearby = _first_question(request.messages), _nearby_questions(request.messages)
    for at, message in enumerate(request.messages):
        cut = partial(cut_contexts, _texts(message), budget, selector)
        if message.role == "user":
            messages.append(_with_texts(message, cut(nearby=nearby.get(at, ""))))
        elif message.role == "system" and first is not None:
            messages.append(_with_texts(message, cut(question=first)))
        else:
            messages.append(message)
        cuts += [replace(each, message=at) for each in found]
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


def _texts(message: Message) -> list[str]:
    if isinstance(message.content, str):
        return [message.content]
    return [part.text for part in message.content if part.kind == "text"]


def _with_texts(message: Message, texts: Iterable[str]) -> Message:
    """Return the message with its text parts replaced, in order."""
    new = iter(texts)
    return with_text(message, lambda _: next(new))


def _first_question(messages: Sequence[Message]) -> str | None:
    """Return the question that opens a conversation, None once there is an answer.

    In a longer conversation, context selected for the latest question would break the prefix.
    """
    roles = {message.role for message in messages}
    if not {"system", "user"} <= roles or "assistant" in roles:
        return None
    return "\n\n".join(outside(_texts(each)) for each in messages if each.role == "user")


def _nearby_questions(messages: Sequence[Message]) -> dict[int, str]:
    """Return the question beside each user message that asks nothing itself.

    That is the one of the next user message of the same turn, else of the one before.
    """
    found: dict[int, str] = {}
    for answers, turn in groupby(enumerate(messages), lambda each: each[1].role == "assistant"):
        users = [at for at, message in turn if message.role == "user"]
        if answers or len(users) < 2:
            continue
        asked = [question_in(outside(_texts(messages[at]))) for at in users]
        asked = ["" if names_nothing(each) else each for each in asked]
        before = [*accumulate(asked, _last)]
        after = [*accumulate(reversed(asked), _last)][::-1]
        for at, own, *near in zip(users, asked, after, before, strict=True):
            if not own:
                found[at] = near[0] or near[1]
    return found


def _last(last: str, own: str) -> str:
    return own or last


def _part_with_text(part: Part, change: Callable[[str], str]) -> Part:
    if part.kind != "text":
        return part
    text = change(part.text)
    return part if text == part.text else replace(part, text=text)
