"""Count the tokens of an image by OpenAI's documented rules.

The model decides which of two rules applies
(https://platform.openai.com/docs/guides/images-vision#calculating-costs): tiles of 512 px after
scaling to fit 2,048 by 2,048 and then to a shortest side of 768 px; or patches of 32 px, at most
1,536, times a factor. The size is read from the header of an image sent inside the request; an
image behind a URL is assumed to be 1,024 by 1,024.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from llm_optimizers.prompts.counting.vocabularies import bare_name

__all__ = ["ImageCost", "image_cost"]

_ASSUMED_SIZE = (1024, 1024)
_PATCH_LIMIT = 1536
_DOWNSCALED_HEADER = 1 << 16
"""Base64 characters decoded first to find the size, which JPEG stores after its metadata."""


class ImageCost(NamedTuple):
    """Tokens of one image; exact if both the rule and the image's size are known."""

    tokens: int
    exact: bool


_PATCHES: tuple[tuple[str, float], ...] = (
    ("gpt-4.1-mini", 1.62),
    ("gpt-4.1-nano", 2.46),
    ("gpt-5-mini", 1.62),
    ("gpt-5-nano", 2.46),
    ("o4-mini", 1.72),
)
_TILES: tuple[tuple[str, int, int], ...] = (  # base and per-tile tokens
    ("gpt-4o-mini", 2833, 5667),
    ("gpt-4o", 85, 170),
    ("gpt-4.1", 85, 170),
    ("gpt-4.5", 85, 170),
    ("gpt-5", 70, 140),
    ("o1", 75, 150),
    ("o3", 75, 150),
    ("computer-use-preview", 65, 129),
)


def image_cost(block: Mapping[str, Any], model: str) -> ImageCost:
    """Count the tokens of an image block in OpenAI's, Anthropic's or LangChain's format."""
    image = block.get("image_url")
    detail = image.get("detail") if isinstance(image, Mapping) else block.get("detail")
    url = _url(block)
    size = _size_of(url) if url is not None else None
    name = bare_name(model)
    width, height = size or _ASSUMED_SIZE
    for prefix, factor in _PATCHES:
        if name.startswith(prefix):
            return ImageCost(math.ceil(_patches(width, height) * factor), size is not None)
    for prefix, base, tile in _TILES:
        if name.startswith(prefix):
            if detail == "low":
                return ImageCost(base, exact=True)
            return ImageCost(base + tile * _tiles(width, height), size is not None)
    return ImageCost(85 + 170 * _tiles(width, height), exact=False)


def _url(block: Mapping[str, Any]) -> str | None:
    """Return the image's URL; base64 data in the block becomes a data URL."""
    image, source = block.get("image_url"), block.get("source")
    inside = source if isinstance(source, Mapping) else block
    url = image.get("url") if isinstance(image, Mapping) else image or inside.get("url")
    data = inside.get("base64") or inside.get("data")
    if isinstance(url, str):
        return url
    return f"data:image/png;base64,{data}" if isinstance(data, str) else None


def _tiles(width: int, height: int) -> int:
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    columns = math.ceil(round(width * scale, 6) / 512)
    return columns * math.ceil(round(height * scale, 6) / 512)


def _patches(width: int, height: int) -> int:
    count = math.ceil(width / 32) * math.ceil(height / 32)
    if count <= _PATCH_LIMIT:
        return count
    shrink = math.sqrt(32 * 32 * _PATCH_LIMIT / (width * height))
    columns, rows = width * shrink / 32, height * shrink / 32
    shrink *= min(math.floor(columns) / columns, math.floor(rows) / rows)
    return math.ceil(round(width * shrink / 32, 6)) * math.ceil(round(height * shrink / 32, 6))


def _size_of(url: str) -> tuple[int, int] | None:
    """Return width and height from the header of a base64 data URL; None if unreadable."""
    match = re.match(r"data:image/[\w.+-]+;base64,", url)
    if match is None:
        return None
    for limit in (_DOWNSCALED_HEADER, len(url)):
        encoded = url[match.end() : match.end() + limit]
        try:
            data = base64.b64decode(encoded[: len(encoded) // 4 * 4])
        except (binascii.Error, ValueError):
            return None
        size = _png(data) or _gif(data) or _webp(data) or _jpeg(data)
        if size is not None and min(size) > 0:
            return size
    return None


def _png(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _gif(data: bytes) -> tuple[int, int] | None:
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 10:
        return None
    width, height = struct.unpack("<HH", data[6:10])
    return width, height


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Read the size from the frame header (SOF0 to SOF15 without DHT, JPG and DAC)."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
