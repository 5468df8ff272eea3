"""Agents and graphs: each strategy for a structured answer, tools, sub-agents, interrupts."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
)
from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, ToolStrategy
from support.like_the_model.langchain.use import Use, Ways
from support.like_the_model.langchain.ways.structured import (
    PLACE_JSON,
    Place,
    PlaceDict,
    price,
    stock,
)

WAYS = Ways()
QUESTION: Any = {"messages": [HumanMessage("where is Lyon?", id="q")]}
STOCK: Any = {"messages": [HumanMessage("stock of apples?", id="q")]}

STRATEGIES: dict[str, Any] = {
    "bare schema": Place,
    "TypedDict": PlaceDict,
    "dict": PLACE_JSON,
    "AutoStrategy": AutoStrategy(Place),
    "ProviderStrategy": ProviderStrategy(Place),
    "ProviderStrategy, strict": ProviderStrategy(Place, strict=True),
    "ToolStrategy": ToolStrategy(Place),
}


def _agent_with(strategy: Any, tools: Any, question: Any) -> Any:
    def use(use: Use) -> Any:
        agent = use.agent(tools, response_format=strategy, system_prompt="Be short.")
        return agent.invoke(question, {**use.config, "recursion_limit": 8})

    return use


for _name, _strategy in STRATEGIES.items():
    WAYS.way(f"agent, response_format: {_name}", agent=True)(_agent_with(_strategy, [], QUESTION))
    WAYS.way(f"agent, response_format and tools: {_name}", agent=True)(
        _agent_with(_strategy, [stock], STOCK)
    )


@WAYS.way("agent, response_format: ainvoke", agent=True)
async def _(use: Use) -> Any:
    return await use.agent([], response_format=Place).ainvoke(QUESTION, use.config)


def _agent(question: Any = QUESTION, **settings: Any) -> Any:
    def use(use: Use) -> Any:
        own = {name: made(use) for name, made in settings.items()}
        return use.agent([stock, price], **own).invoke(question, use.config)

    return use


WAYS.way("agent: no call", agent=True)(_agent())
WAYS.way("agent: a tool", agent=True)(_agent(STOCK))
WAYS.way("agent: two tools at once", agent=True, at_once=True)(
    _agent({"messages": [HumanMessage("stock and price?", id="q")]})
)


@WAYS.way("agent: ainvoke", agent=True)
async def _(use: Use) -> Any:
    return await use.agent([stock]).ainvoke(STOCK, use.config)


@WAYS.way("agent: stream of updates", agent=True)
def _(use: Use) -> Any:
    return list(use.agent([stock]).stream(STOCK, use.config, stream_mode="updates"))


@WAYS.way("agent: stream of messages", agent=True)
def _(use: Use) -> Any:
    parts = list(use.agent([stock]).stream(STOCK, use.config, stream_mode="messages"))
    texts: dict[str, str] = {}
    for message, about in parts:
        place = f"{about['langgraph_node']} {about['langgraph_step']} {message.type[:4].lower()}"
        texts[place] = texts.get(place, "") + message.text
    return texts


@WAYS.way("agent: astream of messages", agent=True)
async def _(use: Use) -> Any:
    stream = use.agent([stock]).astream(STOCK, use.config, stream_mode="messages")
    return "".join([message.text async for message, _ in stream])


@WAYS.way("agent: bound settings", agent=True)
def _(use: Use) -> Any:
    agent = use.agent([stock], model=use.model().bind(stop=["END"]))
    return agent.invoke(STOCK, use.config)


@WAYS.way("agent: astream_events", agent=True)
async def _(use: Use) -> Any:
    stream = use.agent([stock]).astream_events(STOCK, use.config, version="v2")
    return [
        (event["event"], event["name"], event["tags"])
        async for event in stream
        if not event["event"].endswith("_stream")
    ]


class AsksForItsProvider(AgentMiddleware[Any, Any]):
    """Changes the requests of its own provider's models only, as prompt caching does."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        if isinstance(request.model, ChatOpenAI):
            request = request.override(model_settings={"extra_body": {"mark": "mine"}})
        return handler(request)


