"""Tokenizers' vocabularies: which one a model uses, and where to find it without a network.

tiktoken downloads a vocabulary on first use and keeps it in a cache folder. llama-index-core
ships the two that every current OpenAI model uses under tiktoken's own file names, so when the
cache lacks one it is copied there first (copied, because tiktoken deletes what does not match
its hash). No environment variable is touched, and other users of tiktoken in this process
find the vocabulary too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import shutil
import tempfile
import threading
import uuid
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

__all__ = ["bare_name", "encoding_name", "is_recent_openai", "load_encoding"]

_log = logging.getLogger(__name__)

_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
_SHIPPED = ("cl100k_base", "o200k_base")
_DOWNLOAD_S = 20.0
"""How long a first count waits for a download, which tiktoken starts without a time limit."""

_PREFIXES = ("openai:", "azure:", "azure_openai:", "anthropic:", "ft:")
_O200K = re.compile(
    r"(chatgpt-4o|codex-mini|computer-use-preview|gpt-(4o|4\.[1-9]|[5-9]|1\d)|gpt-oss|o[1-9])\b"
)
_RECENT = re.compile(r"(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-[5-9]|gpt-1\d|o[1-9])\b")
_CL100K = re.compile(r"(gpt-4|gpt-3\.5|gpt-35|text-embedding-(3|ada)|davinci-002|babbage-002)\b")

_loaded: dict[str, tiktoken.Encoding] = {}
_failed: set[str] = set()
_lock = threading.Lock()


def bare_name(model: str) -> str:
    """A model's name in lower case, without its provider and `ft:`.

    `openai/gpt-4o`, `azure:gpt-4o` and `ft:gpt-4o:org::id` begin with `gpt-4o`.
    """
    name = model.lower().rsplit("/", 1)[-1]
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def is_recent_openai(model: str) -> bool:
    """Whether it is a chat model of OpenAI's since GPT-4o: they cache prompts and take schemas."""
    return _RECENT.match(bare_name(model)) is not None


@lru_cache(maxsize=1024)
def encoding_name(model: str) -> str | None:
    """The name of the public encoding that `model` uses, or None when it has none.

    Matching is by family, so tomorrow's `gpt-5.9` needs no update.
    """
    name = bare_name(model)
    if _O200K.match(name):
        return "o200k_base"
    if _CL100K.match(name):
        return "cl100k_base"
    from tiktoken.model import MODEL_TO_ENCODING  # the retired completion models

    return MODEL_TO_ENCODING.get(name)


def load_encoding(name: str) -> tiktoken.Encoding | None:
    """The encoding from tiktoken's cache, a shipped copy or a download; None if all three fail.

    A failure is remembered for the life of the process and warned of once. Blocks for up to
    twenty seconds on a dead network; a download that ends later still serves later calls.
    """
    found = _loaded.get(name)
    if found is not None or name in _failed:
        return found
    with _lock:
        if name in _loaded or name in _failed:
            return _loaded.get(name)
        _seed(name)
        worker = threading.Thread(target=_load, args=(name,), daemon=True, name=f"tiktoken-{name}")
        worker.start()
        worker.join(_DOWNLOAD_S)
        if name not in _loaded:
            _failed.add(name)
            _log.warning(
                "The vocabulary %s is neither in tiktoken's cache (%s) nor shipped by an installed "
                "llama-index-core, and could not be downloaded: token counts for its models are "
                "estimates. Connect once, or set TIKTOKEN_CACHE_DIR to a folder that has it.",
                name,
                _cache_folder() or "switched off",
            )
        return _loaded.get(name)


def _load(name: str) -> None:
    """Let tiktoken find or download the vocabulary; runs in a thread of its own."""
    try:
        import tiktoken

        _loaded[name] = tiktoken.get_encoding(name)
    except Exception as error:  # noqa: BLE001 - requests, sockets, disks: all mean "not here"
        _log.debug("tiktoken could not load %s: %s", name, type(error).__name__)


def _cache_folder() -> Path | None:
    """Where tiktoken keeps vocabularies (tiktoken.load.read_file_cached); None if switched off."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        return Path(tempfile.gettempdir()) / "data-gym-cache"
    return Path(folder) if folder else None


def _seed(name: str) -> None:
    """Copy a shipped vocabulary into tiktoken's cache when it lacks one; best effort."""
    folder = _cache_folder()
    if name not in _SHIPPED or folder is None:
        return
    key = hashlib.sha1(_SOURCE.format(name=name).encode(), usedforsecurity=False).hexdigest()
    target = folder / key
    if target.exists():
        return
    for source in _shipped_copies(key):
        partial = folder / f"{key}.{uuid.uuid4()}.tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial)
            partial.replace(target)
        except OSError as error:
            _log.debug("could not copy %s into tiktoken's cache: %s", name, error)
            partial.unlink(missing_ok=True)
        else:
            return


def _shipped_copies(key: str) -> list[Path]:
    """Copies inside an installed llama-index-core, found without importing it."""
    spec = importlib.util.find_spec("llama_index")
    if spec is None or spec.submodule_search_locations is None:
        return []
    copies = (
        Path(folder) / "core" / "_static" / "tiktoken_cache" / key
        for folder in spec.submodule_search_locations
    )
    return [copy for copy in copies if copy.is_file()]
