"""Find the vocabulary that a model's tokenizer uses, and load it without a network.

tiktoken downloads a vocabulary on first use and keeps it in a cache folder. llama-index-core
ships the two that every current OpenAI model uses, under tiktoken's own file names. If the cache
lacks one of them, it is copied there first (copied, because tiktoken deletes a file that does not
match its hash). No environment variable is changed, and other users of tiktoken in this process
find the vocabulary too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_optimizers.connections.forks import Unforked
from llm_optimizers.events import Notice, emit
from llm_optimizers.memos import of_word
from llm_optimizers.shown import safe_logger

if TYPE_CHECKING:
    import tiktoken

__all__ = [
    "EncodingLoader",
    "bare_name",
    "encoding_loaded",
    "encoding_name",
    "is_recent_openai",
    "load_encoding",
]

_log = safe_logger(__name__)

_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
_SHIPPED = ("cl100k_base", "o200k_base")
_DOWNLOAD_S = 20.0
"""How long the first count waits for tiktoken's download, which has no time limit."""

_PREFIXES = ("openai:", "azure:", "azure_openai:", "anthropic:", "ft:")
_O200K = re.compile(
    r"(chatgpt-4o|codex-mini|computer-use-preview|gpt-(4o|4\.[1-9]|[5-9]|1\d)|gpt-oss|o[1-9])\b"
)
_RECENT = re.compile(r"(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-[5-9]|gpt-1\d|o[1-9])\b")
_CL100K = re.compile(r"(gpt-4|gpt-3\.5|gpt-35|text-embedding-(3|ada)|davinci-002|babbage-002)\b")


def bare_name(model: str) -> str:
    """Return a model's name in lower case, without its provider and `ft:`.

    For `openai/gpt-4o`, `azure:gpt-4o` and `ft:gpt-4o:org::id` the result starts with `gpt-4o`.
    """
    name = model.lower().rsplit("/", 1)[-1]
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def is_recent_openai(model: str) -> bool:
    """Return whether it is an OpenAI chat model since GPT-4o: these cache prompts, take schemas."""
    return _RECENT.match(bare_name(model)) is not None


@of_word(1024)
def encoding_name(model: str) -> str | None:
    """Return the name of the public encoding that `model` uses, or None if it has none.

    Models are matched by family, so a future `gpt-5.9` needs no update.
    """
    name = bare_name(model)
    if _O200K.match(name):
        return "o200k_base"
    if _CL100K.match(name):
        return "cl100k_base"
    from tiktoken.model import MODEL_TO_ENCODING  # the retired completion models

    return MODEL_TO_ENCODING.get(name)


class EncodingLoader:
    """Loads each encoding once; safe to share between threads.

    `shipped` returns the copies on this machine of a file in tiktoken's cache.
    """

    def __init__(self, shipped: Callable[[str], Sequence[Path]] | None = None) -> None:
        self._shipped = shipped or _shipped_copies
        self._loaded: dict[str, tiktoken.Encoding] = {}
        self._failed: set[str] = set()
        self._lock = Unforked()

    def loaded(self, name: str) -> bool:
        """Whether `load` returns at once: the encoding is in memory, or cannot be had."""
        return name in self._loaded or name in self._failed

    def load(self, name: str) -> tiktoken.Encoding | None:
        """Load an encoding from tiktoken's cache, a shipped copy or a download; None if all fail.

        A failure lasts for the life of the loader and is logged once. Without a network the first
        call blocks for up to twenty seconds; a download that ends later still serves later calls.
        """
        found = self._loaded.get(name)
        if found is not None or name in self._failed:
            return found
        with self._lock:
            if name in self._loaded or name in self._failed:
                return self._loaded.get(name)
            if name in _SHIPPED:
                _copy_into_cache(name, self._shipped)
            # A daemon, because tiktoken's download has no time limit.
            thread = threading.Thread(
                target=self._load, args=(name,), daemon=True, name=f"tiktoken-{name}"
            )
            thread.start()
            thread.join(_DOWNLOAD_S)
            found = self._loaded.get(name)
            if found is None:
                self._failed.add(name)
        if found is None:  # not with the lock, since a listener may count tokens
            message = (
                f"The vocabulary {name} is neither in tiktoken's cache "
                f"({_cache_folder() or 'disabled'}) nor shipped by an installed llama-index-core, "
                "and could not be downloaded: token counts for its models are estimates. Connect "
                "to the network once, or set TIKTOKEN_CACHE_DIR to a folder that contains it."
            )
            emit(Notice(component=__name__, message=message))
        return found

    def _load(self, name: str) -> None:
        try:
            import tiktoken

            self._loaded[name] = tiktoken.get_encoding(name)
        except Exception as error:  # noqa: BLE001 - any network or disk error: "not available"
            _log.debug("tiktoken could not load %s: %s", name, type(error).__name__)


def _cache_folder() -> Path | None:
    """Return tiktoken's cache folder (tiktoken.load.read_file_cached); None if it is disabled."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        return Path(tempfile.gettempdir()) / "data-gym-cache"
    return Path(folder) if folder else None


def _copy_into_cache(name: str, shipped: Callable[[str], Sequence[Path]]) -> None:
    """Copy a shipped vocabulary into tiktoken's cache if it is missing there; best effort."""
    folder = _cache_folder()
    if folder is None:
        return
    key = hashlib.sha1(_SOURCE.format(name=name).encode(), usedforsecurity=False).hexdigest()
    target = folder / key
    if target.exists():
        return
    for source in shipped(key):
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
    """Return the copies in an installed llama-index-core, without importing it."""
    spec = importlib.util.find_spec("llama_index")
    if spec is None or spec.submodule_search_locations is None:
        return []
    copies = (
        Path(folder) / "core" / "_static" / "tiktoken_cache" / key
        for folder in spec.submodule_search_locations
    )
    return [copy for copy in copies if copy.is_file()]


_loader = EncodingLoader()
"""The loader of this process."""
load_encoding, encoding_loaded = _loader.load, _loader.loaded
