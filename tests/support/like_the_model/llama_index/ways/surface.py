"""What code reads of an LLM: its metadata, class, attributes and prompt settings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from llama_index.core import PromptTemplate, Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.callbacks.schema import CBEventType
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.utils import resolve_llm
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer
from llama_index.core.program.utils import get_program_for_llm
from llama_index.llms.openai import OpenAI, OpenAIResponses
from support.like_the_model.llama_index.ways.structured import Town
from support.like_the_model.llama_index.ways.way import Lab, way

ASKED = [ChatMessage("How do I activate my new card?")]


@way("metadata")
def _metadata(llm: Any, lab: Lab) -> Any:
    return llm.metadata


@way("class_name")
def _class_name(llm: Any, lab: Lab) -> Any:
    return llm.class_name()


@way("isinstance of its class")
def _isinstance(llm: Any, lab: Lab) -> Any:
    kinds = (OpenAI, FunctionCallingLLM, LLM, OpenAIResponses, str)
    return [isinstance(llm, kind) for kind in kinds]


class _Holder(BaseModel):
    llm: OpenAI


@way("a field of its class")
def _field(llm: Any, lab: Lab) -> Any:
    try:
        return _Holder(llm=llm).llm.chat(ASKED)
    except ValueError as error:
        return type(error)


_READ = (
    "model",
    "temperature",
    "max_tokens",
    "max_retries",
    "timeout",
    "api_base",
    "api_key",
    "reuse_client",
    "additional_kwargs",
    "system_prompt",
    "output_parser",
    "pydantic_program_mode",
    "query_wrapper_prompt",
    "no_such_attribute",
)


@way("attributes", system_prompt="Be brief.", max_tokens=7)
def _attributes(llm: Any, lab: Lab) -> Any:
    read = {name: getattr(llm, name, "none") for name in _READ}
    return {**read, "api_base": read["api_base"] == lab.server.url}


@way("an attribute that is set")
def _set(llm: Any, lab: Lab) -> Any:
    try:
        llm.temperature = 0.7
    except ValueError as error:
        return type(error)
    return [llm.temperature, llm.chat(ASKED)]


@way("a prompt setting that is set")
def _set_prompt(llm: Any, lab: Lab) -> Any:
    llm.system_prompt = "Be brief."
    return [llm.predict(PromptTemplate("How old is {town}?"), town="Ulm"), llm.system_prompt]


@way("Settings.llm")
def _settings(llm: Any, lab: Lab) -> Any:
    Settings.llm = llm
    helper = Settings.prompt_helper
    return [Settings.llm is llm, helper.context_window, helper.num_output, resolve_llm(llm) is llm]


@way("TokenCountingHandler")
def _counted(llm: Any, lab: Lab) -> Any:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    llm.chat(ASKED)
    llm.complete("How old is Ulm?")
    list(llm.stream_chat([ChatMessage("How big is Ulm?")]))
    return [counter.prompt_llm_token_count, counter.completion_llm_token_count]


@way("LlamaDebugHandler")
def _debugged(llm: Any, lab: Lab) -> Any:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm.callback_manager = CallbackManager([debug])
    llm.chat(ASKED)
    return [pair[1].payload for pair in debug.get_event_pairs(CBEventType.LLM)]


@way("a memory of its size")
def _memory(llm: Any, lab: Lab) -> Any:
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    return memory.token_limit


@way("a memory that it summarises")
def _summary(llm: Any, lab: Lab) -> Any:
    memory = ChatSummaryMemoryBuffer.from_defaults(llm=llm, token_limit=10, tokenizer_fn=str.split)
    for number in range(4):
        memory.put(ChatMessage(f"What is the number {number} in this list?"))
    return memory.get()


@way("the program that fits it")
def _program(llm: Any, lab: Lab) -> Any:
    program = get_program_for_llm(Town, PromptTemplate("Describe {town}."), llm)
    return [type(program), program(town="Ulm")]
