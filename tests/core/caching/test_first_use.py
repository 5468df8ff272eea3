"""What a cache loads on first use is loaded off the event loop, and `warm_up` loads it before."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, threading
from llm_optimizers.caching import ResponseCache
from llm_optimizers.caching.matching import text_features, vocabulary
from llm_optimizers.embeddings import static
from llm_optimizers.types import ChatRequest, Message

loaded = []
def noting(module, name):
    real = getattr(module, name)
    def wrapper(*args):
        loaded.append((name, threading.current_thread() is threading.main_thread()))
        return real(*args)
    setattr(module, name, wrapper)
noting(static, "_read")
noting(vocabulary, "read_groups")

def request(text):
    return ChatRequest(messages=(Message(role="user", content=text),))

async def main():
    cache = ResponseCache()
    WARM
    for text in ("How do I return worn boots?", "How may I return worn boots?"):
        if await cache.alookup(request(text)) is None:
            await cache.aupdate(request(text), "an answer")
    assert text_features.loads_words("How do I return worn boots?") is False

asyncio.run(main())
print(sorted(set(loaded)))
"""


@pytest.mark.parametrize(
    ("warm", "expected"),
    [
        ("pass", "[('_read', False), ('read_groups', False)]"),
        ("await cache.awarm_up()", "[('_read', False), ('read_groups', False)]"),
        ("cache.warm_up()", "[('_read', True), ('read_groups', True)]"),
    ],
)
def test_models_and_word_lists_are_loaded_off_the_loop(warm: str, expected: str) -> None:
    script = SCRIPT.replace("WARM", warm)
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == expected
