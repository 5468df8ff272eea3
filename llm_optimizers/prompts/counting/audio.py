"""Estimate the tokens of sound in a prompt by its length.

OpenAI bills a token for each tenth of a second that a user says
(https://platform.openai.com/docs/guides/realtime-costs), Gemini 32 a second
(https://ai.google.dev/gemini-api/docs/audio). The length is read from the header of a WAV file; of
other formats it follows from the size at a usual bit rate.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Mapping
from typing import Any

from llm_optimizers.prompts.counting.vocabularies import bare_name

__all__ = ["AUDIO", "audio_tokens"]

AUDIO = frozenset({"input_audio", "audio"})
"""Kinds of blocks that hold sound."""
_A_SECOND, _GEMINIS = 10, 32
_USUAL_RATE = 16_000  # bytes a second, as 128 kbit/s
_HEADER = 1_024  # base64 characters that hold a WAV file's header


def audio_tokens(block: Mapping[str, Any], model: str) -> int:
    """Return about how many tokens a block of sound has; 0 if it holds no data."""
    inner = block.get("input_audio")
    place = inner if isinstance(inner, Mapping) else block
    data = next((place[name] for name in ("data", "base64") if place.get(name)), None)
    if not isinstance(data, str):
        return 0
    data = data.rpartition("base64,")[2]
    rate = _GEMINIS if "gemini" in bare_name(model) else _A_SECOND
    return math.ceil(rate * len(data) * 3 / 4 / _bytes_a_second(data))


def _bytes_a_second(data: str) -> int:
    try:
        head = base64.b64decode(data[: _HEADER - _HEADER % 4] + "==", validate=False)
    except (binascii.Error, ValueError):
        return _USUAL_RATE
    at = head.find(b"fmt ")
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE" or at < 0 or len(head) < at + 20:
        return _USUAL_RATE
    (rate,) = struct.unpack("<I", head[at + 16 : at + 20])
    return rate or _USUAL_RATE
