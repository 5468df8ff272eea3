"""Secrets are removed from what is kept or shown: API keys, passwords, tokens.

Ledgers, notes, journals and dead letters keep metadata and errors' texts, and a provider's error
may repeat the key that it refuses. A secret is known by its form (`redacted`) or by the name under
which it stands (`without_secrets`). Settings such as `max_tokens` are no secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["REMOVED", "is_secret_name", "is_suspect", "redacted", "without_secrets"]

REMOVED = "[removed]"

_DEEPEST = 20  # levels of a nested value; what is deeper is removed
_NAME = re.compile(
    r"api[_\-. ]?key|access[_\-. ]?key|private[_\-. ]?key|secret(?!ar)|passw|passphrase|\bpwd\b"
    r"|credential|authorization|cookie|bearer|signature|connection[_\-. ]?string|headers?\Z"
    r"|(?:\A|[_\-. ])(?:auth|jwt|pat|token)\Z|[a-z]Token\Z",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"(?:max|min|next|first|last|stop|start|eos|bos|pad|unk|sep|mask|per|new|special|finish|page"
    r"|continuation|sync)[_\-. ]?(?:new[_\-. ]?|page[_\-. ]?)?token\Z"
    # About a secret, such as `api_key_alias`, by which costs are grouped.
    r"|key[_\-. ]?(?:id|ids|name|alias|owner|label)\Z"
    r"|[_\-. ](?:type|kind|version|status|state|count|present|length|age|reset|banner|consent"
    r"|policy|expiry|expired)\Z",
    re.IGNORECASE,
)
# In lower case. Most texts hold none of them and need no further look.
_SUSPECT = (
    *(
        "k-",
        "k_",
        "aiza",
        "akia",
        "asia",
        "xox",
        "xapp",
        "gh",
        "_pat_",
        "glpat",
        "hf_",
        "nvapi",
        "pplx-",
    ),
    *("xai-", "ya29.", "eyj"),
    *("lsv2_", "npm_", "r8_", "sg.", "dapi", "://", "bearer", "basic", "key", "auth", "passw"),
    *("passphrase", "pwd", "secret", "credential", "token", "cookie", "signature", "?sig", "&sig"),
    *("?code", "&code", "header", "jwt", "pat"),
)
# Each starts where no word goes on, and takes all that may belong to it, so that no character is
# looked at more than a few times.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
"""Where a word starts; also after an escape, since many errors show a text as Python's `repr`."""
_OPENAI = re.compile(_START + r"(?:sk-|[sr]k_(?=live_|test_|\w{16}))[\w*-]+")
_KNOWN = re.compile(
    _START + r"(?:AIza[\w*-]{6,}|AKIA[A-Z0-9*]{8,}|ASIA[A-Z0-9*]{16,}|xox[a-np-z]-[\w*-]+"
    r"|gh[opusr]_[\w*]{6,}|github_pat_\w+|glpat-[\w*-]+|hf_[A-Za-z0-9*]{8,}"
    r"|gsk_[\w*]{8,}|pplx-[A-Za-z0-9*]{16,}|ya29\.[\w.-]+|lsv2_[\w*]+"
    r"|npm_[A-Za-z0-9]{16,}|r8_[A-Za-z0-9]{16,}|SG\.[\w.-]{16,}|dapi[0-9a-f]{16,}"
    r"|eyJ[\w-]{8,}\.[\w.-]+)"
)
_WORDY = re.compile(_START + r"(?:xapp|xoxo|nvapi|xai)-[\w*-]+")
"""Keys of which a word may have the form."""
_PLAIN_WORDS = re.compile(r"[a-z]+(?:[-_][a-z]+)*\Z")
_PLAIN_WORD = re.compile(r"[a-z]{1,12}\Z")
_LIKE_A_KEY = re.compile(r"abc|key|pass|private|secret|token|xxx")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END|\Z)", re.DOTALL)
_URL = re.compile(r"://[^\s\"'<>]+")
_SCHEME = re.compile(_START + r"(bearer|basic)(?:\s|%20){1,4}[\"']?([\w.~+/=*-]+)", re.IGNORECASE)
_PROVIDED = re.compile(r"(api[ _-]?key(?: provided)?: {0,4})([^\s\"',;&}]+)", re.IGNORECASE)
_NAMED = re.compile(
    r"(api[_-]?key|access[_-]?key(?:[_-]?id)?|account[_-]?key|private[_-]?key|secret|passw(?:or)?d"
    r"|passphrase|pwd|authorization|credentials?|cookie|(?:access|auth|refresh|id|session|bearer"
    r"|api|security)[_-]?token|(?<![A-Za-z_-])token|signature|(?<=[?&])(?:key|sig|code))"
    r"([\"']?\s{0,4}[:=]\s{0,4}[\"']?)(?!\[removed\])((?<=[\"'])[^\"']+|[^\s\"',;&})\]]+)",
    re.IGNORECASE,
)
_SHORTEST = {"token": 8, "key": 6, "sig": 6, "code": 6}
"""Characters; what is shorter after these names is no secret, as in "token: }", "?code=US"."""
_SHORTEST_BODY = 5  # characters of a key; what is shorter is none
_HEADER = 3  # characters before a scheme that tell a header from a sentence
_PLAIN_BASIC = 12  # characters; a shorter word after "basic" is a word


