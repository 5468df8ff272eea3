"""Whether a name that the price list accepts is really the model it is taken for.

The list's rules are generous (`starts_with: claude-sonnet-4-5`), so that a name nobody sells can
be given a price. A name passes here if the list spells it out, if it differs from a listed one
only by what providers append without changing the model (a date, a revision, `-latest`,
`-preview`, a fine-tuning job), or if it fits a pattern anchored at both ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["stands_for"]

# https://platform.openai.com/docs/models, https://docs.anthropic.com/en/docs/about-claude/models,
# https://ai.google.dev/gemini-api/docs/models,
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
_APPENDED = re.compile(
    r"(?:[-@]20\d{2}(?:\d{4})?|-20\d{2}-\d{2}-\d{2}|-\d{2}-20\d{2}|-\d{2}-\d{2}|-0\d{2}|-\d{4}"
    r"|[-@]latest|@default|@0\d{2}|-preview|-exp|-v\d+(?::\d+)?|[-@/])$"
)
_AWS_REGION = re.compile(r"^(?:us|us-gov|eu|apac|au|jp|in|ca|global)\.")
_FUZZY = ("starts_with", "ends_with", "contains")


def stands_for(listed_id: str, rule: Any, name: str) -> bool:
    """Whether `name` (lower case), which `rule` accepts, is exactly the model `listed_id`.

    `rule` is a match clause of genai-prices; a path before the name (`models/…`, an ARN) and
    Bedrock's region are no part of it.
    """
    last = name.rsplit("/", 1)[-1]
    names = {name, last, _AWS_REGION.sub("", last)}
    if listed_id.lower() in names:
        return True
    stems = {_stem(each) for each in names}
    for kind, text in _clauses(rule):
        if kind == "regex":
            if _anchored(text) and any(re.search(text, each) for each in names):
                return True
        elif text.lower() in names or (kind in _FUZZY and _stem(text.lower()) in stems):
            return True
    return False


def _clauses(rule: Any) -> Iterator[tuple[str, str]]:
    """The leaves of a rule: what each tests and the text it tests for."""
    for clause in (*getattr(rule, "or_", ()), *getattr(rule, "and_", ())):
        yield from _clauses(clause)
    for kind, text in vars(rule).items():
        if isinstance(text, str):
            yield kind, text


def _anchored(pattern: str) -> bool:
    return pattern.startswith("^") and pattern.endswith("$")


def _stem(name: str) -> str:
    """A name without region, snapshot, alias and fine-tuning job."""
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    name = name.split(".ft-")[0] + ".ft" if ".ft-" in name else name
    while (shorter := _APPENDED.sub("", name)) != name:
        name = shorter
    return _AWS_REGION.sub("", name).strip("/")
