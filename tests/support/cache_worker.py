"""Fill a cache file: `cache_worker.py PATH NAME COUNT`; print each number once it is stored."""

from __future__ import annotations

import sys

from llm_optimizers.caching import ResponseCache
from llm_optimizers.types import ChatRequest


def asked(name: str, number: int) -> ChatRequest:
    text = f"What does article {number} of {name} cost?"
    return ChatRequest.from_openai({"messages": [{"role": "user", "content": text}]})


def main(path: str, name: str, count: int) -> None:
    cache: ResponseCache[str] = ResponseCache(path=path)
    for number in range(count):
        cache.answer(asked(name, number), lambda number=number: f"{name} {number}")
        if cache.stats.stored == number + 1:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
    cache.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
