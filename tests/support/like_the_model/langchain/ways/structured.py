"""Structured output and tools: each method, each form of a schema, each choice of a tool."""

from __future__ import annotations

from typing import Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import PydanticToolsParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from support.like_the_model.langchain.seen import Chunks, whole
from support.like_the_model.langchain.use import Use, Ways

WAYS = Ways()
QUESTION = "which place?"


class Place(BaseModel):
    """Where it is."""

    city: str = Field(description="its name")
    people: int


class PlaceDict(TypedDict):
    """Where it is."""

    city: str
    people: int


class Strict(BaseModel):
    """A schema that the answer does not fit."""

    city: int = Field(ge=1_000)


PLACE_JSON = {**Place.model_json_schema(), "title": "place", "description": "Where it is."}
SCHEMAS: dict[str, Any] = {"pydantic": Place, "TypedDict": PlaceDict, "dict": PLACE_JSON}
METHODS = ("function_calling", "json_mode", "json_schema")


@tool
def stock(item: str) -> str:
    """How many of an item there are."""
    return f"7 of {item}"


@tool
def price(item: str, count: int) -> str:
    """What so many of an item cost."""
    return f"{count} euros for {item}"


def area(city: str) -> float:
    """How large a city is.

    Args:
        city: Its name.
    """
    return 0.5


def _structured(schema: Any, **settings: Any) -> Any:
    def use(use: Use) -> Any:
        model = use.model().with_structured_output(schema, **settings)
        return model.invoke(QUESTION, use.config)

    return use


for _method in METHODS:
    for _form, _schema in SCHEMAS.items():
        for _raw in (False, True):
            _name = f"structured output, {_method}: {_form}{', include_raw' if _raw else ''}"
            WAYS.way(_name, at_once=_raw)(_structured(_schema, method=_method, include_raw=_raw))
    WAYS.way(f"structured output, {_method}: unfit answer")(_structured(Strict, method=_method))
    WAYS.way(f"structured output, {_method}: unfit answer, include_raw", at_once=True)(
        _structured(Strict, method=_method, include_raw=True)
    )
for _method in ("function_calling", "json_schema"):
    WAYS.way(f"structured output, {_method}: strict")(
        _structured(Place, method=_method, strict=True)
    )
WAYS.way("structured output: no method")(_structured(Place))
WAYS.way("structured output: with tools")(_structured(Place, method="json_schema", tools=[stock]))


@WAYS.way("structured output: ainvoke")
async def _(use: Use) -> Any:
    return await use.model().with_structured_output(Place).ainvoke(QUESTION, use.config)


@WAYS.way("structured output: stream")
def _(use: Use) -> Any:
    model = use.model().with_structured_output(PLACE_JSON, method="function_calling")
    return list(model.stream(QUESTION, use.config))[-1]


@WAYS.way("structured output: astream")
async def _(use: Use) -> Any:
    model = use.model().with_structured_output(Place)
    return [each async for each in model.astream(QUESTION, use.config)][-1]


@WAYS.way("structured output: batch", at_once=True)
def _(use: Use) -> Any:
    model = use.model().with_structured_output(Place)
    return model.batch([QUESTION, "and which other one?"], use.config)


@WAYS.way("structured output: in a chain")
def _(use: Use) -> Any:
    prompt = ChatPromptTemplate.from_messages([("system", "Be short."), ("human", "{question}")])
    chain = prompt | use.model().with_structured_output(Place) | (lambda place: place.city)
    return chain.invoke({"question": QUESTION}, use.config)


@WAYS.way("structured output: with_retry", at_once=True)
def _(use: Use) -> Any:
    use.server.failures.append(500)
    model = use.model().with_structured_output(Place)
    return model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke(
        QUESTION, use.config
    )


def _tools(question: str = "stock of apples?", tools: Any = (stock, price), **settings: Any) -> Any:
    def use(use: Use) -> Any:
        return use.model().bind_tools(list(tools), **settings).invoke(question, use.config)

    return use


