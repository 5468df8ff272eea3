"""Pickled components of a program's own classes, and those that were changed after creation."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

import langchain_llm_optimizers as lc
import llama_index_llm_optimizers as li
from llm_optimizers import errors
from llm_optimizers.caching import ResponseCache
from llm_optimizers.costs import Ledger, ModelPrice, PriceBook, Usage
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.drift import DriftAlarm
from llm_optimizers.prompts import History, Summariser
from llm_optimizers.routing import Always, Health, Router, RoutingContext, UserTier
from llm_optimizers.types import ChatRequest, Message
from support import travellers
from support.llama_fakes import FakeLLM
from support.travellers import answer_of_llm, answer_of_model, fake

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
PRICES = PriceBook({"own": ModelPrice(input=Decimal(3), output=Decimal(4))})


def again(component: Any) -> Any:
    return pickle.loads(pickle.dumps(component))


def noted(ledger: Ledger) -> list[str]:
    return [note.id for note in ledger.notes("seen")]


class FolderLedger(Ledger):
    """Its `path` is the folder of the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path / "costs.sqlite")


class TeamLedger(Ledger):
    """Its `prices` are a name of a file."""

    def __init__(self, folder: Path, prices: str) -> None:
        super().__init__(folder / f"{prices}.sqlite", prices=PRICES)


class PassedOn(Ledger):
    """Gives on what it gets, and counts."""

    made = 0

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        type(self).made += 1


class Named(Ledger):
    """Gives its path on as it is."""

    def __init__(self, path: str = "costs.sqlite", /, *labels: str, team: str = "") -> None:
        super().__init__(path)
        self.labels, self.team = labels, team


class TeamCache(lc.HybridCache):
    """A cache with other names for its settings."""

    def __init__(self, team: str, *, path: Path | None = None, **settings: Any) -> None:
        super().__init__(path=path and path / f"{team}.sqlite", namespace=team, **settings)


class TeamLLM(li.CachedLLM):
    """An LLM with arguments of its own."""

    team: str

    def __init__(self, team: str, **settings: Any) -> None:
        llm, cache = MockLLM(), li.HybridCache(namespace=team, semantic=False)
        super().__init__(llm, cache, team=team, **settings)


