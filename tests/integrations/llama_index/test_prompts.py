"""Shorter prompts: in an LLM, after a retriever, and in a chat's memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.memory import Memory
from llama_index.core.schema import ImageNode, Node, NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from sqlalchemy.ext.asyncio import create_async_engine

from llama_index_llm_optimizers import (
    CachedLLM,
    CostEventHandler,
    HistoryBlock,
    PromptCompressor,
    PromptOptimizingLLM,
)
from llm_optimizers.costs import HoldoutGroup
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import History, RequestOptimizer, Summariser, TokenCounter
from support.llama_fakes import FakeLLM, HashEmbedding

RULE = "Be brief and kind. " + "Answer in the language of the question. " * 4
SYSTEM = ChatMessage(role="system", content=f"{RULE}\n\n" * 4)
ASKED = [SYSTEM, ChatMessage("How   are you?")]
TIDY = RequestOptimizer(passes=frozenset({"json", "whitespace", "repeats"}))


def test_a_budget_for_context_needs_no_optimizer() -> None:
    inner = FakeLLM()
    documents = "\n\n".join(
        f"Rule {n}: parcels of zone {n} arrive after {n + 2} days, by the carrier of the zone."
        for n in range(40)
    )
    question = f"<context>\n{documents}\n</context>\nHow long do parcels of zone 7 take?"
    PromptOptimizingLLM(inner, context_tokens=60).chat([ChatMessage(question)])
    (sent,) = inner.asked[0]
    assert "zone 7 arrive after 9 days" in (sent.content or "")
    assert len(sent.content or "") < len(question) / 3
    with pytest.raises(ConfigurationError, match="cannot be combined with `optimizer`"):
        PromptOptimizingLLM(inner, TIDY, context_tokens=60)
    with pytest.raises(ConfigurationError):
        PromptOptimizingLLM(inner, context_tokens=0)


def test_prompts_are_shortened_and_the_saving_is_recorded() -> None:
    inner = FakeLLM()
    llm = PromptOptimizingLLM(llm=inner, optimizer=TIDY)
    with CostEventHandler() as costs:
        llm.chat(ASKED)
        list(llm.stream_chat(ASKED))

        async def others() -> None:
            await llm.achat(ASKED)
            [chunk async for chunk in await llm.astream_chat(ASKED)]

        asyncio.run(others())
    for sent in inner.asked:
        assert len(sent[0].content or "") < len(SYSTEM.content or "") / 3
        assert "Be brief and kind." in (sent[0].content or "")
    found = list(costs.ledger.records())
    assert len(found) == 4
    for record in found:
        (saving,) = record.savings
        assert saving.strategy == "prompts"
        assert saving.amount > 0


def test_an_unchanged_message_keeps_its_blocks() -> None:
    inner = FakeLLM()
    image = ChatMessage(blocks=[TextBlock(text="What  is this?"), ImageBlock(image=b"\x89PNG")])
    plain = ChatMessage("Hello there.")
    PromptOptimizingLLM(llm=inner, optimizer=TIDY).chat([SYSTEM, plain, image])
    (sent,) = inner.asked
    assert sent[1] == plain
    assert sent[1].blocks[0] is plain.blocks[0]
    assert sent[2].blocks[1] is image.blocks[1]


def test_histories_are_summarised_and_tool_calls_stay_with_their_results() -> None:
    inner = FakeLLM()
    optimizer = RequestOptimizer(history=History(keep=2, every=4), provider_cache=False)
    llm = PromptOptimizingLLM(llm=inner, optimizer=optimizer)
    call = ToolCallBlock(tool_call_id="call_9", tool_name="add", tool_kwargs={"a": 1})
    turns = [
        ChatMessage(role=role, content=f"Turn {n} about the invoice of March and its taxes. " * 20)
        for n in range(4)
        for role in ("user", "assistant")
    ]
    asking = ChatMessage(role="assistant", blocks=[TextBlock(text=""), call])
    result = ChatMessage(role="tool", content="7", additional_kwargs={"tool_call_id": "call_9"})
    llm.chat([*turns, ChatMessage("Add them"), asking, result])
    (sent,) = inner.asked
    assert len(sent) < len(turns)
    assert sent[-2:] == [asking, result]
    assert any("Earlier in this conversation" in (m.content or "") for m in sent)


def test_completions_are_shortened_too() -> None:
    inner = FakeLLM()
    llm = PromptOptimizingLLM(llm=inner, optimizer=TIDY)
    assert llm.complete("Say this once.   And now go.\n\n\n\n\nThat is all there is.").text
    assert inner.calls == ["Say this once. And now go.\n\n\nThat is all there is."]


def test_only_data_is_shortened_by_default_and_a_tool_s_output_keeps_its_other_fields() -> None:
    inner = FakeLLM()
    call = ToolCallBlock(tool_call_id="c1", tool_name="find", tool_kwargs={})
    kwargs = {"tool_call_id": "c1", "name": "find"}
    data = '{\n  "city": "Lyon",\n  "open": [8, 18]\n}'
    asked = [
        ChatMessage("Show   me\n\n\n\n\nLyon.  "),
        ChatMessage(role="assistant", blocks=[TextBlock(text=data), call]),
        ChatMessage(role="tool", content=data, additional_kwargs=kwargs),
        ChatMessage(
            role="tool",
            blocks=[TextBlock(text=data), ImageBlock(image=b"\x89PNG")],
            additional_kwargs=kwargs,
        ),
    ]
    optimizer = RequestOptimizer(provider_cache=False)
    PromptOptimizingLLM(llm=inner, optimizer=optimizer).chat(asked)
    (sent,) = inner.asked
    assert sent[:2] == asked[:2]
    shorter = '{"city":"Lyon","open":[8,18]}'
    assert sent[2].content == shorter
    assert sent[3].blocks == [TextBlock(text=shorter), asked[3].blocks[1]]
    assert [m.additional_kwargs for m in sent[2:]] == [kwargs, kwargs]


def test_a_prompt_that_cannot_be_read_or_shortened_is_sent_as_it_is(tmp_path: Any) -> None:
    class Broken(RequestOptimizer):
        def optimize(self, request: Any) -> Any:
            raise RuntimeError("broken")

    inner = FakeLLM()
    PromptOptimizingLLM(llm=inner, optimizer=Broken()).chat(ASKED)
    asyncio.run(PromptOptimizingLLM(llm=inner, optimizer=Broken()).achat(ASKED))
    path = tmp_path / "gone.png"
    path.write_bytes(b"\x89PNG")
    lost = [ChatMessage(blocks=[ImageBlock(path=path, image_mimetype="image/png")])]
    path.unlink()
    PromptOptimizingLLM(llm=inner).chat(lost)
    assert inner.asked == [ASKED, ASKED, lost]


def test_tools_and_caches_work_through_it() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    inner = FakeLLM()
    llm = CachedLLM(llm=PromptOptimizingLLM(llm=inner, optimizer=TIDY))
    asked = "Now do it.  Do magic with 3 and 4."
    for _ in range(2):
        response = llm.chat_with_tools([FunctionTool.from_defaults(add)], asked)
        assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"a": 3, "b": 4}
    assert inner.calls == ["Now do it. Do magic with 3 and 4."]


FACTS = [
    "Cats sleep for most of the day and hunt at night. They are fond of boxes.",
    "The office in Lyon closes at six. The office in Paris closes at eight on Fridays.",
    "Bread is baked from flour and water. Salt makes it taste better.",
]


def nodes(**metadata: str) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=t, metadata=metadata), score=0.5) for t in FACTS]


def seen(found: list[NodeWithScore]) -> int:
    counter = TokenCounter()
    return sum(counter.count(n.node.get_content("llm"), "gpt-4o").tokens for n in found)


def test_nodes_are_cut_to_what_answers_and_originals_do_not_change() -> None:
    given = nodes()
    found = PromptCompressor(max_tokens=14).postprocess_nodes(
        given, query_str="When does the Paris office close on Fridays?"
    )
    assert seen(found) <= 14
    assert "closes at eight" in found[0].node.get_content()
    assert [n.node.get_content() for n in given] == FACTS
    assert found[0].node.node_id == given[1].node.node_id
    assert found[0].score == 0.5


def test_nodes_of_a_held_out_question_stay() -> None:
    given = nodes()
    with HoldoutGroup(0.5).assign("u0") as group:
        found = PromptCompressor(max_tokens=14).postprocess_nodes(
            given, query_str="When does the Paris office close on Fridays?"
        )
    assert group.held_out
    assert found == given


def test_metadata_counts_unless_the_llm_does_not_see_it() -> None:
    question = "When does the Paris office close on Fridays?"
    shown = PromptCompressor(max_tokens=30).postprocess_nodes(
        nodes(source="a long file name " * 3), query_str=question
    )
    assert seen(shown) <= 30
    hidden = nodes(source="a long file name " * 30)
    for each in hidden:
        each.node.excluded_llm_metadata_keys = ["source"]
    kept = PromptCompressor(max_tokens=30).postprocess_nodes(hidden, query_str=question)
    assert seen(kept) <= 30
    assert any("closes at eight" in each.node.get_content() for each in kept)
    assert kept[0].node.metadata["source"].startswith("a long")
    assert kept[0].node.excluded_llm_metadata_keys == ["source"]


def test_nodes_within_the_budget_are_not_changed() -> None:
    given = nodes()
    found = PromptCompressor(max_tokens=1_000).postprocess_nodes(given, query_str="Cats?")
    assert all(a is b for a, b in zip(found, given, strict=True))
    assert PromptCompressor(max_tokens=5).postprocess_nodes(given) is given


def test_nodes_without_text_are_kept_and_new_style_nodes_are_cut() -> None:
    picture = NodeWithScore(node=ImageNode(image_url="https://example.com/a.png"))
    modern = NodeWithScore(node=Node(id_="m", text_resource={"text": FACTS[1]}))
    found = PromptCompressor(max_tokens=12).postprocess_nodes(
        [picture, modern], query_str="When does the Paris office close?"
    )
    assert found[0] is picture
    assert "Paris" in found[1].node.get_content()
    assert "Lyon" in modern.node.get_content()
    assert "Lyon" not in found[1].node.get_content()


def test_a_failing_selector_loses_no_node() -> None:
    class Failing(HashEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            raise OSError("down")

        def _get_query_embedding(self, query: str) -> list[float]:
            raise OSError("down")

    given = nodes()
    compressor = PromptCompressor(max_tokens=10, embed_model=Failing())
    assert compressor.postprocess_nodes(given, query_str="Paris?") == given
    with pytest.raises(ValueError, match="max_tokens"):
        PromptCompressor(max_tokens=0)


async def test_memory_keeps_a_summary_of_earlier_messages() -> None:
    block = HistoryBlock(history=History(every=4, summary_tokens=60))
    text = "I moved to Berlin in May and my order number is 4711. "
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    memory = Memory.from_defaults(
        token_limit=600, token_flush_size=200, memory_blocks=[block], async_engine=engine
    )
    for n in range(12):
        role = "user" if n % 2 == 0 else "assistant"
        await memory.aput(ChatMessage(role=role, content=text * 3 + f"Turn {n}."))
    earlier = await block.aget()
    assert "4711" in earlier
    assert "Earlier in this conversation" in earlier
    history = await memory.aget()
    assert any("4711" in (message.content or "") for message in history[:1])
    await engine.dispose()


async def test_a_failing_summariser_loses_no_text() -> None:
    def fail(prompt: str) -> str:
        raise TimeoutError("slow")

    history = History(every=2, summariser=Summariser(model="gpt-4o-mini", call=fail))
    block = HistoryBlock(history=history)
    await block.aput([ChatMessage("One thing."), ChatMessage(role="assistant", content="Noted.")])
    assert await block.aget() == "user: One thing.\nassistant: Noted."


async def test_messages_are_summarised_once_and_tool_calls_stay_with_their_results() -> None:
    prompts: list[str] = []

    def summarise(prompt: str) -> str:
        prompts.append(prompt)
        return f"summary {len(prompts)}"

    history = History(every=2, summariser=Summariser(model="gpt-4o-mini", call=summarise))
    block = HistoryBlock(history=history)
    call = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={})
    await block.aput([ChatMessage("Add."), ChatMessage(role="assistant", blocks=[call])])
    assert prompts == []
    result = ChatMessage(role="tool", content="7", additional_kwargs={"tool_call_id": "c1"})
    await block.aput([result])
    assert len(prompts) == 1
    await block.aput([ChatMessage("Next."), ChatMessage(role="assistant", content="Yes.")])
    text = await block.aget()
    assert [line for line in text.splitlines() if "summary" in line] == ["summary 1", "summary 2"]
    assert await block.atruncate(text, 1) is not None
    assert await block.atruncate(text, 10_000) is None
