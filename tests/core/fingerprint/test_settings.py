"""Which of a component's fields are part of a key."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest_of_read, settings_of


class Model(BaseModel):
    """A model of a framework's."""

    name: str = "m"
    eos_token: str = "<s>"
    api_key: str = "a"
    openai_api_key: SecretStr = SecretStr("a")
    hub_token: SecretStr = SecretStr("a")
    persona: SecretStr = SecretStr("a")
    timeout: float = 1.0
    grammar: Any = None
    counted: int = Field(default=0, exclude=True)
    http_client: Any = Field(default=None, exclude=True)


def known(**settings: Any) -> str:
    return digest_of_read(settings_of(Model(**settings)))


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"name": "n"}, True),
        ({"eos_token": "</s>"}, True),
        ({"persona": SecretStr("b")}, True),
        ({"grammar": "g"}, True),
        ({"api_key": "b"}, False),
        ({"openai_api_key": SecretStr("b")}, False),
        ({"hub_token": SecretStr("b")}, False),
        ({"timeout": 2.0}, False),
        ({"grammar": iter("used up when read")}, False),
        ({"counted": 1}, False),
        ({"http_client": SimpleNamespace(headers={"User-Agent": "b"})}, False),
        ({"http_client": SimpleNamespace(headers={"X-Route": "b"})}, True),
        ({"http_client": SimpleNamespace(base_url="http://b")}, True),
        ({"http_client": SimpleNamespace(base_url=object(), headers=object())}, False),
    ],
)
def test_what_affects_an_answer_counts(settings: dict[str, Any], counts: bool) -> None:
    assert (known(**settings) != known()) == counts


def test_a_field_to_skip_does_not_count() -> None:
    one, other = (settings_of(Model(name=name), skip=["name"]) for name in "ab")
    assert one == other


def test_a_field_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^Model\.grammar: "):
        known(grammar=threading.Lock())


def test_an_object_without_attributes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="list_iterator"):
        settings_of(iter([1]))