class TeamHandler(li.CostEventHandler):
    """A handler with an argument of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Ledger(folder / "costs.sqlite"))


class OneNodeEngine(li.CachedQueryEngine):
    """An engine with an argument of its own."""

    def __init__(self, question: str) -> None:
        super().__init__(RetrieverQueryEngine.from_args(travellers.OneNode(), llm=MockLLM()))
        self.question = question


class TestArgumentsOfItsOwn:
    def test_an_argument_of_the_same_name_may_mean_something_else(self, tmp_path: Path) -> None:
        for ledger in (FolderLedger(tmp_path / "folder"), TeamLedger(tmp_path, "acme")):
            copied = again(ledger)
            copied.note("seen", {}, id="one")
            assert noted(ledger) == ["one"]
            assert copied.dropped == 0

    @pytest.mark.parametrize(
        "make",
        [
            lambda: PassedOn("costs.sqlite"),
            lambda: PassedOn(path="costs.sqlite"),
            lambda: Named("costs.sqlite", "a", "b", team="t"),
            Named,
        ],
        ids=["positional", "by name", "positional only", "by default"],
    )
    def test_a_relative_path_that_is_given_on_means_the_same_file_elsewhere(
        self, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ledger, elsewhere = make(), tmp_path / "elsewhere"
        sent = pickle.dumps(ledger)
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        copied = pickle.loads(sent)
        copied.note("seen", {}, id="one")
        assert noted(ledger) == ["one"]
        assert getattr(copied, "labels", ()) == getattr(ledger, "labels", ())
        assert getattr(copied, "team", "") == getattr(ledger, "team", "")

    def test_settings_that_are_given_on_travel(self, tmp_path: Path) -> None:
        cache = again(TeamCache("acme", path=tmp_path, semantic=False, ttl="1h"))
        answer_of_model(lc.CachedChatModel(model=fake(), cache=cache), "a")
        assert cache.responses.tenant() == TeamCache("acme").responses.tenant()
        assert [each.name for each in tmp_path.glob("*.sqlite")] == ["acme.sqlite"]

    def test_an_llm_a_handler_and_an_engine_of_a_programs_own(self, tmp_path: Path) -> None:
        llm = again(TeamLLM("acme", system_prompt="Be brief."))
        assert (llm.team, llm.system_prompt) == ("acme", "Be brief.")
        assert llm.cache.tenant() == TeamLLM("acme").cache.tenant()
        handler = TeamHandler(tmp_path)
        with again(handler) as copied:
            FakeLLM().chat([ChatMessage("a")])
        assert type(copied) is TeamHandler
        assert len(list(handler.ledger.records())) == 1
        engine = OneNodeEngine("How long?")
        first = str(engine.query("How long?"))
        for other in (again(engine), copy.copy(engine), copy.deepcopy(engine)):
            assert other.question == "How long?"
            assert str(other.query(other.question)) == first
        assert copy.copy(engine).cache is engine.cache
        assert copy.deepcopy(engine).cache is engine.cache


class TestChangedLater:
    def test_a_ledgers_prices(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path / "costs.sqlite")
        ledger.prices = PRICES
        usage = Usage(input_tokens=10)
        assert again(ledger).prices.cost(usage, "own") == PRICES.cost(usage, "own")

    def test_a_history(self) -> None:
        history = History()
        history.keep, history.every, history.summary_tokens = 2, 3, 9
        history.summariser = Summariser(model=SMALL, call=str)
        copied = again(history)
        assert (copied.keep, copied.every, copied.summary_tokens) == (2, 3, 9)
        assert copied.summariser == history.summariser

    def test_a_router(self) -> None:
        router = Router([SMALL, LARGE])
        router.policy, router.clock = Always(SMALL), travellers.clock
        router.tiers, router.health = {"gold": UserTier(floor=LARGE)}, Health(cooldown_s=7)
        copied = again(router)
        request = ChatRequest(messages=(Message(role="user", content="a"),), model=SMALL)
        assert copied.decide(request).choice.model == SMALL
        assert copied.decide(request, RoutingContext(tier="gold")).model == LARGE
        assert copied.clock is travellers.clock
        copied.health.failed(SMALL, now=0)
        assert copied.health.cooling(now=1) == {SMALL: 6}

    def test_a_setting_that_cannot_travel_is_named(self) -> None:
        router = Router([SMALL])
        router.policy = lambda _: None
        with pytest.raises(ConfigurationError, match=r"Router\.policy .*<lambda>"):
            pickle.dumps(router)

    def test_the_ledger_of_a_langchain_cache(self, tmp_path: Path) -> None:
        cache = lc.HybridCache()
        cache.ledger = Ledger(tmp_path / "costs.sqlite")
        again(cache).ledger.note("seen", {}, id="one")
        assert noted(cache.ledger) == ["one"]

    def test_how_langchain_calls_a_handler(self, tmp_path: Path) -> None:
        handler = lc.CostCallbackHandler(Ledger(tmp_path / "costs.sqlite"))
        handler.raise_error = handler.run_inline = True
        copied = again(handler)
        assert copied.raise_error
        assert copied.run_inline

    def test_an_llms_own_settings(self) -> None:
        llm = li.BatchedLLM(li.CachedLLM(FakeLLM()))
        llm.temperature, llm.timeout, llm.combine = 0.5, 7.0, True
        copied = again(llm)
        assert (copied.temperature, copied.timeout, copied.combine) == (0.5, 7.0, True)
        assert copied.llm.llm.temperature == 0.5

    def test_a_list_that_its_owner_changes_afterwards(self) -> None:
        models, tiers = [SMALL, LARGE], {"gold": UserTier(floor=LARGE)}
        router = Router(models, tiers=tiers)
        models.append("gpt-4.1")
        tiers.clear()
        copied = again(router)
        assert [spec.name for spec in copied.model_tiers.specs] == [SMALL, LARGE]
        assert copied.tiers == router.tiers


def test_an_iterator_that_was_read_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="`edges` is a list_iterator; give a list"):
        pickle.dumps(DriftAlarm(iter([1.0, 2.0])))  # type: ignore[arg-type]


class TestAnotherVersion:
    def test_an_argument_that_the_class_no_longer_takes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent = pickle.dumps(ResponseCache(ttl=5))

        def older(self: Any, *, path: Path | None = None, namespace: str | None = None) -> None:
            """Without a `ttl`."""

        monkeypatch.setattr(ResponseCache, "__init__", older)
        with pytest.raises(ConfigurationError, match=r"ResponseCache .*version.*'ttl'"):
            pickle.loads(sent)

    @pytest.mark.parametrize(
        "wrapper", [li.CachedLLM(MockLLM()), lc.CachedChatModel(model=fake())], ids=["li", "lc"]
    )
    def test_a_field_that_the_class_no_longer_has(self, wrapper: Any) -> None:
        state: Mapping[str, Any] = wrapper.__getstate__()
        older = type(wrapper).__new__(type(wrapper))
        with pytest.raises(ConfigurationError, match=r"Cached.* version .*with strictness"):
            older.__setstate__({**state, "__dict__": {**state["__dict__"], "strictness": 2}})

    def test_a_field_that_the_class_did_not_have(self) -> None:
        llm = li.RoutedLLM({"a": MockLLM(), "b": MockLLM()})
        state: Mapping[str, Any] = llm.__getstate__()
        fields = {name: each for name, each in state["__dict__"].items() if name != "deadline_s"}
        newer = type(llm).__new__(type(llm))
        newer.__setstate__({**state, "__dict__": fields})
        assert newer.deadline_s is None
        assert "Hello" in answer_of_llm(newer, "Hello")[0]


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_of_a_worker_arrives_whole(name: str) -> None:
    kind = getattr(errors, name)
    named = inspect.signature(kind.__init__).parameters.values()
    given = {each.name: "x" for each in named if each.kind is each.KEYWORD_ONLY}
    error = kind("what happened", **given)
    for copied in (again(error), copy.copy(error)):
        assert type(copied) is kind
        assert str(copied) == "what happened"
        assert vars(copied) == vars(error) == given