WAYS.way("tools: one call")(_tools())
WAYS.way("tools: parallel calls")(_tools("stock and price of apples?"))
WAYS.way("tools: no call")(_tools("hello"))
WAYS.way("tools: none bound")(_tools(tools=()))
WAYS.way("tools: function, pydantic class, dict")(
    _tools("area?", (area, Place, {"name": "x", "description": "d", "parameters": {}}))
)
WAYS.way("tools: the provider's own")(
    _tools("hello", ({"type": "function", "function": {"name": "x", "parameters": {}}},))
)
CHOICES: dict[str, Any] = {
    "auto": "auto",
    "none": "none",
    "any": "any",
    "required": "required",
    "by name": "price",
    "true": True,
    "dict": {"type": "function", "function": {"name": "price"}},
}
for _name, _choice in CHOICES.items():
    _bound = (price,) if _choice is True else (stock, price)
    WAYS.way(f"tools, tool_choice: {_name}")(_tools("hello", _bound, tool_choice=_choice))
WAYS.way("tools: strict")(_tools(strict=True))
WAYS.way("tools: parallel_tool_calls=False")(_tools(parallel_tool_calls=False))
WAYS.way("tools: response_format")(_tools("hello", response_format=Place, strict=True))


@WAYS.way("tools: result handed back")
def _(use: Use) -> Any:
    model = use.model().bind_tools([stock, price])
    asked = [HumanMessage("stock of apples?")]
    called = model.invoke(asked, use.config)
    given = [ToolMessage("7", tool_call_id=call["id"]) for call in called.tool_calls]
    called.id = "a1"
    return model.invoke([*asked, called, *given], use.config)


@WAYS.way("tools: stream")
def _(use: Use) -> Any:
    chunks = Chunks(use.model().bind_tools([stock]).stream("stock?", use.config))
    return whole(chunks)


@WAYS.way("tools: astream_events")
async def _(use: Use) -> Any:
    stream = use.model().bind_tools([stock]).astream_events("stock?", use.config, version="v2")
    return [e["data"] async for e in stream if e["event"] == "on_chat_model_end"]


@WAYS.way("tools: ainvoke")
async def _(use: Use) -> Any:
    return await use.model().bind_tools([stock]).ainvoke("stock?", use.config)


@WAYS.way("tools: in a chain with a parser")
def _(use: Use) -> Any:
    parser = PydanticToolsParser(tools=[Place])
    return (use.model().bind_tools([Place], tool_choice="Place") | parser).invoke(QUESTION)


@WAYS.way("tools: bound twice, and with settings")
def _(use: Use) -> Any:
    model = use.model().bind_tools([stock]).bind(stop=["END"]).with_config(tags=["bound"])
    return model.invoke("stock?", use.config)


@WAYS.way("tools: invalid arguments")
def _(use: Use) -> Any:
    broken = {"name": "stock", "arguments": '{"item": '}
    use.server.reply = lambda _: {
        "tool_calls": [{"id": "c1", "type": "function", "function": broken}]
    }
    return use.model().bind_tools([stock]).invoke("stock?", use.config)


@WAYS.way("chain: prompt, model, parser")
def _(use: Use) -> Any:
    chain = ChatPromptTemplate.from_template("where is {city}?") | use.model() | StrOutputParser()
    return chain.invoke({"city": "Lyon"}, use.config)


@WAYS.way("chain: stream")
def _(use: Use) -> Any:
    chain = ChatPromptTemplate.from_template("where is {city}?") | use.model() | StrOutputParser()
    return "".join(chain.stream({"city": "Lyon"}, use.config))


@WAYS.way("chain: batch", at_once=True)
def _(use: Use) -> Any:
    chain = ChatPromptTemplate.from_template("where is {city}?") | use.model() | StrOutputParser()
    return chain.batch([{"city": "Lyon"}, {"city": "Ulm"}], use.config)


@WAYS.way("chain: conversation with an answer in it")
def _(use: Use) -> Any:
    model = use.model()
    first = model.invoke("where is Lyon?", use.config)
    return model.invoke([HumanMessage("where is Lyon?"), AIMessage(first.text), HumanMessage("?")])
