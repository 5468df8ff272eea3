"""`ChatModelRouter`: tools, structured output, streams, caches, errors and records."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_llm_optimizers import (
    CachedChatModel,
    ChatModelRouter,
    CostCallbackHandler,
    HybridCache,
    OptimizedChatModel,
)
from langchain_llm_optimizers.attempts import REPLY_READER
from llm_optimizers.costs import Ledger, ModelPrice, PriceBook
from llm_optimizers.errors import ConfigurationError, InterruptedStreamError, NoModelFitsError
from llm_optimizers.evidence import SampleStore, read_traffic
from llm_optimizers.routing import Always, FirstOf, KeywordPolicy, ModelSpec, UserTier, Weighted
from llm_optimizers.routing.policies.cascade import CascadePolicy
from support.fakes import StreamingFake

SMALL, LARGE = "tiny-model", "huge-model"
COUNTS = {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1}
KEYWORDS = KeywordPolicy(weak="small", strong="large", threshold=1)


def a_price(amount: int) -> ModelPrice:
    return ModelPrice(input=Decimal(amount), output=Decimal(amount))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(prices=PriceBook({SMALL: a_price(1), LARGE: a_price(10)}))


def children(**settings: Any) -> dict[str, StreamingFake]:
    return {
        "small": StreamingFake(model=SMALL, **settings.get("small", {})),
        "large": StreamingFake(model=LARGE, **settings.get("large", {})),
    }


def routed(policy: Any = KEYWORDS, models: Any = None, **settings: Any) -> ChatModelRouter:
    return ChatModelRouter(models=models or children(), policy=policy, **settings)


class OverloadedError(Exception):
    status_code = 429


def overloaded(_: str) -> BaseException:
    return OverloadedError("slow down")


class Mirrored(StreamingFake):
    """A model whose structured output is its own: the numbers change places."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        def mirrored(found: Any) -> Any:
            point = found["parsed"] if kwargs else found
            turned = Point(x=point.y, y=point.x)
            return {**found, "parsed": turned} if kwargs else turned

        return super().with_structured_output(schema, **kwargs) | RunnableLambda(mirrored)


EASY, HARD = "What is the capital?", "Prove it step by step."


def test_each_question_goes_to_the_model_that_the_policy_chooses():
    model = routed()
    assert model.invoke(EASY).text.startswith(SMALL)
    assert model.invoke(HARD).text.startswith(LARGE)


async def test_every_way_of_calling_is_routed():
    model = routed()
    assert (await model.ainvoke(HARD)).text.startswith(LARGE)
    assert "".join(c.text for c in model.stream(HARD)).startswith(LARGE)
    assert "".join([c.text async for c in model.astream(EASY)]).startswith(SMALL)
    both = model.batch([EASY, HARD])
    assert [m.text.split()[0] for m in both] == [SMALL, LARGE]
    both = await model.abatch([EASY, HARD])
    assert [m.text.split()[0] for m in both] == [SMALL, LARGE]
    result = model.generate([[HumanMessage(EASY)], [HumanMessage(HARD)]])
    assert [g[0].text.split()[0] for g in result.generations] == [SMALL, LARGE]


def test_in_a_chain():
    chain = ChatPromptTemplate.from_template("Prove {thing}.") | routed() | StrOutputParser()
    assert chain.invoke({"thing": "it"}).startswith(LARGE)
    assert "".join(chain.stream({"thing": "it"})).startswith(LARGE)


def test_a_call_is_one_run_with_the_childs_name(ledger):
    costs = CostCallbackHandler(ledger)
    routed().invoke(EASY, config={"callbacks": [costs]})
    (record,) = ledger.records()
    assert record.model == SMALL
    assert record.baseline_model == LARGE
    assert record.savings[0].strategy == "routing"
    assert record.saved == 9 * record.cost


