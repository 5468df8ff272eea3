"""Traces, and calls that fail, are cancelled or refused."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from unittest.mock import MagicMock

from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.context import collect_runs
from langsmith import Client

from support.like_the_model.langchain.seen import whole
from support.like_the_model.langchain.use import Use, Ways
from support.like_the_model.langchain.ways.structured import Place, stock
from support.openai_server import openai_server
from support.waiting import eventually

WAYS = Ways()
QUESTION = "where is Lyon?"


def _tree(run: Any) -> dict[str, Any]:
    """Return a run with all that LangSmith shows of it."""
    return {
        "name": run.name,
        "type": run.run_type,
        "inputs": run.inputs,
        "outputs": run.outputs,
        "error": bool(run.error),
        "tags": run.tags,
        "extra": run.extra,
        "serialized": run.serialized,
        "events": [event["name"] for event in run.events if event["name"] != "new_token"],
        "children": sorted(map(_tree, run.child_runs), key=lambda each: each["name"]),
    }


TRACED: dict[str, Any] = {
    "invoke": lambda m, c: m.invoke(QUESTION, c),
    "stream": lambda m, c: list(m.stream(QUESTION, c)) and None,
    "generate": lambda m, c: m.generate([[HumanMessage(QUESTION)]], **c) and None,
    "chain": lambda m, c: (RunnableLambda(lambda text: text) | m).invoke(QUESTION, c),
    "tools": lambda m, c: m.bind_tools([stock]).invoke("stock?", c),
    "structured output": lambda m, c: m.with_structured_output(Place).invoke(QUESTION, c),
}


def _traced(call: Any) -> Any:
    def use(use: Use) -> Any:
        client = MagicMock(spec=Client)
        client.tracing_queue = None
        tracer = LangChainTracer(client=client, project_name="tests")
        with collect_runs() as collected:
            call(use.model(), {**use.config, "callbacks": [use.recorder, tracer]})
        sent = [each.kwargs.get("name") for each in client.create_run.mock_calls]
        return [_tree(run) for run in collected.traced_runs], sent

    return use


for _name, _call in TRACED.items():
    WAYS.way(f"LangSmith's runs: {_name}", at_once=True)(_traced(_call))


@WAYS.way("LangSmith's runs: name of a named model")
def _(use: Use) -> Any:
    model = use.model()
    model.name = "named"
    with collect_runs() as collected:
        model.invoke(QUESTION)
        model.invoke("and Ulm?", {"run_name": "of the call"})
    return [run.name for run in collected.traced_runs]


@WAYS.way("usage callback")
def _(use: Use) -> Any:
    with get_usage_metadata_callback() as usage:
        use.model().invoke(QUESTION)
        list(use.model().stream("and Ulm?", stream_usage=True))
    return usage.usage_metadata


def _fails(status: int) -> Any:
    def use(use: Use) -> Any:
        use.server.failures.append(status)
        return use.model().invoke(QUESTION, use.config)

    return use


for _status in (400, 401, 404, 422, 429, 500, 503):
    WAYS.way(f"error {_status}: invoke")(_fails(_status))


@WAYS.way("error 500: stream")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    return list(use.model().stream(QUESTION, use.config))


@WAYS.way("error 500: ainvoke")
async def _(use: Use) -> Any:
    use.server.failures.append(500)
    return await use.model().ainvoke(QUESTION, use.config)


@WAYS.way("error 500: astream")
async def _(use: Use) -> Any:
    use.server.failures.append(500)
    return [each async for each in use.model().astream(QUESTION, use.config)]


@WAYS.way("error 500: generate")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    return use.model().generate([[HumanMessage(QUESTION)]], **use.config)


@WAYS.way("error 500: batch")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    return use.model().batch([QUESTION], use.config)


@WAYS.way("error 500: batch with return_exceptions")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    return use.model().batch([QUESTION], use.config, return_exceptions=True)


@WAYS.way("error: no server")
def _(use: Use) -> Any:
    with openai_server() as gone:
        url = gone.url
    return use.model(base_url=url).invoke(QUESTION, use.config)


@WAYS.way("error: an unknown argument of invoke")
def _(use: Use) -> Any:
    return use.model().invoke(object(), use.config)


@WAYS.way("error: timeout")
def _(use: Use) -> Any:
    hooks, sent = use.provider.clients["http_client"].event_hooks, list[Any]()
    hooks["request"].append(sent.append)
    use.server.delay = 0.1
    try:
        return use.model(timeout=0.02).invoke(QUESTION, use.config)
    finally:
        use.server.delay = 0.0
        hooks["request"].remove(sent.append)
        # A busy machine may not have read a request that was given up.
        eventually(lambda: len(use.server.requests) == len(sent))


@WAYS.way("stream cut off by the provider")
def _(use: Use) -> Any:
    use.server.cut = True
    try:
        return whole(list(use.model().stream(QUESTION, use.config)))
    finally:
        use.server.cut = False


@WAYS.way("cancelled: ainvoke")
async def _(use: Use) -> Any:
    arrived, cancelled, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()
    answer = use.server.reply

    def reply(body: Any) -> Any:
        loop.call_soon_threadsafe(arrived.set)
        cancelled.wait(10)
        return answer(body)

    use.server.reply = reply
    use.afterwards.append(cancelled.set)
    task = asyncio.ensure_future(use.model().ainvoke(QUESTION, use.config))
    await arrived.wait()
    task.cancel()
    return await asyncio.gather(task, return_exceptions=True)


@WAYS.way("cancelled: astream")
async def _(use: Use) -> Any:
    stream = use.model().astream(QUESTION, use.config)
    await anext(stream)
    await stream.aclose()
    return [each async for each in stream]
