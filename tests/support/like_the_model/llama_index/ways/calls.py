"""The eight methods that call an LLM, the messages they may get, and the prompts around them."""

from __future__ import annotations

from typing import Any

from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import (
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.types import BaseOutputParser
from support.like_the_model.llama_index.ways.way import Lab, pieces, read, way

ASKED = [ChatMessage("How do I activate my new card?")]
TEXT = "How do I activate my new card?"
PROMPT = PromptTemplate("Answer briefly: {question}")


def _call(method: str, asked: Any, **kwargs: Any) -> Any:
    if method.startswith("a"):
        return lambda llm, lab: _acall(llm, method, asked, kwargs)

    def call(llm: Any, lab: Lab) -> Any:
        answer = getattr(llm, method)(asked, **kwargs)
        return read(list(answer)) if "stream" in method else answer

    return call


async def _acall(llm: Any, method: str, asked: Any, kwargs: dict[str, Any]) -> Any:
    answer = await getattr(llm, method)(asked, **kwargs)
    return read(await pieces(answer)) if "stream" in method else answer


for _method in ("chat", "achat", "stream_chat", "astream_chat"):
    way(_method)(_call(_method, ASKED))
for _method in ("complete", "acomplete", "stream_complete", "astream_complete"):
    way(_method)(_call(_method, TEXT))

_HISTORY = [
    ChatMessage("Be brief.", role="system"),
    ChatMessage("Which card do I have?"),
    ChatMessage("A blue one.", role="assistant"),
    ChatMessage("How do I activate it?"),
]
_TOOL_RESULT = [
    ChatMessage("The weather, please."),
    ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=[
            ToolCallBlock(tool_call_id="call_7", tool_name="weather", tool_kwargs='{"town": "Ulm"}')
        ],
    ),
    ChatMessage("mild", role="tool", additional_kwargs={"tool_call_id": "call_7"}),
]
_IMAGE = ImageBlock(image=b"\x89PNG\r\n\x1a\n", image_mimetype="image/png")
_PICTURE = [ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), _IMAGE])]
_FILE = DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf", title="a.pdf")
_DOCUMENT = [ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), _FILE])]
_TEXTS = [ChatMessage(role="user", blocks=[TextBlock(text="Two"), TextBlock(text="texts")])]
_THOUGHT = [
    ChatMessage("How do I activate it?"),
    ChatMessage(role="assistant", blocks=[ThinkingBlock(content="Hm."), TextBlock(text="So.")]),
    ChatMessage("And then?"),
]

way("chat with a history")(_call("chat", _HISTORY))
way("chat with settings")(_call("chat", ASKED, temperature=0.0, max_tokens=7, stop=["x"]))
way("chat with log probabilities", logprobs=True, top_logprobs=2)(_call("chat", ASKED))
way("chat without messages")(_call("chat", []))
way("achat without messages")(_call("achat", []))
way("stream_chat without messages")(_call("stream_chat", []))
way("complete without text")(_call("complete", ""))
way("chat with an image")(_call("chat", _PICTURE))
way("stream_chat with an image")(_call("stream_chat", _PICTURE))
way("chat with a document")(_call("chat", _DOCUMENT))
way("chat with several texts")(_call("chat", _TEXTS))
way("chat with thoughts")(_call("chat", _THOUGHT))
way("chat with a tool's result")(_call("chat", _TOOL_RESULT))
way("complete with a formatted prompt")(_call("complete", TEXT, formatted=True))


class Shouting(BaseOutputParser):
    """An output parser that adds to the prompt and changes the answer."""

    def parse(self, output: str) -> str:
        return output.upper()

    def format(self, query: str) -> str:
        return f"{query} Shout."


def _loud(text: str) -> str:
    return text.upper()


_PROMPTED: dict[str, dict[str, Any]] = {
    "": {},
    " with a system prompt": {"system_prompt": "Be brief."},
    " with an output parser": {"output_parser": Shouting()},
    " with a completion format": {"completion_to_prompt": _loud},
    " with a query wrapper": {"query_wrapper_prompt": PromptTemplate("Q: {query_str}")},
}
for _name, _settings in _PROMPTED.items():

    @way(f"predict{_name}", **_settings)
    def _predict(llm: Any, lab: Lab) -> Any:
        return llm.predict(PROMPT, question=TEXT)

    @way(f"complete{_name}", **_settings) if _name else (lambda use: use)
    def _complete(llm: Any, lab: Lab) -> Any:
        return llm.complete(TEXT)


@way("predict with chat messages")
def _predict_messages(llm: Any, lab: Lab) -> Any:
    prompt = ChatPromptTemplate([ChatMessage("Be brief.", role="system"), ChatMessage("{q}")])
    return llm.predict(prompt, q=TEXT)


@way("apredict")
async def _apredict(llm: Any, lab: Lab) -> Any:
    return await llm.apredict(PROMPT, question=TEXT)


@way("stream")
def _stream(llm: Any, lab: Lab) -> Any:
    return "".join(llm.stream(PROMPT, question=TEXT))


@way("astream")
async def _astream(llm: Any, lab: Lab) -> Any:
    return "".join(await pieces(await llm.astream(PROMPT, question=TEXT)))
