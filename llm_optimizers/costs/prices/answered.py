"""Which of two names a call is priced by: that of the model asked for, or of the one that answered.

What answered is what is billed: a local server answers to any name, a gateway may fall back to
another model. But providers answer with a snapshot of what was asked for, gateways with a longer
or shorter name, and Bedrock without the region that its price depends on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from llm_optimizers.costs.prices.names import is_self_hosted, parse_model, without_snapshot

__all__ = ["Priced", "is_one_model", "model_to_price"]

Priced: TypeAlias = Literal["own", "own and listed", "listed", ""]
"""Whether a name has the user's own price, and whether the price list has it; "" for neither."""

_VERSION = re.compile(r"-v\d+(?::\d+)?$")
# OpenRouter names a snapshot of `claude-sonnet-4.5` `claude-4.5-sonnet-20250929`.
_CLAUDE = re.compile(r"^claude-([\d-]+)-(opus|sonnet|haiku)")
# Files, and folders of them; Google's names too begin with `models/`.
_FILE = re.compile(
    r"^(?:[/.~\\]|[a-z]:\\|models/(?!gemini|gemma|learnlm))|\.(?:gguf|ggml|bin|safetensors)$"
)


def model_to_price(asked: str, answered: str, priced: Callable[[str], Priced]) -> str:
    """Return the name to price a call by; "" if there is none.

    1. What answered, if the user set its price.
    2. What was asked for, if the user set its price and no list has it: a deployment, an alias.
    3. What was asked for, if it is the answering name and a region or a path before it.
    4. What answered, if the list has it.
    5. What was asked for, if the answering name is another name of the same model.
    6. Otherwise what answered, which has no price.
    """
    if not answered or not asked or answered == asked:
        return answered or asked
    found, wanted = priced(answered), priced(asked)
    if found.startswith("own"):
        return answered
    if wanted == "own" or (wanted and _adds_a_path(asked, answered)):
        return asked
    if not found and wanted and is_one_model(asked, answered):
        return asked
    return answered


def _adds_a_path(asked: str, answered: str) -> bool:
    """Whether the answering name is the end of the other: `us.anthropic.x` and `x`."""
    longer, shorter = (_VERSION.sub("", name.strip().lower()) for name in (asked, answered))
    return longer.endswith(shorter) and longer[-len(shorter) - 1 : -len(shorter)] in (*"./:", "")


def is_one_model(one: str, other: str) -> bool:
    """Whether two names differ only in provider, path, region, snapshot, or order of words.

    A file, or a name at a server of the user's own, is never the same as a listed name.
    """
    return _plain(one) == _plain(other) != ""


def _plain(name: str) -> str:
    """Return the part of a name that says which model it is, "" for a local one."""
    parsed = parse_model(name)
    local = parsed.provider is not None and is_self_hosted(parsed.provider)
    if local or _FILE.search(name.strip().lower()):
        return ""
    plain = without_snapshot(parsed.name).removeprefix("anthropic.").replace(".", "-")
    return _CLAUDE.sub(r"claude-\2-\1", plain)
