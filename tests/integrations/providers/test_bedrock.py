"""What only Bedrock has: guardrails, service tiers, streams that break, a cookie among headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from llama_index_llm_optimizers import CachedLLM
from support.provider_servers.base import ProviderServer
from support.provider_servers.bedrock import BEDROCK

pytestmark = [
    pytest.mark.providers,
    pytest.mark.loopback,
    pytest.mark.parametrize("provider", [BEDROCK], ids=str),
]
QUESTION = [ChatMessage("How is the weather in Ulm?")]
Maker = Callable[..., Any]


def test_a_stream_that_a_guardrail_may_have_cut_is_not_stored(
    made: Maker, server: ProviderServer
) -> None:
    guarded = {"guardrail_identifier": "guard", "guardrail_version": "1"}
    llm = CachedLLM(made("llama-index", **guarded))
    for _ in range(2):
        list(llm.stream_chat(QUESTION))
    assert len(server.requests) == 2
    for _ in range(2):  # A whole answer says whether the guardrail intervened.
        llm.chat(QUESTION)
    assert len(server.requests) == 3
