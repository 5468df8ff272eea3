"""Calls: each method of a chat model, in all forms of its input."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue

from support.like_the_model.langchain.seen import AsyncRecorder, Chunks, whole
from support.like_the_model.langchain.use import Use, Ways

WAYS = Ways()
QUESTION = "where is Lyon?"
TURN = [SystemMessage("Be short."), HumanMessage(QUESTION)]
OTHERS = ["where is Ulm?", "where is Bonn, then?", "and where is Rome?"]

INPUTS: dict[str, Any] = {
    "text": QUESTION,
    "messages": TURN,
    "tuples": [("system", "Be short."), ("human", QUESTION)],
    "prompt value": ChatPromptValue(messages=TURN),
    "text prompt value": StringPromptValue(text=QUESTION),
    "no messages": [],
}


def _invoke_with(given: Any) -> Any:
    return lambda use: use.model().invoke(given, use.config)


async def _collected(stream: Any) -> Chunks:
    return Chunks([each async for each in stream])


for _name, _given in INPUTS.items():
    WAYS.way(f"invoke: {_name}")(_invoke_with(_given))


@WAYS.way("invoke: without a config")
def _(use: Use) -> Any:
    return use.model().invoke(QUESTION)


@WAYS.way("invoke: asked again")
def _(use: Use) -> Any:
    model = use.model()
    return [model.invoke(QUESTION, use.config), model.invoke("a new question", use.config)]


@WAYS.way("ainvoke")
async def _(use: Use) -> Any:
    return await use.model().ainvoke(TURN, use.config)


@WAYS.way("ainvoke: asynchronous handler")
async def _(use: Use) -> Any:
    heard = AsyncRecorder()
    given = await use.model().ainvoke(TURN, {**use.config, "callbacks": [heard]})
    return given, heard.ran


@WAYS.way("stream")
def _(use: Use) -> Any:
    chunks = Chunks(use.model().stream(TURN, use.config))
    return whole(chunks), chunks


@WAYS.way("astream")
async def _(use: Use) -> Any:
    chunks = await _collected(use.model().astream(TURN, use.config))
    return whole(chunks), chunks


@WAYS.way("stream: stopped after the first chunk")
def _(use: Use) -> Any:
    stream = use.model().stream(TURN, use.config)
    first = next(stream)
    stream.close()
    return Chunks([first])[:0]


@WAYS.way("transform")
def _(use: Use) -> Any:
    return whole(list(use.model().transform(iter([QUESTION]), use.config)))


@WAYS.way("atransform")
async def _(use: Use) -> Any:
    async def given() -> Any:
        yield QUESTION

    return whole(await _collected(use.model().atransform(given(), use.config)))


@WAYS.way("batch", at_once=True)
def _(use: Use) -> Any:
    return use.model().batch(OTHERS, use.config)


@WAYS.way("batch: one config each", at_once=True)
def _(use: Use) -> Any:
    configs: Any = [{**use.config, "tags": [str(at)]} for at in range(3)]
    return use.model().batch(OTHERS, configs)


@WAYS.way("batch: one after the other", at_once=True)
def _(use: Use) -> Any:
    return use.model().batch(OTHERS, {**use.config, "max_concurrency": 1})


@WAYS.way("batch: none")
def _(use: Use) -> Any:
    return use.model().batch([], use.config)


@WAYS.way("abatch", at_once=True)
async def _(use: Use) -> Any:
    return await use.model().abatch(OTHERS, use.config)


@WAYS.way("batch_as_completed", at_once=True)
def _(use: Use) -> Any:
    return sorted(use.model().batch_as_completed(OTHERS, use.config), key=lambda each: each[0])


@WAYS.way("abatch_as_completed", at_once=True)
async def _(use: Use) -> Any:
    found = await _collected(use.model().abatch_as_completed(OTHERS, use.config))
    return sorted(found, key=lambda each: each[0])


@WAYS.way("generate")
def _(use: Use) -> Any:
    return use.model().generate([TURN], stop=["END"], **use.config)


@WAYS.way("generate: several prompts", at_once=True)
def _(use: Use) -> Any:
    return use.model().generate([[HumanMessage(each)] for each in OTHERS], **use.config)


@WAYS.way("generate: none")
def _(use: Use) -> Any:
    return use.model().generate([], **use.config)


@WAYS.way("agenerate")
async def _(use: Use) -> Any:
    return await use.model().agenerate([TURN], **use.config)


@WAYS.way("agenerate: several prompts", at_once=True)
async def _(use: Use) -> Any:
    return await use.model().agenerate([[HumanMessage(each)] for each in OTHERS], **use.config)


@WAYS.way("generate_prompt")
def _(use: Use) -> Any:
    return use.model().generate_prompt([ChatPromptValue(messages=TURN)], callbacks=[use.recorder])


@WAYS.way("agenerate_prompt")
async def _(use: Use) -> Any:
    given = [ChatPromptValue(messages=TURN)]
    return await use.model().agenerate_prompt(given, callbacks=[use.recorder])


def _events(events: Any) -> list[Any]:
    """Return the events of a run; its chunks are one entry."""
    kept: list[Any] = []
    for event in events:
        if event["event"] == "on_chat_model_stream":
            if not isinstance(kept[-1], Chunks):
                kept.append(Chunks())
            kept[-1].append(event["data"]["chunk"])
        else:
            kept.append(event)
    return kept


@WAYS.way("astream_events: version 1")
async def _(use: Use) -> Any:
    return _events(await _collected(use.model().astream_events(TURN, use.config, version="v1")))


@WAYS.way("astream_events: version 2")
async def _(use: Use) -> Any:
    return _events(await _collected(use.model().astream_events(TURN, use.config, version="v2")))


@WAYS.way("stream_events: version 3")
def _(use: Use) -> Any:
    stream = use.model().stream_events(TURN, use.config, version="v3")
    return "".join(stream.text), stream.output


@WAYS.way("astream_events: version 3")
async def _(use: Use) -> Any:
    stream = await use.model().astream_events(TURN, use.config, version="v3")
    return await stream.text, await stream.output


@WAYS.way("astream_log")
async def _(use: Use) -> Any:
    final = whole(await _collected(use.model().astream_log(TURN, use.config)))
    state = dict(final.state)
    state["streamed_output"] = Chunks(state["streamed_output"])
    return state


CONVERSATIONS: dict[str, Any] = {
    "image by address": [
        HumanMessage(
            [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ]
        )
    ],
    "audio": [
        HumanMessage(
            [
                {"type": "text", "text": "what is this?"},
                {"type": "audio", "base64": "aGVsbG8=", "mime_type": "audio/wav"},
            ]
        )
    ],
    "image and file as standard blocks": [
        HumanMessage(
            [
                {"type": "text", "text": "what are these?"},
                {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"},
                {
                    "type": "file",
                    "base64": "aGVsbG8=",
                    "mime_type": "application/pdf",
                    "filename": "a.pdf",
                },
            ]
        )
    ],
    "tool messages": [
        HumanMessage("stock of apples?"),
        AIMessage("", tool_calls=[{"name": "stock", "args": {"item": "apples"}, "id": "c1"}]),
        ToolMessage("7", tool_call_id="c1", name="stock"),
    ],
    "names, ids and additional fields": [
        SystemMessage("Be short.", name="rules"),
        HumanMessage(QUESTION, name="anna", id="m1", additional_kwargs={"sent_at": 17}),
        AIMessage("In France.", id="m2", response_metadata={"model_name": "gpt-4o"}),
        HumanMessage("and Ulm?"),
    ],
}
for _name, _given in CONVERSATIONS.items():
    WAYS.way(f"conversation: {_name}")(_invoke_with(_given))
