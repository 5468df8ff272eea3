"""The same concurrent calls through both frameworks: which share a prompt and which do not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from pydantic import Field, PrivateAttr

from llm_optimizers.caching import tenant
from llm_optimizers.costs import Usage
from llm_optimizers.routing import Always
from support.fakes import StreamingFake
from support.frameworks import FRAMEWORKS, Framework, LangChain
from support.llama_fakes import FakeLLM

WAIT = 20.0


class NoStructuredOutputFake(StreamingFake):
    """A LangChain fake with further settings, that is asked for JSON in words only."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    _limits: list[int | None] = PrivateAttr(default_factory=list)

    @property
    def limits(self) -> list[int | None]:
        """The output limit of each call, in tokens."""
        return self._limits

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _asked(self, messages: list[BaseMessage]) -> str:
        self._limits.append(self.max_tokens)
        return super()._asked(messages)


class SettingLLM(FakeLLM):
    """A LlamaIndex fake with the settings of the LangChain one."""

    n: int = 1
    stop: list[str] | None = None
    max_tokens: int | None = None
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    _limits: list[int | None] = PrivateAttr(default_factory=list)

    @property
    def limits(self) -> list[int | None]:
        """The output limit of each call, in tokens."""
        return self._limits

    def _respond(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        self._limits.append(self.max_tokens)
        return super()._respond(messages, kwargs)


def fake(framework: Framework, **settings: Any) -> Any:
    return (NoStructuredOutputFake if isinstance(framework, LangChain) else SettingLLM)(**settings)


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    found: Framework = FRAMEWORKS[request.param]()
    with found.counting():
        yield found


def magic(number: int) -> int:
    """Do arithmetic."""
    return number


def questions_of(prompt: str) -> list[str]:
    """Return the questions of a prompt: several if it is a combined one."""
    start = prompt.find("\n\n[{")
    return [prompt] if start < 0 else [q["request"] for q in json.loads(prompt[start:])]


def reply(prompt: str) -> str:
    """Answer each question; beside "cut" the output breaks off in the answer of the other."""
    asked = questions_of(prompt)
    if asked == [prompt]:
        return f"to {prompt}"
    answers = [{"id": f"q{n}", "answer": f"to {text}"} for n, text in enumerate(asked, 1)]
    answers.sort(key=lambda each: "after the cut" in each["answer"])
    whole = json.dumps({"answers": answers})
    return whole[: whole.rindex("{") + 20] if "cut" in asked else whole


def fail(prompt: str) -> BaseException | None:
    return ValueError("no answer") if "fails" in prompt else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call; calls with the same `system` prompt and tenant may share a prompt."""

    text: str
    system: str = "s"
    tenant: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


SCRIPT = [
    Asked(text="a1", tenant="a"),
    Asked(text="b1", tenant="b"),
    Asked(text="a2", tenant="a"),
    Asked(text="b2", tenant="b"),
    Asked(text="with tools", settings={"tools": [magic]}),
    Asked(text="with stop", settings={"stop": ["x"]}),
    Asked(text="cut", system="c"),
    Asked(text="after the cut", system="c"),
    Asked(text="it fails", system="f"),
    Asked(text="the other", system="f"),
]
# Calls that start together may arrive in any order: LangChain runs callbacks in threads.
PROMPTS = sorted(
    [
        ["a1", "a2"],
        ["b1", "b2"],
        ["with tools"],
        ["with stop"],
        ["after the cut", "cut"],
        ["after the cut"],  # asked again, since its answer was cut off
        ["it fails", "the other"],
        ["it fails"],  # both asked again, since one of them made the call fail
        ["the other"],
    ]
)


async def test_the_same_calls_share_prompts_in_both_frameworks(framework: Framework) -> None:
    inner = fake(framework, reply=reply, fail=fail)
    batched = framework.batched(inner, max_size=2, max_delay=WAIT)

    async def ask(asked: Asked) -> str:
        with tenant(asked.tenant) if asked.tenant else nullcontext():
            return await framework.aask(batched, asked.text, system=asked.system, **asked.settings)

    found = await asyncio.gather(*map(ask, SCRIPT), return_exceptions=True)
    await asyncio.to_thread(batched.close)
    answers = [repr(each) if isinstance(each, Exception) else each for each in found]
    expected = [f"to {asked.text}" for asked in SCRIPT]
    expected[8] = "ValueError('no answer')"
    assert answers == expected
    assert sorted(sorted(questions_of(prompt)) for prompt in inner.calls) == PROMPTS


async def test_a_cache_inside_serves_no_tenant_the_shared_call_of_another(
    framework: Framework,
) -> None:
    owner = ""

    def answer(text: str) -> str:
        return reply(text).replace("to ", f"for {owner}: ")

    inner = fake(framework, reply=answer)
    batched = framework.batched(framework.cached(inner), max_size=2, max_delay=WAIT)
    for name in ("ann", "bob"):
        owner = name
        with tenant(name):
            found = await asyncio.gather(
                *(framework.aask(batched, text) for text in ("My basket?", "My parcel?"))
            )
        assert all(f"for {name}" in text for text in found)
    await asyncio.to_thread(batched.close)


SETTINGS: list[dict[str, Any]] = [
    {"n": 2},
    {"stop": ["x"]},
    {"passed_on": {"response_format": {"type": "json_object"}}},
    {"passed_on": {"n": 2}},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("wrapped", [False, True])
async def test_models_whose_settings_change_the_answers_form_are_asked_separately(
    framework: Framework, settings: dict[str, Any], wrapped: bool
) -> None:
    passed_on = settings.get("passed_on")
    name = "model_kwargs" if isinstance(framework, LangChain) else "additional_kwargs"
    inner = fake(framework, reply=reply, **({name: passed_on} if passed_on else settings))
    model = framework.cached(inner) if wrapped else inner
    batched = framework.batched(model, max_size=2, max_delay=WAIT)
    answers = await asyncio.gather(*(framework.aask(batched, text) for text in ("a", "b")))
    assert list(answers) == ["to a", "to b"]
    assert sorted(inner.calls) == ["a", "b"]
    await asyncio.to_thread(batched.close)


async def test_a_router_combines_only_calls_that_all_its_models_can_answer(
    framework: Framework,
) -> None:
    models = [fake(framework, model="gpt-4o-mini", n=2), fake(framework, model="gpt-4o")]
    routed = framework.routed(models, Always("gpt-4o"))
    batched = framework.batched(routed, max_size=2, max_delay=WAIT)
    answers = await asyncio.gather(*(framework.aask(batched, text) for text in ("a", "b")))
    assert list(answers) == ["gpt-4o says: a", "gpt-4o says: b"]
    await asyncio.to_thread(batched.close)


async def test_an_output_limit_is_raised_for_several_answers(framework: Framework) -> None:
    inner = fake(framework, reply=reply, max_tokens=50)
    batched = framework.batched(inner, max_size=2, max_delay=WAIT)
    answers = await asyncio.gather(*(framework.aask(batched, text) for text in ("a", "b")))
    assert list(answers) == ["to a", "to b"]
    assert inner.limits == [(50 + 16) * 2 + 16]
    await asyncio.to_thread(batched.close)


async def test_the_share_of_a_cancelled_caller_is_recorded(
    framework: Framework,
) -> None:
    came, go_on = threading.Event(), threading.Event()

    def held(prompt: str) -> str:
        came.set()
        assert go_on.wait(WAIT)
        return reply(prompt)

    inner = fake(framework, reply=held)
    batched = framework.batched(inner, max_size=3, max_delay=WAIT)
    texts = ["first", "second one", "the third of them"]
    tasks = [asyncio.create_task(framework.aask(batched, text, user=text)) for text in texts]
    assert await asyncio.to_thread(came.wait, WAIT)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    go_on.set()
    assert [await tasks[0], await tasks[2]] == ["to first", "to the third of them"]
    await asyncio.to_thread(batched.close)
    assert tasks[1].cancelled()
    (prompt,) = inner.calls
    billed = Usage(
        input_tokens=len(["s"]) + 4 - 5 + len(prompt.split()) + 4,
        output_tokens=len(reply(prompt).split()) + 1,
    )
    found = framework.records()
    assert {record.tags["user"] for record in found} == set(texts)
    assert sum((record.usage for record in found), Usage()) == billed


async def test_a_cache_inside_never_confuses_two_combined_prompts(
    framework: Framework,
) -> None:
    inner = fake(framework, reply=reply)
    batched = framework.batched(framework.cached(inner), max_size=3, max_delay=WAIT)
    texts = ["How do I reset my password?", "Where is my order?", "Can I return the shoes?"]
    for asked in (texts, [texts[1], texts[0], texts[2]], texts):
        answers = await asyncio.gather(*(framework.aask(batched, text) for text in asked))
        assert list(answers) == [f"to {text}" for text in asked]
    assert len(inner.calls) == len(set(inner.calls)) > 0
    await asyncio.to_thread(batched.close)
