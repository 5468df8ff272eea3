"""Shorter prompts in LangChain: a Runnable before the model, a compressor after a retriever.

    chain = prompt | PromptOptimizer("gpt-4o") | model
    retriever = ContextualCompressionRetriever(
        base_compressor=PassageCompressor(max_tokens=500), base_retriever=retriever
    )

`llm_optimizers.prompts` decides what is removed; here messages are translated. A message whose text
does not change stays the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field, PrivateAttr

from langchain_llm_optimizers.messages import METADATA_KEY, core_message
from langchain_llm_optimizers.usage import removed_of
from llm_optimizers.arguments import field, function, share, string, text, whole
from llm_optimizers.embeddings import passage_embed
from llm_optimizers.holdout import is_held_out
from llm_optimizers.pickling.models import PickledWhole
from llm_optimizers.prompts import (
    Optimized,
    Passage,
    PassageSelector,
    RequestOptimizer,
)
from llm_optimizers.prompts.building import build_optimizer
from llm_optimizers.prompts.context import MIN_PROBABILITY, ReportCut, log_cut
from llm_optimizers.types import ChatRequest, Message
from llm_optimizers.warming import WarmsUp

__all__ = [
    "PassageCompressor",
    "PromptOptimizer",
    "build_optimizer",
    "prompt_request",
    "rewritten",
]

Prompt: TypeAlias = PromptValue | str | Sequence[BaseMessage]


class PromptOptimizer(WarmsUp, Runnable[Prompt, Prompt]):
    """Shortens a prompt before a model: `prompt | PromptOptimizer("gpt-4o") | model`.

    The output has the type of the input: a prompt value, a list of messages or a string. The last
    message says what was saved in `additional_kwargs["llm_optimizers"]`, where
    `CostCallbackHandler` reads it; providers do not get it.

    Args:
        model: The model that gets the prompt. Its tokenizer is used to count, and its provider's
            cache limits what may change. Without it, counts are estimates and no provider cache is
            assumed.
        context_tokens: Maximum tokens of retrieved context per message; None keeps it all. Context
            is text in `<context>` tags or after a line that ends in `context:`; no other text is
            cut.
        optimizer: A configured `RequestOptimizer` instead of `context_tokens` and `embeddings`.
        embeddings: Used to choose context by meaning; the bundled static model if None.

    Raises:
        ConfigurationError: `context_tokens` is below one, or given together with `optimizer`.
    """

    def __init__(
        self,
        model: str = "",
        *,
        context_tokens: int | None = None,
        optimizer: RequestOptimizer | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        self._model = string("model", model)
        self._optimizer = build_optimizer(context_tokens, optimizer, embeddings)

    def warm_up(self) -> None:
        """See `RequestOptimizer.warm_up`."""
        self._optimizer.warm_up(self._model)

    def invoke(self, input: Prompt, config: RunnableConfig | None = None, **kwargs: Any) -> Prompt:  # noqa: A002
        """Return the shorter prompt, or `input` itself if nothing can be removed."""
        return self._call_with_config(self._optimized, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Prompt,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Prompt:
        """Async version of `invoke`; long prompts do not block the event loop."""
        return await self._acall_with_config(self._aoptimized, input, config, **kwargs)

    def _optimized(self, prompt: Prompt) -> Prompt:
        return self._optimizer.apply(*self._translation(prompt), otherwise=prompt)

    async def _aoptimized(self, prompt: Prompt) -> Prompt:
        return await self._optimizer.aapply(*self._translation(prompt), otherwise=prompt)

    def _translation(
        self, prompt: Prompt
    ) -> tuple[Callable[[], ChatRequest], Callable[[Optimized], Prompt]]:
        """Return functions that read the core request, and write the optimised one back."""
        return (
            lambda: prompt_request(_messages(prompt), self._model),
            lambda optimized: _as_type_of(prompt, rewritten(_messages(prompt), optimized)),
        )


class PassageCompressor(PickledWhole, BaseDocumentCompressor):
    """Cuts retrieved documents to a token budget and keeps what is likely to answer the query.

    The documents keep their order. One that is kept whole is the same object; one that is cut keeps
    its metadata. `title_key` is the metadata key of a document's title. More is kept where less is
    unlikely to hold the answer (`min_probability`, see `ContextBudget`). `report` gets what was
    done with documents over the budget; by default it is logged.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    max_tokens: Annotated[int, field(whole, least=1)]
    model: Annotated[str, field(text)] = "gpt-4o"
    title_key: Annotated[str, field(text)] = "title"
    embeddings: Embeddings | None = None
    min_probability: Annotated[float | None, field(share, none=True)] = MIN_PROBABILITY
    report: Annotated[ReportCut, field(function)] = Field(default=log_cut, exclude=True)
    _selector: PassageSelector = PrivateAttr(default=None)  # type: ignore[assignment]
    left_behind: ClassVar[frozenset[str]] = frozenset({"_selector"})

    def model_post_init(self, _: Any) -> None:
        """Create the selector once; threads can share it."""
        self._selector = PassageSelector(
            model=self.model,
            embed=passage_embed(self.embeddings),
            min_probability=self.min_probability,
            report=self.report,
        )

    def _complete(self) -> None:
        self.model_post_init(None)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the documents that are kept; all if none can be preferred, or if held out."""
        if is_held_out():
            return documents
        passages = [
            Passage(text=d.page_content, title=str(d.metadata.get(self.title_key) or ""))
            for d in documents
        ]
        chosen = self._selector.keep(query, passages, max_tokens=self.max_tokens)
        if chosen is None:
            return documents
        return [
            documents[kept.index]
            if kept.whole
            else documents[kept.index].model_copy(update={"page_content": kept.text})
            for kept in chosen
        ]


def prompt_request(
    messages: Sequence[BaseMessage], model: str, *, tools: Sequence[Any] = ()
) -> ChatRequest:
    """Return the core's request; `tools` are in OpenAI's format."""
    return ChatRequest(
        messages=tuple(core_message(message) for message in messages),
        model=model,
        params={"tools": list(tools)} if tools else {},
    )


def rewritten(messages: Sequence[BaseMessage], optimized: Optimized) -> list[BaseMessage]:
    """Return LangChain's messages after the optimisation, the last one marked with the saving."""
    sent: list[BaseMessage] = []
    for new, origin in zip(optimized.request.messages, optimized.origins, strict=True):
        if origin is None:
            sent.append(SystemMessage(content=new.text))
        else:
            sent.append(_with_content(messages[origin], new))
    if sent and optimized.removed.tokens:
        sent[-1] = _marked(sent[-1], optimized)
    return sent


