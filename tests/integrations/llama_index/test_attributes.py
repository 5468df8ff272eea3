"""What is set on a wrapper, or on a copy of it, is set on the LLM that gets the request."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.llm import LLM
from llama_index.llms.openai import OpenAI

from llama_index_llm_optimizers import (
    BatchedLLM,
    CachedLLM,
    HybridCache,
    PromptOptimizingLLM,
    RoutedLLM,
)
from llm_optimizers.errors import ConfigurationError
from support.llama_fakes import FakeLLM, PlainLLM

ASKED = [ChatMessage("How old is Ulm?")]
ANSWERED: list[tuple[str, float]] = []


class Told(OpenAI):
    """Answers with its own settings."""

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        ANSWERED.append((self.model, self.temperature))
        return FakeLLM().chat([ChatMessage(f"{self.model} at {self.temperature}")])


def told(**settings: Any) -> Told:
    return Told(**{"model": "gpt-4o", "api_key": "x", "temperature": 0.1, **settings})


WRAPPERS: dict[str, Callable[[Any], LLM]] = {
    "cached": lambda llm: CachedLLM(llm, HybridCache(semantic=False)),
    "optimizing": PromptOptimizingLLM,
    "batched": BatchedLLM,
    "routed": lambda llm: RoutedLLM({"a": llm, "b": llm.model_copy()}, safe="a"),
    "stack": lambda llm: CachedLLM(
        RoutedLLM({"a": PromptOptimizingLLM(BatchedLLM(llm))}), HybridCache(semantic=False)
    ),
}


@pytest.fixture(params=WRAPPERS)
def wrap(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    ANSWERED.clear()
    return WRAPPERS[request.param]


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_with_other_settings_asks_with_them(wrap: Callable[[Any], Any], deep: bool) -> None:
    llm = wrap(told())
    llm.chat(ASKED)
    other = llm.model_copy(update={"temperature": 0.9, "model": "gpt-4.1"}, deep=deep)
    other.chat(ASKED)
    llm.model_copy().chat([ChatMessage("How big is Ulm?")])
    assert ANSWERED == [("gpt-4o", 0.1), ("gpt-4.1", 0.9), ("gpt-4o", 0.1)]
    assert (other.model, other.temperature, other.metadata.model_name) == (
        "gpt-4.1",
        0.9,
        "gpt-4.1",
    )
    assert (llm.model, llm.temperature) == ("gpt-4o", 0.1)
    assert type(other) is type(llm)
    other.model_copy().chat([ChatMessage("How small is Ulm?")])
    assert ANSWERED[-1] == ("gpt-4.1", 0.9)


def test_a_copy_with_another_llm_asks_that_one() -> None:
    first, second = told(), told(model="gpt-4.1")
    for llm in (CachedLLM(first), PromptOptimizingLLM(first), BatchedLLM(first)):
        other = llm.model_copy(update={"llm": second, "system_prompt": "Be brief."})
        assert other.llm is second
        assert (other.system_prompt, llm.llm) == ("Be brief.", first)
    both = CachedLLM(first).model_copy(update={"llm": second, "temperature": 0.9})
    assert (both.llm.model, both.llm.temperature, second.temperature) == ("gpt-4.1", 0.9, 0.1)  # type: ignore[attr-defined]


def test_a_wrappers_own_field_is_updated_on_it_and_one_of_a_wrapper_inside_on_that() -> None:
    batched = BatchedLLM(told(timeout=9.0), timeout=3.0)
    assert batched.model_copy(update={"timeout": 4.0}).timeout == 4.0
    outer = CachedLLM(batched)
    other = outer.model_copy(update={"timeout": 5.0, "combine": True})
    assert (other.timeout, other.llm.timeout, other.llm.combine) == (5.0, 3.0, True)  # type: ignore[attr-defined]
    assert (outer.timeout, batched.combine) == (9.0, False)  # type: ignore[attr-defined]


def test_a_copy_with_another_callback_manager_leaves_the_llm_its_own() -> None:
    inner, manager = told(), CallbackManager()
    outer = CachedLLM(BatchedLLM(inner))
    other: Any = outer.model_copy(update={"callback_manager": manager})
    for each in (other, other.llm, other.llm.llm):
        assert each.callback_manager is manager
    for each in (outer, outer.llm, inner):
        assert each.callback_manager is not manager


def test_a_setting_that_some_llms_of_a_router_lack_is_refused() -> None:
    llm = RoutedLLM({"a": told(), "b": PlainLLM()}, safe="a")
    with pytest.raises(ConfigurationError, match=r"PlainLLM has no 'temperature'.*RoutedLLM"):
        llm.model_copy(update={"temperature": 0.9})


def test_a_routers_copy_updates_all_its_models() -> None:
    llm = RoutedLLM({"a": told(), "b": told()}, safe="a")
    other: Any = llm.model_copy(update={"model": "gpt-4.1"})
    assert [each.model for each in other.models.values()] == ["gpt-4.1", "gpt-4.1"]
    assert [each.model for each in llm.models.values()] == ["gpt-4o", "gpt-4o"]  # type: ignore[attr-defined]


def test_a_value_set_on_a_copy_is_asked_with(wrap: Callable[[Any], Any]) -> None:
    llm = wrap(told())
    llm.chat(ASKED)
    again = copy.deepcopy(llm)
    if len(getattr(llm, "models", [0])) == 1:
        again.temperature = 0.9
        again.chat(ASKED)
        assert ANSWERED == [("gpt-4o", 0.1), ("gpt-4o", 0.9)]
    assert llm.temperature == 0.1


def test_a_routers_llms_may_be_set_to_what_they_have() -> None:
    llm: Any = RoutedLLM({"a": told(), "b": CachedLLM(told())})
    llm.temperature = 0.1
    llm.models["b"].temperature = 0.2
    for value in (0.1, 0.2):
        with pytest.raises(ConfigurationError, match=r"temperature .*RoutedLLM.*model_copy"):
            llm.temperature = value


def test_what_is_deleted_of_a_wrapper_is_deleted_of_its_only_llm() -> None:
    inner = told()
    llm: Any = CachedLLM(BatchedLLM(inner))
    del llm.temperature
    assert not hasattr(inner, "temperature")
    with pytest.raises(AttributeError):
        del llm.temperature
    routed: Any = RoutedLLM({"a": told(), "b": told()})
    with pytest.raises(ConfigurationError, match=r"temperature .*RoutedLLM.*delete it"):
        del routed.temperature
    assert routed.temperature == 0.1
    own: Any = CachedLLM(told())
    del own.system_prompt
    assert own.llm.system_prompt is None


def test_dir_names_what_can_be_read_of_the_llm(wrap: Callable[[Any], Any]) -> None:
    llm = wrap(told())
    public = {name for name in dir(told()) if not name.startswith("_")}
    assert {"temperature", "model", "api_key"} <= public <= set(dir(llm))
    assert {"chat", "callback_manager"} <= set(dir(llm))
    half = type(llm).__new__(type(llm))
    assert "temperature" not in dir(half)
    assert "combine" in dir(CachedLLM(BatchedLLM(told())))
