"""`ModelCall`: one request to a chat model, in the form that all wrappers pass on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

from langchain_core.callbacks import Callbacks
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult, RunInfo
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from langchain_llm_optimizers.wrappers import is_wrapper
from llm_optimizers.settings.copies import copied

__all__ = [
    "CAPTURE",
    "CallResult",
    "Capture",
    "ModelCall",
    "calls_of_generate",
    "nested_call",
    "with_attached",
]


class CallResult(ChatResult):
    """The answer to one call, with the runs that it opened, which `generate` returns."""

    runs: list[RunInfo] | None = None

    @classmethod
    def of(cls, result: LLMResult) -> Self:
        """Return the answer to the only prompt of a `generate`."""
        chats = cast("list[ChatGeneration]", result.generations[0])
        return cls(generations=chats, llm_output=result.llm_output, runs=result.run)


class Capture(Protocol):
    """Takes calls in place of the models behind all wrappers, which are not called."""

    def take(self, model: BaseChatModel, call: ModelCall) -> ChatResult:
        """Return what the wrappers get instead of the model's answer."""
        ...


CAPTURE: ContextVar[Capture | None] = ContextVar("llm_optimizers_capture", default=None)
"""Set while calls go through their wrappers only to find out what would be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request to a chat model, with its configuration and settings.

    A model gets lists and mappings of its own: some change those that they are given, which a
    fallback to another model needs as they were.
    """

    messages: list[BaseMessage]
    config: RunnableConfig
    stop: list[str] | None
    kwargs: dict[str, Any]

    def generate(self, child: BaseChatModel) -> ChatResult:
        """Call the child; return all generations."""
        capture = CAPTURE.get()
        if capture is not None and not is_wrapper(child):
            return capture.take(child, self)
        return CallResult.of(
            child.generate([list(self.messages)], self.stop, **self._run(), **copied(self.kwargs))
        )

    async def agenerate(self, child: BaseChatModel) -> ChatResult:
        """Async version of `generate`."""
        return CallResult.of(
            await child.agenerate(
                [list(self.messages)], self.stop, **self._run(), **copied(self.kwargs)
            )
        )

    def stream(self, child: BaseChatModel) -> Iterator[AIMessageChunk]:
        """Stream from the child."""
        return child.stream(list(self.messages), self.config, stop=self.stop, **copied(self.kwargs))

    def astream(self, child: BaseChatModel) -> AsyncIterator[AIMessageChunk]:
        """Async version of `stream`."""
        return child.astream(
            list(self.messages), self.config, stop=self.stop, **copied(self.kwargs)
        )

    def _run(self) -> dict[str, Any]:
        """Return the configuration as keyword arguments of `generate`."""
        return {
            "callbacks": self.config.get("callbacks"),
            "tags": self.config.get("tags"),
            "metadata": self.config.get("metadata"),
            "run_name": self.config.get("run_name"),
            "run_id": self.config.get("run_id"),
        }


def nested_call(messages: list[BaseMessage], stop: list[str] | None, kwargs: Any) -> ModelCall:
    """Return a call without callbacks, for use inside a run of the wrapper that reports to them."""
    return ModelCall(messages=messages, config={"callbacks": []}, stop=stop, kwargs=kwargs)


def calls_of_generate(
    model: BaseChatModel,
    messages: list[list[BaseMessage]],
    stop: list[str] | None,
    callbacks: Callbacks,
    kwargs: dict[str, Any],
) -> list[ModelCall]:
    """Return the calls in the arguments of a model's `generate`, one for each prompt."""
    names = ("tags", "metadata", "run_name")
    given = {"callbacks": callbacks, **{name: kwargs.pop(name, None) for name in names}}
    run_id = kwargs.pop("run_id", None)
    own = with_attached(
        cast("RunnableConfig", {k: v for k, v in given.items() if v is not None}), model
    )
    return [
        ModelCall(
            messages=prompt,
            # A run id is for one run: the first, as in `BaseChatModel.generate`.
            config={**own, "run_id": run_id} if run_id and not number else own,
            stop=stop,
            kwargs=dict(kwargs),
        )
        for number, prompt in enumerate(messages)
    ]


def with_attached(config: RunnableConfig, model: BaseChatModel) -> RunnableConfig:
    """Return the configuration merged with the callbacks, tags, metadata and name of a model."""
    attached: RunnableConfig = {}
    if model.callbacks is not None:
        attached["callbacks"] = model.callbacks
    if model.tags:
        attached["tags"] = model.tags
    if model.metadata:
        attached["metadata"] = model.metadata
    if model.name and not config.get("run_name"):
        attached["run_name"] = model.name
    if not attached:
        return config
    # `merge_configs` drops the run id, which is right for children but wrong here. It also reads
    # the running code's configuration, which a call's own callbacks replace: it is asked elsewhere.
    run_id = config.get("run_id")
    merged = Context().run(merge_configs, attached, config)
    return {**merged, "run_id": run_id} if run_id else merged