def test_a_decision_names_the_calls_made_for_it(ledger):
    costs = CostCallbackHandler(ledger)
    model = routed(ledger=ledger)
    message = model.invoke(EASY, config={"callbacks": [costs], "metadata": {"user": "u1"}})
    (note,) = ledger.notes("routing.decision")
    (record,) = ledger.records()
    assert note.payload["attempts"][0]["call_id"] == record.id
    assert note.payload["user"] == "u1"
    assert message.response_metadata["llm_optimizers"]["decision_id"] == note.payload["decision_id"]
    assert "capital" not in str(note.payload)


def test_a_given_run_id_is_used(ledger):
    from uuid import uuid4

    costs, mine = CostCallbackHandler(ledger), uuid4()
    routed().invoke(EASY, config={"callbacks": [costs], "run_id": mine})
    assert [r.id for r in ledger.records()] == [str(mine)]


def test_models_by_name_and_without_names(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    model = ChatModelRouter(models=["openai:gpt-4o-mini", "openai:gpt-4o"])
    assert list(model.models) == ["openai:gpt-4o-mini", "openai:gpt-4o"]
    assert model.router.safe == "openai:gpt-4o"
    specs = model.router.model_tiers.specs
    assert [s.priced_as for s in specs] == ["gpt-4o-mini", "gpt-4o"]
    assert all(s.rates(PriceBook()) is not None for s in specs)
    fakes = ChatModelRouter(models=[StreamingFake(model=SMALL), StreamingFake(model=LARGE)])
    assert list(fakes.models) == [SMALL, LARGE]


def test_conflicting_settings_are_rejected():
    with pytest.raises(ConfigurationError, match="no model 'medium'"):
        routed(Always("medium"))
    with pytest.raises(ConfigurationError, match="not int"):
        ChatModelRouter(models=[3])


@tool
def magic(number: int) -> int:
    """Do magic with a number."""
    return number + 2


class OtherFormatFake(StreamingFake):
    """A provider with its own format for tools."""

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(griddle=[t.name for t in tools], **kwargs)

    def _message(self, text: str, messages: list[Any], kwargs: dict[str, Any]) -> AIMessage:
        assert "tools" not in kwargs
        return AIMessage(content=f"griddle {kwargs.get('griddle')}")


def test_tools_are_bound_in_the_format_of_the_chosen_child():
    models = {"small": OtherFormatFake(model=SMALL), "large": StreamingFake(model=LARGE)}
    model = routed(models=models).bind_tools([magic])
    assert model.invoke("Is it Tuesday?").text == "griddle ['magic']"
    (call,) = model.invoke("Prove that magic of 3").tool_calls
    assert call["name"] == "magic"
    assert call["args"] == {"number": 3}


class Point(BaseModel):
    """A point."""

    x: int
    y: int


def test_structured_output_uses_the_chosen_child():
    model = routed().with_structured_output(Point)
    assert model.invoke("Prove 3 and 4") == Point(x=3, y=4)
    assert model.invoke("plain 5 and 6") == Point(x=5, y=6)
    assert list(model.stream("plain 5 and 6"))[-1] == Point(x=5, y=6)
    raw = routed().with_structured_output(Point, include_raw=True).invoke("plain 7 8")
    assert raw["parsed"] == Point(x=7, y=8)
    assert raw["raw"].tool_calls


async def test_structured_output_asynchronously():
    model = routed().with_structured_output(Point)
    assert await model.ainvoke("plain 5 and 6") == Point(x=5, y=6)


@pytest.mark.parametrize("wrap", [lambda model: model, CachedChatModel], ids=["bare", "cached"])
def test_structured_output_through_a_router_inside_a_router(wrap: Any) -> None:
    # Both routers use the same names, so that a mark read at the wrong level would show.
    inner = routed(Always("small"), {"small": Mirrored(), "large": StreamingFake()})
    outer = wrap(routed(Always("large"), {"small": StreamingFake(), "large": wrap(inner)}))
    for kwargs in ({}, {"include_raw": True}):
        for question in ("plain 5 and 6", "plain 5 and 6"):
            found = outer.with_structured_output(Point, **kwargs).invoke(question)
            assert (found["parsed"] if kwargs else found) == Point(x=6, y=5)
    mark = outer.invoke("hi").response_metadata["llm_optimizers"]
    assert (mark["routed"], mark["inner"]["routed"]) == ("large", "small")


def test_a_tool_result_goes_to_the_model_inside_the_inner_router_that_called_the_tool() -> None:
    small, large = StreamingFake(model=SMALL), StreamingFake(model=LARGE)
    inner = routed(KEYWORDS, {"small": small, "large": large})
    outer = routed(Always("large"), {"small": StreamingFake(), "large": inner})
    model = outer.bind_tools([Point])
    asked = HumanMessage("What is the weather in 3 and 4?")
    answer = model.invoke([asked])
    (call,) = answer.tool_calls
    result = ToolMessage("Prove it step by step.", tool_call_id=call["id"])
    again = model.invoke([asked, answer, result]).response_metadata["llm_optimizers"]
    assert again["inner"]["routed"] == "small"
    assert (len(small.calls), len(large.calls)) == (2, 0)


def test_a_childs_own_cache_works():
    models = children(small={"cache": HybridCache()})
    model = routed(models=models)
    first, second = model.invoke(EASY), model.invoke(EASY)
    assert first.text == second.text
    assert len(models["small"].calls) == 1
    assert second.response_metadata["llm_optimizers"]["routed"] == "small"


def test_a_failing_child_is_replaced(ledger):
    models = children(small={"fail": overloaded})
    model = routed(Always("small"), models, ledger=ledger)
    assert model.invoke(EASY).text.startswith(LARGE)
    assert "".join(c.text for c in model.stream(EASY)).startswith(LARGE)
    # By the second call the circuit breaker of the small model is open.
    assert len(models["small"].calls) == 1


def test_a_stream_that_fails_before_its_first_chunk_is_replaced():
    model = routed(Always("small"), children(small={"fail": overloaded}))
    assert "".join(c.text for c in model.stream(EASY)).startswith(LARGE)


async def test_an_asynchronous_stream_that_fails_early_is_replaced():
    model = routed(Always("small"), children(small={"fail": overloaded}))
    assert "".join([c.text async for c in model.astream(EASY)]).startswith(LARGE)


class Breaking(StreamingFake):
    """Breaks after two chunks."""

    def _chunks(self, messages: Any, kwargs: Any) -> Any:
        return itertools.chain(super()._chunks(messages, kwargs)[:2], iter(self._break, None))

    def _break(self) -> Any:
        raise ConnectionError("line went dead")


async def test_a_stream_that_breaks_late_raises_after_its_chunks_and_is_recorded():
    models = {"small": Breaking(model=SMALL), "large": StreamingFake(model=LARGE)}
    model = routed(Always("small"), models)
    with pytest.raises(InterruptedStreamError) as caught:
        list(model.stream(EASY))
    assert caught.value.partial == f"{SMALL} says:"
    assert isinstance(caught.value.__cause__, ConnectionError)
    fresh = routed(Always("small"), models)
    with pytest.raises(InterruptedStreamError):
        [chunk async for chunk in fresh.astream(EASY)]
    assert models["large"].calls == []


def test_a_stream_left_midway_closes_the_childs_run(ledger):
    costs = CostCallbackHandler(ledger)
    for chunk in routed().stream(EASY, config={"callbacks": [costs]}):
        assert chunk
        break
    (record,) = ledger.records()
    assert record.status == "abandoned"


def test_a_permanent_error_is_raised():
    def refused(_: str) -> BaseException:
        return ValueError("bad request")

    models = children(small={"fail": refused})
    with pytest.raises(ValueError, match="bad request"):
        routed(Always("small"), models).invoke(EASY)
    assert models["large"].calls == []


def test_when_no_child_fits_the_error_gives_each_reason():
    specs = {
        "small": ModelSpec("small", context_window=10),
        "large": ModelSpec("large", capabilities=frozenset({"tools"})),
    }
    with pytest.raises(NoModelFitsError, match=r"(?s)small: context.*large: cannot do streaming"):
        list(routed(specs=specs).stream(EASY))


def test_a_tier_in_the_metadata_limits_the_models():
    model = routed(tiers={"free": UserTier(ceiling="small")})
    assert model.invoke(HARD, config={"metadata": {"tier": "free"}}).text.startswith(SMALL)


def test_a_tool_result_goes_to_the_model_that_called_the_tool():
    model = routed(Weighted({"small": 1, "large": 1})).bind_tools([magic])
    asked = [HumanMessage("magic of 3")]
    for _ in range(12):
        call = model.invoke(asked)
        (wanted,) = call.tool_calls
        answer = model.invoke([*asked, call, ToolMessage("5", tool_call_id=wanted["id"])])
        stamps = [m.response_metadata["llm_optimizers"]["routed"] for m in (call, answer)]
        assert stamps[0] == stamps[1]


async def test_a_streamed_message_carries_the_mark_once():
    model = routed()
    whole = None
    for chunk in model.stream(EASY):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.response_metadata["llm_optimizers"]["routed"] == "small"


def cascade(**settings: Any) -> CascadePolicy:
    return CascadePolicy(cheap="small", strong="large", **settings)


@pytest.mark.parametrize("method", ["invoke", "ainvoke"])
def test_an_escalation_pays_for_both_calls(ledger, method):
    costs = CostCallbackHandler(ledger)
    models = children(small={"reply": lambda _: "I'm sorry, but I can't help with that."})
    model = routed(cascade(), models, ledger=ledger)
    config: Any = {"callbacks": [costs]}
    answer = (
        model.invoke(EASY, config)
        if method == "invoke"
        else asyncio.run(model.ainvoke(EASY, config))
    )
    assert answer.text.startswith(LARGE)
    small, large = sorted(ledger.records(), key=lambda r: r.model != SMALL)
    assert small.saved == -small.cost
    assert [s.strategy for s in small.savings] == ["routing"]
    assert large.saved == 0
    assert ledger.summary().saved == -small.cost


def test_an_accepted_cheap_answer_saves_the_difference(ledger):
    costs = CostCallbackHandler(ledger)
    routed(cascade()).invoke(EASY, config={"callbacks": [costs]})
    (record,) = ledger.records()
    assert record.saved == 9 * record.cost


def test_a_second_sample_is_charged_to_the_router(ledger):
    costs = CostCallbackHandler(ledger)
    models = {
        "small": StreamingFake(model=SMALL, reply=lambda _: "4"),
        "other": StreamingFake(model=SMALL, reply=lambda _: "It is 4."),
        "large": StreamingFake(model=LARGE),
    }
    model = routed(cascade(samples=["other"]), models)
    assert model.invoke("Two and two?", config={"callbacks": [costs]}).text == "4"
    first, second = ledger.records()
    assert (
        sorted([first.saved, second.saved])[0] == -min((first, second), key=lambda r: r.saved).cost
    )


def test_a_cascade_checks_streams_only_if_it_may_hold_them_back():
    policy = FirstOf([cascade(), Always("large")])
    assert "".join(c.text for c in routed(policy).stream(EASY)).startswith(LARGE)
    held = routed(cascade(buffer_streams=True))
    (chunk,) = held.stream(EASY)
    assert chunk.text.startswith(SMALL)


def test_a_deadline_holds_over_all_children():
    models = children(small={"delay": 0.5}, large={"delay": 0.5})
    model = routed(Always("small"), models, deadline_s=0.05)
    with pytest.raises(TimeoutError):
        model.invoke(EASY)
    assert models["large"].calls == []
    assert routed(Always("small"), deadline_s=30).invoke(EASY).text.startswith(SMALL)


def test_samples_are_stored_only_in_a_given_file(tmp_path: Path):
    path = tmp_path / "traffic.sqlite"
    store = SampleStore(path, rate=1.0)
    model = routed(traffic=store)
    model.invoke(EASY, config={"metadata": {"task": "quiz", "user": "ann"}})
    assert list(read_traffic(path)) == [(EASY, "quiz")]
    assert store.forget(user="ann") == 1
    store.close()


def test_feedback_reaches_the_ledger(ledger):
    model = routed(ledger=ledger)
    decision = model.invoke(EASY).response_metadata["llm_optimizers"]["decision_id"]
    model.router.feedback(decision, 1.0)
    (note,) = ledger.notes("routing.feedback")
    assert note.payload == {"decision_id": decision, "score": 1.0}


def test_a_stream_left_open_when_its_loop_ends_is_closed() -> None:
    problems: list[str] = []

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(str(context["message"])))
        children = {name: StreamingFake(model=name, delay=0.01) for name in ("small", "large")}
        router = ChatModelRouter(models=children, policy=Always("small"))
        async for _ in CachedChatModel(model=OptimizedChatModel(model=router)).astream("hello"):
            break

    asyncio.run(leave())
    assert problems == []