def _with_content(original: BaseMessage, new: Message) -> BaseMessage:
    """Return the original with the new text; the original itself if its text is the same."""
    if new == core_message(original):
        return original
    if isinstance(new.content, str):
        return original.model_copy(update={"content": new.content})
    blocks = original.content if isinstance(original.content, list) else [original.content]
    content: list[Any] = []
    for block, part in zip(blocks, new.content, strict=True):
        if part.kind == "text":
            kept = block if isinstance(block, dict) else {"type": "text"}
            content.append({**kept, "text": part.text, **part.data})
        else:
            content.append(dict(part.data))
    return original.model_copy(update={"content": content})


def _marked(message: BaseMessage, optimized: Optimized) -> BaseMessage:
    """Return the message with the saving, added to the saving of an optimiser before this one."""
    earlier = message.additional_kwargs.get(METADATA_KEY) or {}
    removed = removed_of(earlier) + optimized.removed
    mark = {
        "prompt_tokens_before": earlier.get("prompt_tokens_before", optimized.tokens_before),
        "prompt_tokens_after": optimized.tokens,
        "prompt_tokens_removed": removed.tokens,
        "prompt_tokens_sent_before": removed.repeated,
    }
    kwargs = {**message.additional_kwargs, METADATA_KEY: {**earlier, **mark}}
    return message.model_copy(update={"additional_kwargs": kwargs})


def _messages(prompt: Prompt) -> list[BaseMessage]:
    if isinstance(prompt, str):
        return StringPromptValue(text=prompt).to_messages()
    return prompt.to_messages() if isinstance(prompt, PromptValue) else list(prompt)


def _as_type_of(prompt: Prompt, messages: list[BaseMessage]) -> Prompt:
    """Return the messages as the prompt's type; the prompt itself if nothing changed."""
    before = _messages(prompt)
    if isinstance(prompt, str | StringPromptValue):
        text = str(messages[0].text)
        if len(messages) != 1 or text == before[0].text:
            return prompt
        return text if isinstance(prompt, str) else StringPromptValue(text=text)
    same = len(before) == len(messages) and all(
        a is b for a, b in zip(before, messages, strict=True)
    )
    if same:
        return prompt
    return ChatPromptValue(messages=messages) if isinstance(prompt, PromptValue) else messages
