"""A LangChain chain through a provider's batch API: asked now, answered within a day, half price.

The chain is taken apart around its chat model: what comes before it is run at once and makes the
request bodies; what comes after it is run on the answers when they are collected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig, RunnableSequence
from pydantic import BaseModel

from langchain_llm_optimizers.delegating import DelegatingChatModel
from llm_optimizers.batching import BatchResult, BatchStatus, ProviderBatch
from llm_optimizers.errors import ConfigurationError, ItemError

__all__ = ["batch_later", "collect_later"]

_NOT_IN_A_BATCH = (
    "extra_headers",
    "ls_structured_output_format",  # said to LangChain's tracing, not to the provider
    "stream",
    "stream_options",
    "timeout",
)


def batch_later(
    runnable: Runnable[Any, Any],
    inputs: Sequence[Any],
    batch: ProviderBatch,
    *,
    id: str | None = None,  # noqa: A002 - the batch's own word
    config: RunnableConfig | None = None,
) -> str:
    """Send a chain's inputs as one batch and return its id, for `collect_later` in any process.

    The chain is a chat model, or a sequence with one: `prompt | ChatOpenAI(…) | parser`, tools
    bound or not, or `prompt | ChatOpenAI(…).with_structured_output(Schema)`.

    Raises:
        ConfigurationError: the chain has no single chat model that speaks OpenAI's format, or an
            input makes no request that can be sent; nothing was.
    """
    chain = _taken_apart(runnable)
    prompts = list(inputs) if chain.before is None else chain.before.batch(list(inputs), config)
    return batch.submit([chain.body(prompt) for prompt in prompts], id=id)


def collect_later(
    runnable: Runnable[Any, Any],
    id: str,  # noqa: A002 - the batch's own word
    batch: ProviderBatch,
    *,
    timeout: float | None = None,
    progress: Callable[[BatchStatus], None] | None = None,
    config: RunnableConfig | None = None,
) -> list[Any]:
    """Wait for a batch and finish the chain on its answers, in the order of the inputs.

    An input that failed, at the provider or in the rest of the chain, has its exception in its
    place.

    Raises:
        TimeoutError: it is not finished after `timeout` seconds; it goes on.
        ConfigurationError: the journal knows no such batch.
    """
    chain = _taken_apart(runnable)
    results = batch.collect(id, timeout=timeout, progress=progress)
    return [chain.output(result, config) for result in results]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """A chain around its chat model."""

    before: Runnable[Any, Any] | None
    model: Any
    kwargs: Mapping[str, Any]
    after: Runnable[Any, Any] | None

    @property
    def schema(self) -> type[BaseModel] | None:
        """The class that answers are parsed into, which the SDK does in an ordinary call."""
        given = self.kwargs.get("response_format")
        return given if isinstance(given, type) and issubclass(given, BaseModel) else None

    def body(self, prompt: Any) -> dict[str, Any]:
        payload: dict[str, Any] = self.model._get_request_payload(prompt, **self.kwargs)
        if "messages" not in payload:
            raise ConfigurationError(
                "the model speaks the Responses API; give it use_responses_api=False"
            )
        if self.schema is not None:
            payload = {**payload, "response_format": _response_format(self.schema)}
        return {key: value for key, value in payload.items() if key not in _NOT_IN_A_BATCH}

    def output(self, result: BatchResult, config: RunnableConfig | None) -> Any:
        if result.body is None:
            return ItemError(
                f"input {result.id} was not answered ({result.state}): {result.error}",
                kind=result.error_kind or result.state,
            )
        try:
            message = self.model._create_chat_result(dict(result.body)).generations[0].message
            if self.schema is not None:
                message = _parsed(message, self.schema, result.body)
            return message if self.after is None else self.after.invoke(message, config)
        except Exception as error:  # noqa: BLE001 - it is this input's outcome
            return error


def _response_format(schema: type[BaseModel]) -> dict[str, Any]:
    """The strict schema that the SDK would send for the class."""
    from openai import pydantic_function_tool

    function = pydantic_function_tool(schema)["function"]
    described = {"name": function["name"], "strict": True, "schema": function["parameters"]}
    return {"type": "json_schema", "json_schema": described}


def _parsed(message: AIMessage, schema: type[BaseModel], body: Mapping[str, Any]) -> AIMessage:
    """The message with the object, or the refusal, that LangChain's parser looks for."""
    refusal = body["choices"][0]["message"].get("refusal")
    if refusal:
        found = {"refusal": refusal}
    else:
        found = {"parsed": schema.model_validate_json(message.text)}
    return message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, **found}})


def _taken_apart(runnable: Runnable[Any, Any]) -> _Chain:
    steps = runnable.steps if isinstance(runnable, RunnableSequence) else [runnable]
    places = [place for place, step in enumerate(steps) if _model_of(step) is not None]
    if len(places) != 1:
        raise ConfigurationError(
            f"the chain has {len(places)} chat models where it needs one, in a plain sequence: "
            "prompt | model | parser"
        )
    step = steps[places[0]]
    model = _model_of(step)
    if not hasattr(model, "_get_request_payload") or not hasattr(model, "_create_chat_result"):
        raise ConfigurationError(
            f"{type(model).__name__} is no ChatOpenAI or the like; only those can be sent later"
        )
    return _Chain(
        before=_sequence(steps[: places[0]]),
        model=model,
        kwargs=step.kwargs if isinstance(step, RunnableBinding) else {},
        after=_sequence(steps[places[0] + 1 :]),
    )


def _model_of(step: Runnable[Any, Any]) -> BaseChatModel | None:
    """The chat model a step is, with what wraps it taken off."""
    inner = step.bound if isinstance(step, RunnableBinding) else step
    while isinstance(inner, DelegatingChatModel):
        inner = inner._child
    return inner if isinstance(inner, BaseChatModel) else None


def _sequence(steps: Sequence[Runnable[Any, Any]]) -> Runnable[Any, Any] | None:
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else RunnableSequence(*steps)
