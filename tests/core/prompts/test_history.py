"""Long conversations: what is kept, what is summarised, where they may be cut."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import History, RequestOptimizer, Summariser, TokenCounter
from llm_optimizers.prompts.history import extractive_summary, safe_cuts
from llm_optimizers.types import ChatRequest, Message, ToolCall
from support.prompt_texts import agent_conversation, assert_pairs_are_whole

counter = TokenCounter()
MODEL = "gpt-4.1"


def test_history_keeps_the_last_five_messages_and_summarises_the_rest() -> None:
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(12, 3)))
    optimizer = RequestOptimizer(provider_cache=False, history=History(), counter=counter)
    found = optimizer.optimize(request)
    assert list(found.origins[-5:]) == list(range(len(request.messages) - 5, len(request.messages)))
    assert found.origins[0] == 0
    assert None in found.origins
    summary = found.request.messages[found.origins.index(None)]
    assert summary.role == "system"
    assert counter.count(summary.text, MODEL).tokens <= 200
    assert_pairs_are_whole(found.request.messages)


def test_earlier_summaries_never_change_as_the_conversation_grows() -> None:
    """Each longer conversation begins with the summaries of the shorter one."""
    messages = agent_conversation(25, 5)
    optimizer = RequestOptimizer(provider_cache=False, history=History(), counter=counter)
    earlier: list[str] = []
    for end in range(3, len(messages), 4):
        sent = optimizer.optimize(ChatRequest(model=MODEL, messages=tuple(messages[:end])))
        summaries = [m.text for m, o in zip(sent.request.messages, sent.origins, strict=True)
                     if o is None]  # fmt: skip
        assert summaries[: len(earlier)] == earlier
        earlier = summaries
    assert len(earlier) > 2


def test_a_system_message_in_the_middle_stays() -> None:
    messages = agent_conversation(8, 1)
    messages.insert(13, Message(role="system", content="From now on, answer in French."))
    optimizer = RequestOptimizer(provider_cache=False, history=History(), counter=counter)
    found = optimizer.optimize(ChatRequest(model=MODEL, messages=tuple(messages)))
    assert None in found.origins
    assert 13 in found.origins


turns = st.lists(
    st.sampled_from(["user", "assistant", "call", "result", "orphan", "system"]), max_size=30
)


@given(turns, st.integers(1, 6), st.integers(1, 8))
def test_tool_calls_are_never_separated_from_their_results(
    kinds: list[str], keep: int, every: int
) -> None:
    messages: list[Message] = []
    waiting: list[str] = []
    for at, kind in enumerate(kinds):
        if kind == "call":
            call = ToolCall(id=f"{at}", name="f", arguments="{}")
            messages.append(Message(role="assistant", tool_calls=(call,)))
            waiting.append(f"{at}")
        elif kind == "result" and waiting:
            text = f"Result {at} says that all is well. " * 6
            messages.append(Message(role="tool", content=text, tool_call_id=waiting.pop(0)))
        elif kind in ("result", "orphan"):
            messages.append(Message(role="tool", content="Lost.", tool_call_id=f"lost{at}"))
        else:
            role = kind if kind in ("user", "assistant", "system") else "user"
            messages.append(Message(role=role, content=f"Turn {at} of this long talk. " * 6))  # type: ignore[arg-type]
    request = ChatRequest(model="llama", messages=tuple(messages))
    history = History(keep=keep, every=every, summary_tokens=40)
    found = RequestOptimizer(history=history, counter=counter).optimize(request)
    for cut in safe_cuts(messages):
        assert messages[cut].role != "tool"
    pairs = {m.tool_call_id for m in messages if m.role == "tool"}
    sent_calls = {c.id for m in found.request.messages for c in m.tool_calls}
    sent_results = {m.tool_call_id for m in found.request.messages if m.role == "tool"}
    known_calls = {c.id for m in messages for c in m.tool_calls}
    assert sent_calls & pairs == sent_results & known_calls
    assert [o for o in found.origins if o is not None] == sorted(
        o for o in found.origins if o is not None
    )
    kept = {o for o in found.origins if o is not None}
    assert kept >= set(range(max(0, len(messages) - keep), len(messages)))
    assert all(at in kept for at, m in enumerate(messages) if m.role == "system")


def test_a_summariser_is_called_once_for_the_same_messages() -> None:
    asked: list[str] = []

    def call(prompt: str) -> str:
        asked.append(prompt)
        return "They spoke of parcels."

    summariser = Summariser(model="gpt-4.1-nano", call=call)
    history = History(summariser=summariser)
    optimizer = RequestOptimizer(provider_cache=False, history=history, counter=counter)
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(6, 2)))
    found = [optimizer.optimize(request) for _ in range(3)]
    assert found[0] == found[2]
    assert len(asked) == len([o for o in found[0].origins if o is None])
    assert any("They spoke of parcels." in m.text for m in found[0].request.messages)


@pytest.mark.parametrize("answer", ["", "  ", "far too long " * 500, RuntimeError("down")])
def test_a_failing_summariser_leaves_the_history_unchanged(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    def call(prompt: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    history = History(summariser=Summariser(model="gpt-4.1-nano", call=call))
    optimizer = RequestOptimizer(provider_cache=False, history=history, counter=counter)
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(6, 2)))
    with caplog.at_level(logging.WARNING):
        found = optimizer.optimize(request)
    assert len(found.request.messages) == len(request.messages)
    assert "history is sent unchanged" in caplog.text
    assert "parcel" not in caplog.text


async def test_a_summariser_runs_outside_the_event_loop() -> None:
    import threading

    threads: list[int] = []

    def call(prompt: str) -> str:
        threads.append(threading.get_ident())
        return "Short."

    history = History(summariser=Summariser(model="gpt-4.1-nano", call=call))
    optimizer = RequestOptimizer(provider_cache=False, history=history, counter=counter)
    request = ChatRequest(model=MODEL, messages=tuple(agent_conversation(6, 2)))
    found = await optimizer.aoptimize(request)
    assert found == optimizer.optimize(request)
    assert threading.get_ident() not in threads[:1]


def test_an_extractive_summary_keeps_its_budget_and_names_the_roles() -> None:
    messages = agent_conversation(4, 7)[1:]
    text = extractive_summary(messages, max_tokens=90, counter=counter, model=MODEL)
    assert 40 < counter.count(text, MODEL).tokens <= 90
    assert all(line.split(":")[0] in ("user", "assistant", "tool") for line in text.splitlines())
    assert extractive_summary([], max_tokens=90, counter=counter, model=MODEL) == ""


def test_history_rejects_numbers_below_one() -> None:
    with pytest.raises(ConfigurationError):
        History(keep=0)
