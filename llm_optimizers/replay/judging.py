"""Which answers of a replay were right, and which hits were wrong, as far as the log can tell.

A hit is wrong if the answer it served belongs to another class. Which classes an answer belongs
to is known from the log, and from the replay itself: an answer that the model gave to a request
belongs to that request's class, which is all there is to go by with a live provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_optimizers.evidence.comparison import normalised
from llm_optimizers.replay.app import AppReply
from llm_optimizers.replay.log import LoggedRequest

__all__ = ["Judgement", "judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The ids of wrong hits (None where the log has no classes), and right answers of `judged`."""

    wrong: Sequence[str] | None
    judged: int
    right: int


def judged(
    requests: Sequence[LoggedRequest], replies: Mapping[str, AppReply], *, recorded: bool
) -> Judgement:
    """Judge the replies; answers of a live provider are not compared with the log's."""
    answered = [request for request in requests if request.id in replies]
    classes = _classes(requests, answered, replies)
    labelled = [request for request in answered if request.answer_class]
    wrong = [r.id for r in labelled if _wrong(r, replies[r.id], classes)]
    comparable = [r for r in answered if recorded and r.response is not None]
    accepted: dict[object, set[str]] = {}
    for request in requests:
        accepted.setdefault(_same(request), set()).add(normalised(request.response or ""))
    right = sum(1 for r in comparable if normalised(replies[r.id].text) in accepted[_same(r)])
    has_classes = any(request.answer_class for request in requests)
    return Judgement(wrong=wrong if has_classes else None, judged=len(comparable), right=right)


def _classes(
    requests: Sequence[LoggedRequest],
    answered: Sequence[LoggedRequest],
    replies: Mapping[str, AppReply],
) -> Mapping[str, set[str]]:
    """The classes that each text is right for; none where only unlabelled requests got it."""
    texts = [(r, text) for r in requests for text in (r.response, r.cheap_response)]
    texts += [(r, replies[r.id].text) for r in answered if replies[r.id].tier is None]
    classes: dict[str, set[str]] = {}
    for request, text in texts:
        if text is not None:
            known = classes.setdefault(normalised(text), set())
            if request.answer_class:
                known.add(request.answer_class)
    return classes


def _wrong(request: LoggedRequest, reply: AppReply, classes: Mapping[str, set[str]]) -> bool:
    if reply.tier is None:
        return False
    known = classes.get(normalised(reply.text))
    # An answer from nowhere is wrong; one that only unlabelled requests got cannot be judged.
    return known is None or bool(known and request.answer_class not in known)


def _same(request: LoggedRequest) -> object:
    """What two requests share whose recorded answers may stand in for each other."""
    return request.answer_class or (request.tenant, str(request.request.to_openai()))
