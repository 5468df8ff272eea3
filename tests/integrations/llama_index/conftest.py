"""What every test of the LlamaIndex components gets: the process's globals as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from llama_index.core import Settings
from llama_index_instrumentation import get_dispatcher


@pytest.fixture(autouse=True)
def _globals_restored() -> Iterator[None]:
    root = get_dispatcher()
    handlers, spans, settings = list(root.event_handlers), list(root.span_handlers), vars(Settings)
    saved = dict(settings)
    yield
    root.event_handlers, root.span_handlers = handlers, spans
    settings.clear()
    settings.update(saved)
