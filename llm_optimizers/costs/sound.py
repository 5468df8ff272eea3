"""Whether a prompt has sound, of whose tokens not every report says how many they are.

LangChain keeps no modalities of Gemini's counts. Sound costs several times as much as text at some
models, so that a prompt with sound whose tokens nobody counts is not billed as text.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm_optimizers.costs.usage.places import as_fields, listed

__all__ = ["has_sound"]

# Kinds of blocks in OpenAI's, LangChain's and vLLM's formats. A video has a sound track.
_KINDS = frozenset({"audio", "input_audio", "audio_url", "video", "input_video", "video_url"})
_TYPES = ("mime_type", "mimeType", "media_type")
_INSIDE = ("source", "file", "inline_data", "file_data", "inlineData", "fileData")


def has_sound(contents: Iterable[object]) -> bool:
    """Whether any of these contents of messages, texts or lists of blocks, has audio or video."""
    return any(_is_sound(block) for content in contents for block in listed(content))


def _is_sound(block: object) -> bool:
    fields = as_fields(block)
    kind = fields.get("type")
    if isinstance(kind, str) and kind in _KINDS:
        return True
    return any(
        str(as_fields(place).get(name)).startswith(("audio/", "video/"))
        for place in (fields, *map(fields.get, _INSIDE))
        for name in _TYPES
    )
