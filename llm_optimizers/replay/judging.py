"""Counts right answers and wrong hits of a replay, as far as the log can tell.

A hit is wrong if its answer belongs to another answer class. The classes of an answer come from
the log and from the replay itself: an answer that the model gave to a request belongs to that
request's class. With a live provider, only the second is available.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_optimizers.evidence.comparison import normalised
from llm_optimizers.replay.app import AppReply
from llm_optimizers.replay.log import LoggedRequest

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Ids of wrong hits (None if the log has no classes), and `right` of `judged` answers.

    `unknown` counts answers of another model than the log's, of which the log says nothing.
    """

    wrong: Sequence[str] | None
    judged: int
    right: int
    unknown: int


def judge(
    requests: Sequence[LoggedRequest], replies: Mapping[str, AppReply], *, recorded: bool
) -> Judgement:
    """Judge the answers; those of a live provider are not compared with the log."""
    answered = [request for request in requests if request.id in replies]
    classes = _classes(requests, answered, replies)
    labelled = [request for request in answered if request.answer_class]
    wrong = [r.id for r in labelled if _wrong(r, replies[r.id], classes)]
    compared = [r for r in answered if recorded and r.response is not None]
    comparable = [r for r in compared if not _unknown(r, replies[r.id])]
    accepted: dict[object, set[str]] = {}
    for request in requests:
        accepted.setdefault(_same(request), set()).add(normalised(request.response or ""))
    right = sum(1 for r in comparable if normalised(replies[r.id].text) in accepted[_same(r)])
    has_classes = any(request.answer_class for request in requests)
    return Judgement(
        wrong=wrong if has_classes else None,
        judged=len(comparable),
        right=right,
        unknown=len(compared) - len(comparable),
    )


def _classes(
    requests: Sequence[LoggedRequest],
    answered: Sequence[LoggedRequest],
    replies: Mapping[str, AppReply],
) -> Mapping[str, set[str]]:
    """Map each answer to the classes it is right for; none if all its requests are unlabelled."""
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
    # An unknown answer is wrong; one that only unlabelled requests got cannot be judged.
    return known is None or bool(known and request.answer_class not in known)


def _unknown(request: LoggedRequest, reply: AppReply) -> bool:
    """Whether another model than the log's answered, and the log lacks its answer."""
    return reply.model not in ("", request.request.model) and not request.cheap_known


def _same(request: LoggedRequest) -> object:
    """Return a key that is equal for requests whose recorded answers are interchangeable."""
    return request.answer_class or (request.tenant, str(request.request.to_openai()))
