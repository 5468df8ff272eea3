"""Which of a component's fields are part of a key."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field, PrivateAttr, SecretStr

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.fingerprint import digest_of_read, settings_of
from support.ids import steady_id


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
    tone: str = Field(default="", exclude=True)
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
        ({"tone": "formal"}, True),
        ({"http_client": SimpleNamespace(headers={"User-Agent": "b"})}, False),
        ({"http_client": SimpleNamespace(headers={"X-Route": "b"})}, True),
        ({"http_client": SimpleNamespace(base_url="http://b")}, True),
        ({"http_client": SimpleNamespace(base_url=object(), headers=object())}, False),
    ],
)
def test_what_affects_an_answer_counts(settings: dict[str, Any], counts: bool) -> None:
    assert (known(**settings) != known()) == counts


class Configured(BaseModel):
    """A model that keeps its configuration in private attributes, as some integrations do."""

    _config: Any = PrivateAttr(default=None)
    _asked: int = PrivateAttr(default=0)
    _api_key: str = PrivateAttr(default="a")

    def set(self, **values: Any) -> Configured:
        for name, value in values.items():
            setattr(self, f"_{name}", value)
        return self


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"config": {"system_instruction": "Be short."}}, True),
        ({"config": "formal"}, True),
        ({"config": True}, True),
        ({"config": ["a request that was made"]}, False),
        ({"config": {"client": threading.Lock()}}, False),
        ({"config": np.zeros(3)}, False),
        ({"asked": 3}, False),
        ({"api_key": "b"}, False),
    ],
    ids=steady_id,
)
def test_private_settings_count_and_private_state_does_not(
    settings: dict[str, Any], counts: bool
) -> None:
    one, other = settings_of(Configured()), settings_of(Configured().set(**settings))
    assert (one != other) == counts


def model_class(text: str, *, constant: bool) -> type[BaseModel]:
    """Define a class again, as a notebook's cell does."""
    if constant:
        source = f"def answer(self):\n    return {text!r}, 1"
        space: dict[str, Any] = {}
        exec(source, space)
        answer = space["answer"]
    else:

        def answer(self: Any) -> str:
            return text

    members = {"answer": answer, "__module__": __name__, "__qualname__": "Mine"}
    return type("Mine", (BaseModel,), members)


@pytest.mark.parametrize("constant", [True, False])
def test_a_class_of_the_user_s_is_known_by_its_code(constant: bool) -> None:
    one, same, other = (model_class(text, constant=constant) for text in ("a", "a", "b"))
    assert settings_of(one()) == settings_of(same())
    assert settings_of(one()) != settings_of(other())


def test_a_field_to_skip_does_not_count() -> None:
    one, other = (settings_of(Model(name=name), skip=["name"]) for name in "ab")
    assert one == other


def test_a_field_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^Model\.grammar: "):
        known(grammar=threading.Lock())


def test_an_object_without_attributes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="list_iterator"):
        settings_of(iter([1]))
