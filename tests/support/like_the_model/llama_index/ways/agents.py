"""Agents, agents that hand off to one another, and a workflow whose context is stored."""

from __future__ import annotations

from typing import Any

from llama_index.core import Settings
from llama_index.core.agent.workflow import (
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.memory import Memory
from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step
from support.like_the_model.llama_index.ways.structured import Town
from support.like_the_model.llama_index.ways.tools import ASKED, TOOLS, weather
from support.like_the_model.llama_index.ways.way import Lab, way


async def _run(agent: Any, asked: str = ASKED, **kwargs: Any) -> Any:
    """Return what an agent says and the names of its stream's events."""
    handler = agent.run(asked, **kwargs)
    seen = []
    async for event in handler.stream_events():
        name = type(event).__name__
        if not seen or seen[-1] != name:
            seen.append(name)
        if isinstance(event, ToolCallResult):
            seen.append(str(event.tool_output))
    done = await handler
    return [str(done), done.structured_response, done.tool_calls, seen]


@way("FunctionAgent")
async def _function_agent(llm: Any, lab: Lab) -> Any:
    return await _run(FunctionAgent(tools=TOOLS, llm=llm, system_prompt="Be brief."))


@way("FunctionAgent without streams")
async def _function_agent_plain(llm: Any, lab: Lab) -> Any:
    return await _run(FunctionAgent(tools=TOOLS, llm=llm, streaming=False))


@way("FunctionAgent with an output class")
async def _function_agent_output(llm: Any, lab: Lab) -> Any:
    return await _run(FunctionAgent(tools=TOOLS, llm=llm, output_cls=Town))


@way("FunctionAgent with a memory")
async def _function_agent_memory(llm: Any, lab: Lab) -> Any:
    memory = Memory.from_defaults(session_id="one", token_limit=4_000)
    agent = FunctionAgent(tools=TOOLS, llm=llm)
    first = await _run(agent, memory=memory)
    return [first, await _run(agent, "Hello again.", memory=memory)]


@way("ReActAgent")
async def _react_agent(llm: Any, lab: Lab) -> Any:
    return await _run(ReActAgent(tools=TOOLS, llm=llm))


@way("ReActAgent without streams")
async def _react_agent_plain(llm: Any, lab: Lab) -> Any:
    return await _run(ReActAgent(tools=TOOLS, llm=llm, streaming=False))


@way("CodeActAgent")
async def _code_agent(llm: Any, lab: Lab) -> Any:
    async def execute(code: str) -> str:
        return "the result: mild"

    return await _run(CodeActAgent(code_execute_fn=execute, tools=[weather], llm=llm))


@way("AgentWorkflow with a hand-off")
async def _hand_off(llm: Any, lab: Lab) -> Any:
    asker = FunctionAgent(
        name="asker", description="Asks.", tools=TOOLS, llm=llm, can_handoff_to=["writer"]
    )
    writer = FunctionAgent(name="writer", description="Writes.", llm=llm)
    flow = AgentWorkflow(agents=[asker, writer], root_agent="asker")
    return await _run(flow, "Please hand off.")


@way("AgentWorkflow from tools")
async def _from_tools(llm: Any, lab: Lab) -> Any:
    return await _run(AgentWorkflow.from_tools_or_functions(TOOLS, llm=llm))


@way("an agent whose context is stored")
async def _stored_context(llm: Any, lab: Lab) -> Any:
    agent = FunctionAgent(tools=TOOLS, llm=llm)
    context = Context(agent)
    first = await _run(agent, ctx=context)
    restored = Context.from_dict(agent, context.to_dict())
    return [first, await _run(agent, "Hello again.", ctx=restored)]


class _Asking(Workflow):
    """A workflow of the user's own, with an LLM that it was given."""

    def __init__(self, llm: Any) -> None:
        super().__init__(timeout=20)
        self.llm = llm

    @step
    async def ask(self, ctx: Context, event: StartEvent) -> StopEvent:
        asked = await ctx.store.get("asked", default=0)
        await ctx.store.set("asked", asked + 1)
        return StopEvent(result=f"{asked}: {await self.llm.acomplete(event.question)}")


@way("a Workflow whose context is stored")
async def _workflow(llm: Any, lab: Lab) -> Any:
    flow = _Asking(llm)
    context = Context(flow)
    first = await flow.run(question="How big is Ulm?", ctx=context)
    restored = Context.from_dict(flow, context.to_dict())
    return [first, await flow.run(question="How old is Ulm?", ctx=restored)]


@way("an agent by Settings.llm")
async def _settings(llm: Any, lab: Lab) -> Any:
    Settings.llm = llm
    return await _run(FunctionAgent(tools=TOOLS))
