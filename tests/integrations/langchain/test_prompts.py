"""Shorter prompts in chains, retrievers and agents; nothing but the prompt changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import BadRequestError
from pydantic import Field, ValidationError

from langchain_llm_optimizers import CostCallbackHandler, PassageCompressor, PromptOptimizer
from langchain_llm_optimizers.messages import METADATA_KEY
from langchain_llm_optimizers.middleware import PromptMiddleware
from llm_optimizers.costs import HoldoutGroup, Ledger
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import ContextBudget, History, RequestOptimizer

RULES = "You help all day.   Be kind and clear."
DATA = {"a": 1, "b": [2]}
TIDY = RequestOptimizer(passes=frozenset({"json", "whitespace"}))
TOWNS = ("Aldmere", "Brackford", "Carrow", "Dunmouth")
DOCS = "\n\n".join(
    f"{town}\n{town} lies by the sea. Its mayor is number {n} of the list. It has a harbour. "
    "People like the walls." for n, town in enumerate(TOWNS)
)  # fmt: skip


class RecordingModel(BaseChatModel):
    """A model that gives set answers and stores what it was sent."""

    answers: list[AIMessage]
    name_of_model: str = "gpt-4o"
    sent: list[list[BaseMessage]] = Field(default_factory=list, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "recording"

    def _get_ls_params(self, stop: list[str] | None = None, **_: Any) -> Any:
        return {"ls_model_name": self.name_of_model, "ls_provider": "openai"}

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.sent.append(messages)
        answer = self.answers[min(len(self.sent), len(self.answers)) - 1]
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy())])


def test_it_composes_between_prompt_and_model() -> None:
    model = RecordingModel(answers=[AIMessage("Fine.")])
    prompt = ChatPromptTemplate.from_messages([("system", RULES), ("human", "{question}")])
    chain = prompt | PromptOptimizer("gpt-4o", optimizer=TIDY) | model
    assert chain.invoke({"question": "Are you well?   Are they?"}).content == "Fine."
    system, human = model.sent[0]
    assert system.content == "You help all day. Be kind and clear."
    assert human.content == "Are you well? Are they?"
    mark = human.additional_kwargs[METADATA_KEY]
    assert 0 < mark["prompt_tokens_after"] < mark["prompt_tokens_before"]


async def test_async_gives_the_same_text() -> None:
    optimizer = PromptOptimizer("gpt-4o", context_tokens=40)
    messages = [HumanMessage(f"<context>\n{DOCS}\n</context>\nWho is the mayor of Carrow?")]
    prompts = [
        optimizer.invoke(messages),
        await optimizer.ainvoke(messages),
        optimizer.batch([messages])[0],
        (await optimizer.abatch([messages]))[0],
        next(iter(optimizer.stream(messages))),
    ]
    assert all(prompt == prompts[0] for prompt in prompts)
    assert "Carrow" in prompts[0][0].content
    assert "number 2 of the list" in prompts[0][0].content
    assert "Aldmere" not in prompts[0][0].content


@pytest.mark.parametrize(
    "prompt",
    [
        ChatPromptValue(messages=[SystemMessage("Be brief here.   Be kind.")]),
        StringPromptValue(text="Be brief here.   Be kind."),
        "Be brief here.   Be kind.",
        [SystemMessage("Be brief here.   Be kind.")],
    ],
)
def test_the_output_has_the_inputs_type(prompt: Any) -> None:
    sent = PromptOptimizer(optimizer=TIDY).invoke(prompt)
    assert type(sent) is type(prompt)
    assert "Be brief here. Be kind." in str(sent)


@pytest.mark.parametrize(
    "prompt",
    [
        [HumanMessage("Hello there.")],
        ChatPromptValue(messages=[HumanMessage("Hello there.")]),
        "Hello there.",
        [],
        "",
        [ToolMessage("lost", tool_call_id="1")],
        [HumanMessage("```\nnever closed   ")],
        [HumanMessage([{"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}])],
    ],
)
def test_a_prompt_that_cannot_be_shortened_is_the_same_object(prompt: Any) -> None:
    assert PromptOptimizer("gpt-4o").invoke(prompt) is prompt


def test_changed_messages_keep_their_other_fields_and_others_are_the_same_objects() -> None:
    call = {"name": "f", "args": {"a": 1}, "id": "c1"}
    answer = AIMessage("", tool_calls=[call], id="a1", response_metadata={"x": 1})
    result = ToolMessage(json.dumps(DATA, indent=4), tool_call_id="c1", id="t1", artifact=[3])
    messages = [HumanMessage("Go.", id="h1"), answer, result, HumanMessage("And?", id="h2")]
    sent = PromptOptimizer("gpt-4o").invoke(messages)
    assert sent[0] is messages[0]
    assert sent[1] is messages[1]
    assert sent[2].content == '{"a":1,"b":[2]}'
    assert (sent[2].id, sent[2].artifact, sent[2].tool_call_id) == ("t1", [3], "c1")
    assert messages[2].content == json.dumps(DATA, indent=4)
    assert messages[3].additional_kwargs == {}


def test_a_tool_s_blocks_are_shortened_one_by_one() -> None:
    text = json.dumps(DATA, indent=4)
    image = {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}
    call = {"name": "f", "args": {}, "id": "c1"}
    content = [{"type": "text", "text": text, "id": "b1"}, image, f"Found: {text}"]
    result = ToolMessage(content, tool_call_id="c1", artifact={"rows": 2}, status="error")
    messages = [HumanMessage(text), AIMessage(text, tool_calls=[call]), result]
    optimizer = RequestOptimizer(provider_cache=False)
    sent = PromptOptimizer("gpt-4o", optimizer=optimizer).invoke(messages)
    assert sent[:2] == messages[:2]
    assert sent[2].content == [
        {"type": "text", "text": '{"a":1,"b":[2]}', "id": "b1"},
        image,
        {"type": "text", "text": f"Found: {text}"},
    ]
    assert (sent[2].artifact, sent[2].status) == ({"rows": 2}, "error")


def test_blocks_keep_their_other_fields() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}
    text = {
        "type": "text",
        "text": "Look at this.   And there.",
        "cache_control": {"type": "ephemeral"},
    }
    message = HumanMessage([text, image, "And at this.   Then go."])
    sent = PromptOptimizer("claude-sonnet-4-5", optimizer=TIDY).invoke([message])
    assert sent[0].content == [
        {**text, "text": "Look at this. And there."},
        image,
        {"type": "text", "text": "And at this. Then go."},
    ]


def test_the_mark_is_not_sent_to_openai() -> None:
    asked = [SystemMessage(RULES), HumanMessage("Hi you there.   Well?")]
    sent = PromptOptimizer("gpt-4o", optimizer=TIDY).invoke(asked)
    assert METADATA_KEY in sent[-1].additional_kwargs
    bodies: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content.decode())
        return httpx.Response(400)

    client = httpx.Client(transport=httpx.MockTransport(refuse))
    for use_responses in (False, True):
        model = ChatOpenAI(
            model="gpt-4o",
            api_key="none",  # type: ignore[arg-type]
            use_responses_api=use_responses,
            http_client=client,
        )
        with pytest.raises(BadRequestError):
            model.invoke(sent)
    client.close()
    assert len(bodies) == 2
    assert all("there. Well?" in body and METADATA_KEY not in body for body in bodies)


def test_two_optimizers_in_a_row_add_up() -> None:
    first = PromptOptimizer("gpt-4o", optimizer=TIDY).invoke([HumanMessage(f"{RULES}\n\n")])
    tables = RequestOptimizer(passes=frozenset({"tables"}))
    grown = [*first[:-1], first[-1].model_copy(update={"content": first[-1].content + ROWS})]
    second = PromptOptimizer("gpt-4o", optimizer=tables).invoke(grown)
    alone = PromptOptimizer("gpt-4o", optimizer=tables).invoke([HumanMessage(grown[-1].content)])
    marks = [m[-1].additional_kwargs[METADATA_KEY] for m in (first, second, alone)]
    assert marks[0]["prompt_tokens_before"] == marks[1]["prompt_tokens_before"]
    # Text that was added in between does not reduce the first saving.
    alone = PromptOptimizer("gpt-4o", optimizer=tables).invoke([HumanMessage(grown[-1].content)])
    assert marks[1]["prompt_tokens_removed"] == (
        marks[0]["prompt_tokens_removed"]
        + alone[-1].additional_kwargs[METADATA_KEY]["prompt_tokens_removed"]
    )


ROWS = json.dumps([{"name": f"n{n}", "size": n, "colour": "red"} for n in range(20)])


def test_summaries_become_system_messages() -> None:
    messages: list[BaseMessage] = [SystemMessage("Be brief.")]
    for n in range(12):
        messages += [
            HumanMessage(f"Question {n} about the parcel. " * 9),
            AIMessage(f"Reply {n}. " * 20),
        ]
    core = RequestOptimizer(history=History(), provider_cache=False)
    sent = PromptOptimizer("gpt-4o", optimizer=core).invoke([*messages, HumanMessage("And now?")])
    assert sent[0] is messages[0]
    assert isinstance(sent[1], SystemMessage)
    assert sent[1].content.startswith("Earlier in this conversation:")
    assert sent[-2] is messages[-1]


def test_a_failing_optimizer_sends_the_prompt_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RequestOptimizer):
        def optimize(self, request: Any) -> Any:
            raise RuntimeError("secret")

    prompt = [HumanMessage("Hello   there.")]
    assert PromptOptimizer(optimizer=Broken()).invoke(prompt) is prompt
    assert "sent unchanged" in caplog.text
    assert "secret" not in caplog.text


def test_conflicting_settings_are_rejected() -> None:
    core = RequestOptimizer(context=ContextBudget(max_tokens=9))
    with pytest.raises(ConfigurationError):
        PromptOptimizer(optimizer=core, context_tokens=5)
    with pytest.raises(ConfigurationError):
        PromptMiddleware(context_tokens=0)
    with pytest.raises(ValidationError):
        PassageCompressor(max_tokens=0)


def documents() -> list[Document]:
    return [
        Document(
            id=town,
            page_content=f"{town} lies by the sea. Its mayor is number {n} of the list. It has a "
            "harbour. People like the walls.",
            metadata={"title": town, "source": f"{town}.txt"},
        )
        for n, town in enumerate(TOWNS)
    ]


async def test_retrieved_documents_are_cut_to_a_budget() -> None:
    docs = documents()
    compressor = PassageCompressor(max_tokens=32)
    query = "Which number is the mayor of Carrow?"
    kept = compressor.compress_documents(docs, query)
    assert "number 2 of the list" in " ".join(d.page_content for d in kept)
    assert len(kept) < len(docs)
    assert all(d.metadata["source"] == f"{d.id}.txt" for d in kept)
    assert await compressor.acompress_documents(docs, query) == kept
    assert docs == documents()
    with HoldoutGroup(0.5).assign("u0") as group:
        assert group.held_out
        assert compressor.compress_documents(docs, query) is docs
        assert await compressor.acompress_documents(docs, query) is docs
    whole = PassageCompressor(max_tokens=10_000).compress_documents(docs, query)
    assert all(a is b for a, b in zip(whole, docs, strict=True))


def test_the_users_own_embeddings_are_used() -> None:
    class Own(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[3.0 * ("harbour" in t), 0.3] for t in texts]

        def embed_query(self, text: str) -> list[float]:
            return [1.0, 0.0]

    docs = [Document(page_content=f"Thing {n} is here. It is {w}.") for n, w in
            enumerate(["a tree", "a harbour", "a stone"])]  # fmt: skip
    kept = PassageCompressor(max_tokens=14, embeddings=Own()).compress_documents(docs, "harbour?")
    assert kept[0] is docs[1]


def test_embeddings_that_fail_keep_every_document(caplog: pytest.LogCaptureFixture) -> None:
    class FailingEmbeddings(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise ConnectionError

        def embed_query(self, text: str) -> list[float]:
            raise ConnectionError

    docs = documents()
    assert (
        PassageCompressor(max_tokens=20, embeddings=FailingEmbeddings()).compress_documents(
            docs, "q"
        )
        is docs
    )
    assert "ConnectionError" in caplog.text


def test_if_no_document_can_be_preferred_all_are_kept() -> None:
    docs = documents()
    assert PassageCompressor(max_tokens=20).compress_documents(docs, " ?") is docs
    assert PassageCompressor(max_tokens=1).compress_documents(docs, "Which mayor?") is docs
    picture = Document(page_content="", metadata={"title": "a.png"})
    kept = PassageCompressor(max_tokens=20).compress_documents([picture, *docs], "Which mayor?")
    assert kept[0] is picture
    assert len(kept) < len(docs)


def test_documents_are_embedded_in_one_request() -> None:
    class Counting(Embeddings):
        requests = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            Counting.requests += 1
            return [[1.0, float("3" in t)] for t in texts]

        def embed_query(self, text: str) -> list[float]:
            raise AssertionError(text)

    compressor = PassageCompressor(max_tokens=40, embeddings=Counting())
    for _ in range(2):
        assert len(compressor.compress_documents(documents(), "Which mayor is number 3?")) < 6
    assert Counting.requests == 1


@tool
def look_up(n: int) -> str:
    """Find a parcel."""
    return json.dumps({"parcel": n, "state": "on its way", "stops": [1, 2, 3]}, indent=4)


def agent_answers() -> Iterator[AIMessage]:
    for n in range(3):
        yield AIMessage("", tool_calls=[{"name": "look_up", "args": {"n": n}, "id": f"c{n}"}])
    yield AIMessage("All are on their way.")


async def test_an_agents_calls_are_shortened_but_not_its_state() -> None:
    for asynchronous in (False, True):
        model = RecordingModel(answers=list(agent_answers()))
        agent = create_agent(
            model,
            tools=[look_up],
            system_prompt=RULES,
            middleware=[PromptMiddleware(optimizer=TIDY)],
        )
        asked = {"messages": [HumanMessage("Where are all of them?   And mine?")]}
        state = await agent.ainvoke(asked) if asynchronous else agent.invoke(asked)
        assert len(model.sent) == 4
        for earlier, later in zip(model.sent, model.sent[1:], strict=False):
            texts = [[m.content for m in call] for call in (earlier, later)]
            assert texts[1][: len(texts[0])] == texts[0]  # the cached text stays a prefix
        last = model.sent[-1]
        assert last[0].content == "You help all day. Be kind and clear."
        assert [m.content for m in last if isinstance(m, ToolMessage)] == [
            json.dumps(
                {"parcel": n, "state": "on its way", "stops": [1, 2, 3]}, separators=(",", ":")
            )
            for n in range(3)
        ]
        assert state["messages"][0].content == "Where are all of them?   And mine?"
        assert "\n" in state["messages"][2].content
        assert METADATA_KEY not in state["messages"][0].additional_kwargs


def test_an_agent_marks_the_end_of_the_prefix_for_the_provider() -> None:
    model = RecordingModel(answers=[AIMessage("Fine.")], name_of_model="claude-sonnet-4-5")
    core = RequestOptimizer(marks=True)
    agent = create_agent(
        model,
        system_prompt=" ".join(f"Rule {n} says this and that." for n in range(400)),
        middleware=[PromptMiddleware(optimizer=core)],
    )
    agent.invoke({"messages": [HumanMessage("Hi")]})
    system, human = model.sent[0]
    assert system.content[-1]["cache_control"] == {"type": "ephemeral"}
    assert human.content[-1]["cache_control"] == {"type": "ephemeral"}


def test_an_agent_survives_a_failing_optimizer(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RequestOptimizer):
        def optimize(self, request: Any) -> Any:
            raise RuntimeError("secret")

    model = RecordingModel(answers=[AIMessage("Fine.")])
    agent = create_agent(model, middleware=[PromptMiddleware(optimizer=Broken())])
    state = agent.invoke({"messages": [HumanMessage("Hi   you")]})
    assert state["messages"][-1].content == "Fine."
    assert "secret" not in caplog.text


def test_the_saving_is_recorded() -> None:
    usage = {"input_tokens": 60, "output_tokens": 5, "total_tokens": 65}
    model = RecordingModel(answers=[AIMessage("Fine.", usage_metadata=usage)])  # type: ignore[arg-type]
    costs = CostCallbackHandler(Ledger())
    chain = PromptOptimizer("gpt-4o", optimizer=TIDY) | model
    chain.invoke([SystemMessage(RULES), HumanMessage("Hi you")], config={"callbacks": [costs]})
    sent = model.sent[0][-1].additional_kwargs[METADATA_KEY]
    saved = sent["prompt_tokens_before"] - sent["prompt_tokens_after"]
    (record,) = costs.ledger.records()
    assert record.cost is not None
    assert record.baseline_cost is not None
    assert record.baseline_cost - record.cost == saved * Decimal("2.5") / 1_000_000
    assert [saving.strategy for saving in record.savings] == ["prompts"]


def test_tokens_cached_by_the_provider_save_less() -> None:
    """An earlier tool result: its whitespace would have come from the provider's cache."""
    details = {"cache_read": 2_000}
    usage = {
        "input_tokens": 2_200,
        "output_tokens": 5,
        "total_tokens": 2_205,
        "input_token_details": details,
    }
    model = RecordingModel(answers=[AIMessage("Fine.", usage_metadata=usage)])  # type: ignore[arg-type]
    costs = CostCallbackHandler(Ledger())
    rows = [{"n": n, "state": "on its way", "stops": [n, n]} for n in range(60)]
    call = {"name": "look_up", "args": {"n": 1}, "id": "c1"}
    messages = [
        HumanMessage("Where is it?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage(json.dumps(rows, indent=4), tool_call_id="c1"),
        AIMessage("On its way."),
        HumanMessage("And now?"),
    ]
    chain = PromptOptimizer("gpt-4o") | model
    chain.invoke(messages, config={"callbacks": [costs]})
    mark = model.sent[0][-1].additional_kwargs[METADATA_KEY]
    saved = mark["prompt_tokens_before"] - mark["prompt_tokens_after"]
    assert mark["prompt_tokens_sent_before"] == saved > 500
    (record,) = costs.ledger.records()
    assert record.cost is not None
    assert record.baseline_cost is not None
    assert record.baseline_cost - record.cost == saved * Decimal("1.25") / 1_000_000