def redacted(text: str) -> str:
    """Return the text with everything that looks like a secret replaced by "[removed]"."""
    if not is_suspect(text):
        return text
    text = _PRIVATE_KEY.sub(REMOVED, text)
    text = _URL.sub(_without_password, text)
    text = _OPENAI.sub(_without_key, text)
    text = _KNOWN.sub(REMOVED, text)
    text = _WORDY.sub(_without_wordy, text)
    text = _SCHEME.sub(_without_scheme, text)
    text = _PROVIDED.sub(_without_provided, text)
    return _NAMED.sub(_without_named, text)


def is_suspect(text: str) -> bool:
    """Whether a text may hold a secret or the name of one; most do not, and this is fast."""
    lower = text.lower()
    for part in _SUSPECT:  # noqa: SIM110 - `any` takes twice as long
        if part in lower:
            return True
    return False


def is_secret_name(name: str) -> bool:
    """Whether a value under this name is a secret, such as `api_key`, `Authorization`, `dbToken`.

    `max_tokens`, `token_budget` and the like are none.
    """
    return _NAME.search(name) is not None and _NO_SECRET.search(name) is None


def without_secrets(value: Any, depth: int = _DEEPEST) -> Any:
    """Return a JSON value with its secrets replaced, by their names and by their form."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping | list | tuple) and not depth:
        return REMOVED
    if isinstance(value, Mapping):
        return {
            redacted(name) if isinstance(name, str) else name: (
                REMOVED
                if isinstance(name, str) and is_secret_name(name) and not _harmless(each)
                else without_secrets(each, depth - 1)
            )
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(each, depth - 1) for each in value]
    return value


def _harmless(value: object) -> bool:
    """Numbers and nothing are no secrets, whatever they are called."""
    return value is None or isinstance(value, bool | int | float)


def _without_password(match: re.Match[str]) -> str:
    """Remove what stands before the last @ of a URL, unless it is part of the path."""
    url = match.group()
    before, at, after = url.rpartition("@")
    if not at or ("/" in before[3:] and ":" not in before[3:].partition("/")[0]):
        return url
    return f"://{REMOVED}@{after}"


def _without_key(match: re.Match[str]) -> str:
    """Remove what is long or masked; a word (`sk-learn`) or a short number (`sk-42`) is no key."""
    found = match.group()
    body = found[3:]
    is_word = _PLAIN_WORD.match(body) and not _LIKE_A_KEY.search(body)
    is_key = "*" in body or (len(body) > _SHORTEST_BODY and not is_word)
    return REMOVED if is_key else found


def _without_wordy(match: re.Match[str]) -> str:
    found = match.group()
    return found if _PLAIN_WORDS.match(found) and not _LIKE_A_KEY.search(found) else REMOVED


def _without_scheme(match: re.Match[str]) -> str:
    """Remove what follows a scheme, unless both are words of a sentence, as in "basic training"."""
    scheme, value = match.groups()
    is_word = value.islower() and value.replace("-", "").isalpha()
    if scheme.lower() == "basic" and (is_word or len(value) < _PLAIN_BASIC):
        return match.group()
    before = match.string[max(0, match.start() - _HEADER) : match.start()].rstrip(" '\"")
    if scheme == "bearer" and _PLAIN_WORD.match(value) and not before.endswith((":", "=")):
        return match.group()
    return f"{scheme} {REMOVED}"


def _without_provided(match: re.Match[str]) -> str:
    return f"{match.group(1)}{REMOVED}"


def _without_named(match: re.Match[str]) -> str:
    name, sign, value = match.groups()
    if len(value) < _SHORTEST.get(name.lower(), 0):
        return match.group()
    return f"{name}{sign}{REMOVED}"
