"""Calling tools: with one, with several, in streams, and with the calls carried out."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from support.like_the_model.llama_index.ways.way import Lab, pieces, read, way

ASKED = "What is the weather?"


def weather(town: str) -> str:
    """Return a town's weather."""
    return f"mild in {town}"


def rivers(town: str) -> str:
    """Return a town's rivers."""
    return f"one in {town}"


WEATHER, RIVERS = FunctionTool.from_defaults(weather), FunctionTool.from_defaults(rivers)
TOOLS = [WEATHER, RIVERS]


def _with_calls(llm: Any, answer: Any) -> Any:
    return [answer, llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)]


@way("chat_with_tools")
def _chat(llm: Any, lab: Lab) -> Any:
    return _with_calls(llm, llm.chat_with_tools(TOOLS, user_msg=ASKED))


@way("achat_with_tools")
async def _achat(llm: Any, lab: Lab) -> Any:
    return _with_calls(llm, await llm.achat_with_tools(TOOLS, user_msg=ASKED))


@way("stream_chat_with_tools")
def _stream(llm: Any, lab: Lab) -> Any:
    chunks = read(list(llm.stream_chat_with_tools(TOOLS, user_msg=ASKED)))
    return _with_calls(llm, chunks["last"])


@way("astream_chat_with_tools")
async def _astream(llm: Any, lab: Lab) -> Any:
    stream = await llm.astream_chat_with_tools(TOOLS, user_msg=ASKED)
    return _with_calls(llm, read(await pieces(stream))["last"])


@way("chat_with_tools, several calls at once")
def _parallel(llm: Any, lab: Lab) -> Any:
    asked = "What is the weather in two towns?"
    answer = llm.chat_with_tools(TOOLS, user_msg=asked, allow_parallel_tool_calls=True)
    return _with_calls(llm, answer)


@way("chat_with_tools, one call only")
def _single(llm: Any, lab: Lab) -> Any:
    return _with_calls(
        llm, llm.chat_with_tools(TOOLS, user_msg="What is the weather in two towns?")
    )


@way("chat_with_tools, a tool required")
def _required(llm: Any, lab: Lab) -> Any:
    return _with_calls(llm, llm.chat_with_tools(TOOLS, user_msg="Hello.", tool_required=True))


@way("chat_with_tools, a tool chosen")
def _chosen(llm: Any, lab: Lab) -> Any:
    return _with_calls(llm, llm.chat_with_tools(TOOLS, user_msg="Hello.", tool_choice="rivers"))


@way("chat_with_tools, none called")
def _none(llm: Any, lab: Lab) -> Any:
    return _with_calls(llm, llm.chat_with_tools(TOOLS, user_msg="Hello."))


@way("chat_with_tools and a history")
def _history(llm: Any, lab: Lab) -> Any:
    history = [ChatMessage("Hello."), ChatMessage("Good day.", role="assistant")]
    answer = llm.chat_with_tools(TOOLS, user_msg=ASKED, chat_history=history)
    return [_with_calls(llm, answer), history]


@way("predict_and_call")
def _predict_and_call(llm: Any, lab: Lab) -> Any:
    return str(llm.predict_and_call(TOOLS, user_msg=ASKED))


@way("apredict_and_call")
async def _apredict_and_call(llm: Any, lab: Lab) -> Any:
    return str(await llm.apredict_and_call(TOOLS, user_msg=ASKED))


@way("get_tool_calls_from_response, none there")
def _no_calls(llm: Any, lab: Lab) -> Any:
    answer = llm.chat([ChatMessage("Hello.")])
    try:
        return llm.get_tool_calls_from_response(answer)
    except ValueError as error:
        return error