def test_answers_of_different_classes_to_several_prompts_have_no_total() -> None:
    other = FakeListChatModel(responses=["of the other class"])
    large = ChatOpenAI(model="gpt-4o", api_key="sk-of-the-test")
    router = ChatModelRouter(models={"other": other, "large": large}, policy=Always("other"))
    result = router.generate([[HumanMessage("one")], [HumanMessage("two")]])
    assert [each[0].text for each in result.generations] == ["of the other class"] * 2
    assert result.llm_output == {}
    assert len(result.run) == 2


@pytest.mark.parametrize(
    ("fields", "empty"),
    [
        ({"content": ""}, True),
        ({"content": []}, True),
        (
            {
                "content": "",
                "usage_metadata": {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1},
            },
            True,
        ),
        ({"content": [{"type": "text", "text": "", "index": 0}]}, True),
        ({"content": [{"type": "thinking", "thinking": "", "signature": "", "index": 0}]}, True),
        ({"content": [{"type": "reasoning", "id": "rs_1", "summary": [], "index": 0}]}, True),
        ({"content": "", "additional_kwargs": {"reasoning_content": ""}}, True),
        ({"content": " "}, False),
        ({"content": [{"type": "text", "text": "It", "index": 0}]}, False),
        ({"content": [{"type": "thinking", "thinking": "Hm", "index": 0}]}, False),
        ({"content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {}}]}, False),
        ({"content": "", "additional_kwargs": {"reasoning_content": "Hm"}}, False),
        ({"content": "", "tool_call_chunks": [tool_call_chunk(name="f", index=0)]}, False),
    ],
    ids=str,
)
def test_what_of_a_stream_is_no_answer_yet(fields: dict[str, Any], empty: bool) -> None:
    assert REPLY_READER.is_empty(AIMessageChunk(**fields)) == empty


class Starting(StreamingFake):
    """Opens a block of text, and breaks before the first word."""

    def _chunks(self, messages: Any, kwargs: Any) -> Any:
        yield AIMessageChunk([{"type": "text", "text": "", "index": 0}])
        raise ConnectionError("line went dead")


async def test_a_stream_that_breaks_before_its_first_word_is_replaced() -> None:
    models = {"small": Starting(model=SMALL), "large": StreamingFake(model=LARGE)}
    for text in (
        "".join(chunk.text for chunk in routed(Always("small"), models).stream(EASY)),
        "".join([chunk.text async for chunk in routed(Always("small"), models).astream(EASY)]),
    ):
        assert text.startswith(LARGE)