MIDDLEWARE: dict[str, Any] = {
    "that asks for its provider": lambda _: [AsksForItsProvider()],
    "todo list": lambda _: [TodoListMiddleware()],
    "call limit": lambda _: [ModelCallLimitMiddleware(run_limit=3)],
    "context editing": lambda _: [ContextEditingMiddleware()],
    "tool selector": lambda use: [LLMToolSelectorMiddleware(model=use.other())],
}
for _name, _made in MIDDLEWARE.items():
    WAYS.way(f"agent, middleware: {_name}", agent=True)(_agent(STOCK, middleware=_made))


@WAYS.way("agent, middleware: retry", agent=True)
def _(use: Use) -> Any:
    use.server.failures.append(500)
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    return use.agent([stock], middleware=[retry]).invoke(QUESTION, use.config)


@WAYS.way("agent, middleware: fallback to a bare model", agent=True)
def _(use: Use) -> Any:
    use.server.failures.append(500)
    fallback = ModelFallbackMiddleware(use.other())
    return use.agent([stock], middleware=[fallback]).invoke(QUESTION, use.config)


@WAYS.way("agent, middleware: as the fallback")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    fallback = ModelFallbackMiddleware(use.model())
    agent = create_agent(use.other(), [stock], middleware=[fallback])
    return agent.invoke(QUESTION, use.config)


@WAYS.way("agent, middleware: summary by a fraction of the window")
def _(use: Use) -> Any:
    summary = SummarizationMiddleware(
        model=use.model(), trigger=("fraction", 0.00002), keep=("messages", 1)
    )
    agent = create_agent(use.other(), [stock], middleware=[summary])
    turns = [
        HumanMessage(f"tell me about {number} of these", id=str(number)) for number in range(9)
    ]
    return agent.invoke({"messages": turns}, use.config)


@WAYS.way("agent: sub-agent as a tool")
def _(use: Use) -> Any:
    inner = create_agent(use.model(), [])

    @tool
    def ask(question: str) -> str:
        """Ask the expert."""
        return str(inner.invoke({"messages": [("human", question)]})["messages"][-1].text)

    given = {"messages": [HumanMessage("ask somebody", id="q")]}
    return create_agent(use.model(), [ask]).invoke(given, use.config)


@WAYS.way("agent: as a subgraph")
def _(use: Use) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("inner", create_agent(use.model(), [stock]))
    graph.add_edge(START, "inner")
    graph.add_edge("inner", END)
    parts = graph.compile().stream(STOCK, use.config, stream_mode="updates", subgraphs=True)
    return [part for _, part in parts]


@WAYS.way("agent: interrupt and checkpointer", agent=True)
def _(use: Use) -> Any:
    ask_first = HumanInTheLoopMiddleware(interrupt_on={"stock": True})
    agent = use.agent([stock], middleware=[ask_first], checkpointer=InMemorySaver())
    config: Any = {**use.config, "configurable": {"thread_id": "t"}}
    stopped = agent.invoke(STOCK, config)
    resume: Any = Command(resume={"decisions": [{"type": "approve"}]})
    done = agent.invoke(resume, config)
    return len(stopped["__interrupt__"]), done["messages"]


@WAYS.way("agent: conversation in a checkpointer", agent=True)
def _(use: Use) -> Any:
    agent = use.agent([stock], checkpointer=InMemorySaver())
    config: Any = {**use.config, "configurable": {"thread_id": "t"}}
    agent.invoke(STOCK, config)
    return agent.invoke({"messages": [HumanMessage("and of pears?", id="q2")]}, config)


@WAYS.way("graph: model called in a node")
def _(use: Use) -> Any:
    model = use.model()
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "ask")
    parts = list(graph.compile().stream(QUESTION, use.config, stream_mode="messages"))
    return "".join(message.text for message, _ in parts), parts[0][1]["ls_model_name"]
