"""Answers as objects: the LLM's own format, programs by tools and by text, and their streams."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.types import PydanticProgramMode
from support.like_the_model.llama_index.ways.way import Lab, pieces, read, way

ASKED = [ChatMessage("Describe the town Ulm as JSON.")]


def _prompt() -> PromptTemplate:
    """Return a new template: a program may give its output parser to the one it gets."""
    return PromptTemplate("Describe the town {town} as JSON.")


class Town(BaseModel):
    """A town."""

    name: str
    size: int


class Region(BaseModel):
    """A region with its towns."""

    name: str
    towns: list[Town]


_MODES: dict[str, dict[str, Any]] = {
    "": {},
    " by tools": {"pydantic_program_mode": PydanticProgramMode.FUNCTION},
    " by text": {"pydantic_program_mode": PydanticProgramMode.LLM},
}
for _name, _settings in _MODES.items():

    @way(f"structured_predict{_name}", **_settings)
    def _predict(llm: Any, lab: Lab) -> Any:
        return llm.structured_predict(Town, _prompt(), town="Ulm")

    @way(f"astructured_predict{_name}", **_settings)
    async def _apredict(llm: Any, lab: Lab) -> Any:
        return await llm.astructured_predict(Town, _prompt(), town="Ulm")

    @way(f"stream_structured_predict{_name}", **_settings)
    def _stream(llm: Any, lab: Lab) -> Any:
        return list(llm.stream_structured_predict(Town, _prompt(), town="Ulm"))[-1]

    @way(f"astream_structured_predict{_name}", **_settings)
    async def _astream(llm: Any, lab: Lab) -> Any:
        stream = await llm.astream_structured_predict(Town, _prompt(), town="Ulm")
        return (await pieces(stream))[-1]


@way("structured_predict of a nested class")
def _nested(llm: Any, lab: Lab) -> Any:
    return llm.structured_predict(Region, _prompt(), town="Ulm")


@way("structured_predict with a system prompt", system_prompt="Be brief.")
def _with_system(llm: Any, lab: Lab) -> Any:
    return llm.structured_predict(Town, _prompt(), town="Ulm")


@way("structured_predict with settings")
def _with_settings(llm: Any, lab: Lab) -> Any:
    return llm.structured_predict(Town, _prompt(), llm_kwargs={"temperature": 0.0}, town="Ulm")


@way("as_structured_llm chat")
def _chat(llm: Any, lab: Lab) -> Any:
    answer = llm.as_structured_llm(Town).chat(ASKED)
    return [answer, answer.raw]


@way("as_structured_llm achat")
async def _achat(llm: Any, lab: Lab) -> Any:
    answer = await llm.as_structured_llm(Town).achat(ASKED)
    return [answer, answer.raw]


@way("as_structured_llm complete")
def _complete(llm: Any, lab: Lab) -> Any:
    answer = llm.as_structured_llm(Town).complete("Describe the town Ulm as JSON.")
    return [answer.text, answer.raw]


@way("as_structured_llm stream_chat")
def _stream_chat(llm: Any, lab: Lab) -> Any:
    return read(list(llm.as_structured_llm(Town).stream_chat(ASKED)))["last"].raw


@way("as_structured_llm astream_chat")
async def _astream_chat(llm: Any, lab: Lab) -> Any:
    stream = await llm.as_structured_llm(Town).astream_chat(ASKED)
    return read(await pieces(stream))["last"].raw


@way("FunctionCallingProgram")
def _function_program(llm: Any, lab: Lab) -> Any:
    program = FunctionCallingProgram.from_defaults(Town, prompt=_prompt(), llm=llm)
    return program(town="Ulm")


@way("FunctionCallingProgram, async")
async def _afunction_program(llm: Any, lab: Lab) -> Any:
    program = FunctionCallingProgram.from_defaults(Town, prompt=_prompt(), llm=llm)
    return await program.acall(town="Ulm")


@way("FunctionCallingProgram, stream")
def _function_stream(llm: Any, lab: Lab) -> Any:
    program = FunctionCallingProgram.from_defaults(Town, prompt=_prompt(), llm=llm)
    return list(program.stream_call(town="Ulm"))[-1]


@way("LLMTextCompletionProgram")
def _text_program(llm: Any, lab: Lab) -> Any:
    parser = PydanticOutputParser(Town)
    program = LLMTextCompletionProgram.from_defaults(parser, prompt=_prompt(), llm=llm)
    return program(town="Ulm")
