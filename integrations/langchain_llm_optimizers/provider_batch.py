"""Run a LangChain chain through a provider's batch API: half price, answers within a day.

The chain is split at its chat model. The steps before the model run when the batch is submitted and
give the request bodies; the steps after it run on the answers when they are collected.
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
    "ls_structured_output_format",  # for LangChain's tracing, not for the provider
    "stream",
    "stream_options",
    "timeout",
)


def batch_later(
    runnable: Runnable[Any, Any],
    inputs: Sequence[Any],
    batch: ProviderBatch,
    *,
    id: str | None = None,  # noqa: A002 - as in `ProviderBatch.submit`
    config: RunnableConfig | None = None,
) -> str:
    """Send a chain's inputs as one batch; return the id for `collect_later`, in any process.

    The chain is a chat model, or a sequence with one: `prompt | ChatOpenAI(…) | parser`, with or
    without bound tools, or `prompt | ChatOpenAI(…).with_structured_output(Schema)`.

    Raises:
        ConfigurationError: the chain does not have exactly one chat model in OpenAI's format, or an
            input gives no valid request. Nothing was sent.
    """
    chain = _split_at_model(runnable)
    prompts = list(inputs) if chain.before is None else chain.before.batch(list(inputs), config)
    return batch.submit([chain.body(prompt) for prompt in prompts], id=id)


def collect_later(
    runnable: Runnable[Any, Any],
    id: str,  # noqa: A002 - as in `ProviderBatch.collect`
    batch: ProviderBatch,
    *,
    timeout: float | None = None,
    progress: Callable[[BatchStatus], None] | None = None,
    config: RunnableConfig | None = None,
) -> list[Any]:
    """Wait for a batch, run the rest of the chain on its answers; return outputs in input order.

    For an input that failed, at the provider or in the rest of the chain, the list holds the
    exception.

    Raises:
        TimeoutError: the batch is not finished after `timeout` seconds; it continues.
        ConfigurationError: there is no batch with this id.
    """
    chain = _split_at_model(runnable)
    results = batch.collect(id, timeout=timeout, progress=progress)
    return [chain.output(result, config) for result in results]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """A chain, split at its chat model."""

    before: Runnable[Any, Any] | None
    model: Any
    kwargs: Mapping[str, Any]
    after: Runnable[Any, Any] | None

    @property
    def schema(self) -> type[BaseModel] | None:
        """The class to parse answers into, as the SDK does in an ordinary call."""
        given = self.kwargs.get("response_format")
        return given if isinstance(given, type) and issubclass(given, BaseModel) else None

    def body(self, prompt: Any) -> dict[str, Any]:
        payload: dict[str, Any] = self.model._get_request_payload(prompt, **self.kwargs)
        if "messages" not in payload:
            raise ConfigurationError(
                "the model uses the Responses API, which batch_later does not support: give it "
                "use_responses_api=False"
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
        except Exception as error:  # noqa: BLE001 - returned as this input's result
            return error


def _response_format(schema: type[BaseModel]) -> dict[str, Any]:
    """Return the strict schema that the SDK sends for the class."""
    from openai import pydantic_function_tool

    function = pydantic_function_tool(schema)["function"]
    described = {"name": function["name"], "strict": True, "schema": function["parameters"]}
    return {"type": "json_schema", "json_schema": described}


def _parsed(message: AIMessage, schema: type[BaseModel], body: Mapping[str, Any]) -> AIMessage:
    """Return the message with the parsed object or refusal that LangChain's parser expects."""
    refusal = body["choices"][0]["message"].get("refusal")
    if refusal:
        found = {"refusal": refusal}
    else:
        found = {"parsed": schema.model_validate_json(message.text)}
    return message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, **found}})


def _split_at_model(runnable: Runnable[Any, Any]) -> _Chain:
    steps = runnable.steps if isinstance(runnable, RunnableSequence) else [runnable]
    places = [place for place, step in enumerate(steps) if _model_of(step) is not None]
    if len(places) != 1:
        raise ConfigurationError(
            f"the chain has {len(places)} chat models at its top level, but needs exactly one: "
            "prompt | model | parser"
        )
    step = steps[places[0]]
    model = _model_of(step)
    if not hasattr(model, "_get_request_payload") or not hasattr(model, "_create_chat_result"):
        raise ConfigurationError(
            f"{type(model).__name__} cannot be sent to a batch API: use ChatOpenAI or a subclass"
        )
    return _Chain(
        before=_sequence(steps[: places[0]]),
        model=model,
        kwargs=step.kwargs if isinstance(step, RunnableBinding) else {},
        after=_sequence(steps[places[0] + 1 :]),
    )


def _model_of(step: Runnable[Any, Any]) -> BaseChatModel | None:
    """Return the chat model of a step, without bindings and wrappers; None if it has none."""
    inner = step.bound if isinstance(step, RunnableBinding) else step
    while isinstance(inner, DelegatingChatModel):
        inner = inner._child
    return inner if isinstance(inner, BaseChatModel) else None


def _sequence(steps: Sequence[Runnable[Any, Any]]) -> Runnable[Any, Any] | None:
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else RunnableSequence(*steps)
