"""Documents marked by their lines: labels with a number, fields, rules and headings."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from llm_optimizers.prompts.context.documents.places import (
    RULE,
    Place,
    after_blank_line,
    between,
    free,
    has_text,
    place,
    title_among,
    trimmed_span,
)
from llm_optimizers.prompts.context.documents.tags import Span

__all__ = ["fielded", "headed", "numbered", "ruled"]

_BARE = re.compile(
    r"^(?P<open>[\[(]?)(?P<number>\d{1,4})(?P<close>[\]).:]{1,2})(?=\s)", re.MULTILINE
)
_WORDED = re.compile(
    r"^(?P<mark>(?:#{1,6}[ \t]+)?(?:\*\*|__)?)(?P<word>[^\W\d_]{1,30}(?:[ \t_-][^\W\d_]{1,30})?)"
    r"[ \t]*(?P<open>[\[(#]?)(?P<number>\d{1,4})(?P<close>[\])]?)"
    r"(?:[ ]of[ ]\d{1,4})?"
    r"(?P<end>[ \t]*+(?:\(Title:(?P<title>(?:[^()\n]|\([^()\n]{0,80}\)){0,200})\)"
    r"|(?:\*\*|__)?[:.)\u2013\u2014|-](?:\*\*|__)?|(?:\*\*|__)?[ \t\r]*$)|(?<=[\])]))",
    re.MULTILINE,
)
_FRAMED = re.compile(
    r"^(?P<open>\[|-{2,}|={2,})[ \t]*(?P<word>[^\W\d_]{1,30})[ \t]*#?(?P<number>\d{1,4})"
    r"(?:[ \t]*+[:|][ \t]*+(?P<title>[^\]\n]{0,200}?))?[ \t]*+(?P<close>\]:?|-{2,}|={2,})(?=\s)",
    re.MULTILINE,
)
_DOCUMENT_WORD = re.compile(
    r"article|chunk|citation|context|doc|document|entry|evidence|excerpt|extract|file|fragment|hit"
    r"|item|node|page|paragraph|passage|record|reference|result|section|snippet|source|text"
)
_LABELS = (_BARE, _WORDED, _FRAMED)
_FIELD = re.compile(r"^(?P<name>[^\W\d][\w.-]{0,40}(?: [\w.-]{1,40})?):(?=\s|$)", re.MULTILINE)
_STRINGS = re.compile(r"^page_content='", re.MULTILINE)
_METADATA = re.compile(r"'[ \t]++metadata=\{")
_TEXT_FIELD = re.compile(
    r"body|chunk|content|document|excerpt|page_content|passage|snippet|summary|text"
)
_HEADING = re.compile(r"^(?P<level>#{1,6})[ \t]+(?P<title>\S[^\n]*)$", re.MULTILINE)
_SETEXT = re.compile(r"(?:\A|\n[ \t\r]*\n)[^\n]{1,120}[^\s.!?:;,]\r?\n\Z")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_FIELDS = 30
"""Fields of the first document that are compared with the others' fields."""
_INTRODUCTION = 300
"""Characters before the first label that may stay whatever is dropped."""


def numbered(body: str, spans: Sequence[Span]) -> list[Place]:
    """Return the documents with numbers from 0 or 1 on at the beginning of a line.

    A list in a document has numbers too. So the first label must begin the section, and either
    every label follows a blank line, or there are none; only a word for a document (`Source 1:`)
    is certain without.
    """
    labels: dict[tuple[str, str, str, str], list[re.Match[str]]] = defaultdict(list)
    for label in (each for form in _LABELS for each in free(body, form, spans)):
        groups = label.groupdict()
        word = (groups.get("word") or "").lower()
        kind = (groups.get("mark") or "", word, groups["open"], groups["close"])
        labels[kind].append(label)
    start = len(body) - len(body.lstrip())
    for kind, found in sorted(labels.items(), key=lambda each: each[1][0].start()):
        numbers = [int(label["number"]) for label in found]
        if len(found) < 2 or numbers != list(range(numbers[0], numbers[0] + len(found))):
            continue
        if numbers[0] > 1 or (found[0].start() > start and not _is_document(kind[1])):
            continue
        if _is_document(kind[1]) or _evenly(body, [label.start() for label in found]):
            return _with_introduction(body, [_labelled(body, label) for label in found])
    return []


def _is_document(words: str) -> bool:
    last = words.replace("_", " ").replace("-", " ").split()[-1:]
    return bool(last) and _DOCUMENT_WORD.fullmatch(last[0]) is not None


def _evenly(body: str, starts: Sequence[int]) -> bool:
    """Return whether all documents but the first follow a blank line, or none holds one."""
    if all(after_blank_line(body, start) for start in starts[1:]):
        return True
    return _BLANK_LINE.search(body, starts[0], len(body.rstrip())) is None


def _labelled(body: str, label: re.Match[str]) -> tuple[int, int, str]:
    """Return where a labelled document and its text begin, and its title on the label's line."""
    groups = label.groupdict()
    end, title = label.end(), groups.get("title") or ""
    mark = groups.get("mark") or ""
    bold = mark.endswith(("**", "__")) and mark[-2:] not in groups["end"]
    if mark.startswith("#") or bold:
        stop = body.find("\n", end)
        stop = len(body) if stop < 0 else stop
        title, end = title or body[end:stop].strip(" \t\r*_#:"), stop
    return label.start(), end, title.strip()


def _with_introduction(body: str, found: Sequence[tuple[int, int, str]]) -> list[Place]:
    """Return the places of documents that begin at these marks; a longer introduction is one."""
    spans = between([start for start, _, _ in found], len(body))
    places = [
        place(body, *span, text, title=title)
        for span, (_, text, title) in zip(spans, found, strict=True)
    ]
    if len(body[: found[0][0]].strip()) > _INTRODUCTION:
        places.insert(0, place(body, 0, found[0][0]))
    return places


