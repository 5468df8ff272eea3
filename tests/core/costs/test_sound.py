"""Which prompts have sound."""

from __future__ import annotations

import pytest

from llm_optimizers.costs.sound import has_sound

DATA = "UklGRg=="


@pytest.mark.parametrize(
    "block",
    [
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
        {"type": "audio", "base64": DATA, "mime_type": "audio/wav"},
        {"type": "audio_url", "audio_url": {"url": "https://example.com/a.wav"}},
        {"type": "video", "url": "https://example.com/a.mp4"},
        {"type": "media", "mime_type": "audio/wav", "data": DATA},
        {"type": "file", "source_type": "base64", "mime_type": "video/mp4", "data": DATA},
        {"inline_data": {"mime_type": "audio/mp3", "data": DATA}},
        {"type": "file", "file": {"mimeType": "audio/mp3", "file_data": DATA}},
    ],
)
def test_sound_is_found(block: dict[str, object]) -> None:
    assert has_sound(["Hi", [{"type": "text", "text": "What is said?"}, block]])


@pytest.mark.parametrize(
    "content",
    [
        "Hi",
        "",
        None,
        [],
        ["Hi", 3, None],
        [{"type": "text", "text": "audio/wav"}],
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        [{"type": "file", "mime_type": "application/pdf", "data": DATA}],
        [{"type": ["audio"], "mime_type": None}],
    ],
)
def test_other_contents_have_none(content: object) -> None:
    assert not has_sound([content])
