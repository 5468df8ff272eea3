"""A provider for notebooks and trials that needs no key: the shipped day's answers over HTTP."""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from llm_optimizers.cli.replaying.log import day_log
from llm_optimizers.cli.replaying.server import AnswerSheet, serving
from llm_optimizers.prompts import TokenCounter

__all__ = ["recorded_provider"]


def recorded_provider(*, cheap_models: Iterable[str] = ()) -> dict[str, Any]:
    """Start the provider until the process ends; gives `ChatOpenAI`'s settings to reach it.

    `cheap_models` answer as a cheap model did that day: wrongly now and then.
    """
    stack = ExitStack()
    sheet = AnswerSheet(day_log().requests, TokenCounter(), cheap_models=frozenset(cheap_models))
    url = stack.enter_context(serving(sheet))
    atexit.register(stack.close)
    return {"base_url": url, "api_key": "recorded"}