def fielded(body: str, spans: Sequence[Span]) -> list[Place]:
    """Return the documents that begin with the same fields, a line each: `file_path: a.md`.

    The text is the longest field, or what follows the fields after a blank line.
    """
    strings = list(free(body, _STRINGS, spans))
    if len(strings) > 1 and not body[: strings[0].start()].strip():
        return [_string(body, *span) for span in _starts(body, strings)]
    fields = list(free(body, _FIELD, spans))
    if not fields or body[: fields[0].start()].strip():
        return []
    firsts = [at for at, each in enumerate(fields) if each["name"] == fields[0]["name"]]
    records = _starts(body, [fields[at] for at in firsts])
    names = [
        [each["name"] for each in fields[first:last]]
        for first, last in between(firsts, len(fields))
    ]
    common = [name for name in names[0][:_FIELDS] if all(each.count(name) == 1 for each in names)]
    if len(records) < 2 or any([n for n in each if n in common] != common for each in names):
        return []
    if len(common) < 2 and not _evenly(body, [start for start, _ in records]):
        return []
    return [_record(body, span, common) for span in records]


def _starts(body: str, found: Sequence[re.Match[str]]) -> list[Span]:
    return list(between([each.start() for each in found], len(body)))


def _string(body: str, start: int, end: int) -> Place:
    """Return the place of the str of a LangChain document, whose text is not escaped."""
    first = start + len("page_content='")
    last = max(first, place(body, start, end).end)
    return place(body, start, end, (first, _end_of_string(body, first, last)))


def _end_of_string(body: str, first: int, last: int) -> int:
    """Return where the text's quotation mark is on its last line; `last` if there is none."""
    line = max(first, body.rfind("\n", first, last) + 1)
    end = line + len(body[line:last].rstrip(" \t"))
    if body.endswith("}", line, end):
        metadata = _METADATA.search(body, line, end)
        return last if metadata is None else metadata.start()
    return end - 1 if body.endswith("'", line, end) else last


def _record(body: str, span: Span, common: Sequence[str]) -> Place:
    """Return the place of a document with fields, of which `common` are in every document."""
    found = [each for each in _FIELD.finditer(body, *span) if each["name"] in common]
    values = list(between([each.start() for each in found], span[1]))
    fields = {
        each["name"].lower().replace(" ", "_"): body[each.end() : stop].strip()
        for each, (_, stop) in zip(found, values, strict=True)
    }
    field = max(range(len(found)), key=lambda at: values[at][1] - found[at].end())
    start, stop = trimmed_span(body, found[field].end(), values[field][1])
    name = found[field]["name"].lower().replace(" ", "_")
    line = body.find("\n", start, stop)
    if _TEXT_FIELD.fullmatch(name):
        fields.pop(name)
    elif line >= 0 and _BLANK_LINE.match(body, line, stop):
        fields[name], start = body[start:line].strip(), line
    else:
        return place(body, *span)
    own = place(body, start, stop, start).text
    return place(body, *span, own, title=title_among(fields))


def ruled(body: str, spans: Sequence[Span]) -> list[Place]:
    """Return the documents between lines of the same rule, such as `---`.

    A line of dashes under a short line makes that a heading, and separates nothing.
    """
    rules = list(free(body, RULE, spans))
    for rule, count in Counter(each["rule"] for each in rules).most_common():
        found = [each for each in rules if each["rule"] == rule]
        headings = sum(_underlines(body, each) for each in found)
        edges = [0, *(at for each in found for at in each.span()), len(body)]
        parts = [
            place(body, start, end)
            for start, end in zip(edges[::2], edges[1::2], strict=True)
            if has_text(body, start, end)
        ]
        if headings * 2 < count and len(parts) > 1:
            return _with_front_matter(body, parts)
    return []


def _underlines(body: str, rule: re.Match[str]) -> bool:
    if rule["rule"][0] not in "-=":
        return False
    return _SETEXT.search(body, max(0, rule.start() - 130), rule.start()) is not None


def _with_front_matter(body: str, parts: list[Place]) -> list[Place]:
    """Join each part that is only fields with the text after it, if every other one is."""
    fields = [_only_fields(body[part.start : part.end]) for part in parts]
    if len(parts) % 2 or not all(fields[::2]) or any(fields[1::2]):
        return parts
    return [
        place(body, head.start, part.end, part.text, title=title_among(found))
        for head, part, found in zip(parts[::2], parts[1::2], fields[::2], strict=True)
    ]


def _only_fields(text: str) -> dict[str, str]:
    """Return the fields of a text that has nothing else; empty if it has."""
    found = [(line, _FIELD.match(line)) for line in text.splitlines() if line.strip()]
    if not all(field is not None or line.startswith((" ", "-")) for line, field in found):
        return {}
    return {
        field["name"].lower().replace(" ", "_"): line[field.end() :].strip()
        for line, field in found
        if field is not None
    }


def headed(body: str, spans: Sequence[Span]) -> list[Place]:
    """Return the documents under the highest headings that occur more than once.

    A heading follows a blank line: `# ...` directly under other text may be a comment in code.
    """
    found = [each for each in free(body, _HEADING, spans) if after_blank_line(body, each.start())]
    levels = Counter(each["level"] for each in found)
    level = min((level for level, count in levels.items() if count > 1), default=None)
    chosen = [each for each in found if each["level"] == level]
    if not chosen:
        return []
    return _with_introduction(
        body,
        [(each.start(), each.end(), each["title"].strip(" \t\r#")) for each in chosen],
    )
