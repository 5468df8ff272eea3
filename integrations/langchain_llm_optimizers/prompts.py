"""Shorter prompts in LangChain: a Runnable before a model, a compressor behind a retriever.

    chain = prompt | PromptOptimizer("gpt-4o") | model
    retriever = ContextualCompressionRetriever(
        base_compressor=PassageCompressor(max_tokens=500), base_retriever=retriever
    )

Everything is decided in `llm_optimizers.prompts`; here messages are translated and put back.
A message whose text did not change is the very same object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field, PrivateAttr

from langchain_llm_optimizers.messages import MARK, core_message
from langchain_llm_optimizers.usage import removed_of
from llm_optimizers.embeddings import passage_embed
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.prompts import (
    ContextBudget,
    Optimized,
    Passage,
    PassageSelector,
    RequestOptimizer,
)
from llm_optimizers.types import ChatRequest, Message

__all__ = [
    "PassageCompressor",
    "PromptOptimizer",
    "optimizing",
    "request_of",
    "rewritten",
]

Prompt: TypeAlias = PromptValue | str | Sequence[BaseMessage]


class PromptOptimizer(Runnable[Prompt, Prompt]):
    """Makes a prompt cheaper on its way to a model: `prompt | PromptOptimizer("gpt-4o") | model`.

    What comes in goes out in kind: a prompt value, a list of messages or a string. The last
    message carries what was saved in `additional_kwargs["llm_optimizers"]`, from where
    `CostCallbackHandler` accounts for it; providers are not sent it.

    Args:
        model: The model the prompt goes to: its tokenizer counts, its provider's cache decides
            what may be touched. Without one, counts are estimates and no cache is assumed.
        context_tokens: A budget for retrieved context in each message; None leaves it alone. The
            context is what stands in `<context>` tags or after a line that ends in `context:`;
            text that nothing marks as retrieved is never cut.
        optimizer: A configured core in place of the defaults; `context_tokens` and `embeddings`
            are then its own.
        embeddings: Adds likeness in meaning to the choice of context; the bundled static model
            if None.

    Raises:
        ConfigurationError: `context_tokens` is below one, or given beside `optimizer`.
    """

    def __init__(
        self,
        model: str = "",
        *,
        context_tokens: int | None = None,
        optimizer: RequestOptimizer | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizing(context_tokens, optimizer, embeddings)

    def invoke(self, input: Prompt, config: RunnableConfig | None = None, **kwargs: Any) -> Prompt:  # noqa: A002
        """The cheaper prompt; `input` itself where nothing can be gained."""
        return self._call_with_config(self._cheaper, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Prompt,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Prompt:
        """As `invoke`; long prompts do not hold the event loop up."""
        return await self._acall_with_config(self._acheaper, input, config, **kwargs)

    def _cheaper(self, prompt: Prompt) -> Prompt:
        return self._optimizer.apply(*self._translation(prompt), otherwise=prompt)

    async def _acheaper(self, prompt: Prompt) -> Prompt:
        return await self._optimizer.aapply(*self._translation(prompt), otherwise=prompt)

    def _translation(
        self, prompt: Prompt
    ) -> tuple[Callable[[], ChatRequest], Callable[[Optimized], Prompt]]:
        """How the prompt is read for the core, and how it is written back."""
        return (
            lambda: request_of(_messages(prompt), self._model),
            lambda found: _in_kind(prompt, rewritten(_messages(prompt), found)),
        )


class PassageCompressor(BaseDocumentCompressor):
    """Cuts retrieved documents to a token budget, keeping what is likely to answer the query.

    The documents stay in order; one that is kept whole is the same object, one that is cut
    keeps its metadata. `title_key` names the metadata that holds a document's title.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    max_tokens: int = Field(ge=1)
    model: str = "gpt-4o"
    title_key: str = "title"
    embeddings: Embeddings | None = None
    _selector: PassageSelector = PrivateAttr()

    def model_post_init(self, _: Any) -> None:
        """Build the selector once; it is safe to share between threads."""
        self._selector = PassageSelector(model=self.model, embed=passage_embed(self.embeddings))

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents that are kept; all of them where nothing can be chosen."""
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


def optimizing(
    context_tokens: int | None,
    optimizer: RequestOptimizer | None,
    embeddings: Embeddings | None,
) -> RequestOptimizer:
    """The core behind a component, from its arguments.

    Raises:
        ConfigurationError: both a configured core and settings for one are given.
    """
    if optimizer is not None:
        if context_tokens is not None or embeddings is not None:
            raise ConfigurationError(
                "give `context` and `embed` to the RequestOptimizer instead of `context_tokens` "
                "and `embeddings` beside it"
            )
        return optimizer
    if context_tokens is None:
        return RequestOptimizer()
    budget = ContextBudget(max_tokens=context_tokens)
    return RequestOptimizer(context=budget, embed=passage_embed(embeddings))


def request_of(
    messages: Sequence[BaseMessage], model: str, *, tools: Sequence[Any] = ()
) -> ChatRequest:
    """The core's request; `tools` in OpenAI's form."""
    return ChatRequest(
        messages=tuple(core_message(message) for message in messages),
        model=model,
        params={"tools": list(tools)} if tools else {},
    )


def rewritten(messages: Sequence[BaseMessage], found: Optimized) -> list[BaseMessage]:
    """LangChain's messages after the optimisation, the last one marked with what was saved."""
    sent: list[BaseMessage] = []
    for new, origin in zip(found.request.messages, found.origins, strict=True):
        if origin is None:
            sent.append(SystemMessage(content=new.text))
        else:
            sent.append(_with_content(messages[origin], new))
    if sent and found.removed.tokens:
        sent[-1] = _marked(sent[-1], found)
    return sent


def _with_content(original: BaseMessage, new: Message) -> BaseMessage:
    """The original with the new text; the original itself if that is what it says."""
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


def _marked(message: BaseMessage, found: Optimized) -> BaseMessage:
    """The message with what was saved, added to what an optimiser before this one saved."""
    earlier = message.additional_kwargs.get(MARK) or {}
    removed = removed_of(earlier) + found.removed
    mark = {
        "prompt_tokens_before": earlier.get("prompt_tokens_before", found.tokens_before),
        "prompt_tokens_after": found.tokens,
        "prompt_tokens_removed": removed.tokens,
        "prompt_tokens_sent_before": removed.repeated,
    }
    kwargs = {**message.additional_kwargs, MARK: {**earlier, **mark}}
    return message.model_copy(update={"additional_kwargs": kwargs})


def _messages(prompt: Prompt) -> list[BaseMessage]:
    if isinstance(prompt, str):
        return StringPromptValue(text=prompt).to_messages()
    return prompt.to_messages() if isinstance(prompt, PromptValue) else list(prompt)


def _in_kind(prompt: Prompt, messages: list[BaseMessage]) -> Prompt:
    """The messages in the form the prompt came in; the prompt itself if none is another."""
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
