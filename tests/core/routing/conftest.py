"""Three models with their prices, and requests to route between them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from llm_optimizers.costs import ModelPrice, PriceBook
from llm_optimizers.types import ChatRequest, Message

SMALL, MIDDLE, LARGE = "small", "middle", "large"


def price(per_million: str, **more: str) -> ModelPrice:
    amount = Decimal(per_million)
    return ModelPrice(
        input=amount, output=amount * 4, **{name: Decimal(value) for name, value in more.items()}
    )


@pytest.fixture
def prices() -> PriceBook:
    return PriceBook({SMALL: price("0.1"), MIDDLE: price("1"), LARGE: price("10")})


@pytest.fixture
def ask() -> Callable[..., ChatRequest]:
    def make(*texts: str, **params: Any) -> ChatRequest:
        """Return a conversation of user and assistant messages in turn, the user's first."""
        roles = ("user", "assistant")
        messages = tuple(
            Message(role=roles[i % 2], content=text)  # type: ignore[arg-type]
            for i, text in enumerate(texts or ("What is two and two?",))
        )
        return ChatRequest(messages=messages, params=params)

    return make
