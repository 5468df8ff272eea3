"""Run a LangChain chain through a provider's batch API: half price, answers within a day.

The chain is split at its chat model. The steps before the model run when the batch is submitted and
give the request bodies; the steps after it run on the answers when they are collected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, messages_to_dict
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig, RunnableSequence
from langchain_core.runnables.config import get_config_list, merge_configs
from pydantic import BaseModel

from langchain_llm_optimizers.call import ModelCall, with_attached
from langchain_llm_optimizers.captured import answer_from, capture, keep_answer, message_from
from langchain_llm_optimizers.delegating import DelegatingChatModel
from langchain_llm_optimizers.identity import identity_of_call
from langchain_llm_optimizers.messages import METADATA_KEY
from langchain_llm_optimizers.own_cache import OwnCache
from langchain_llm_optimizers.stand_in import called_model
from llm_optimizers.arguments import (
    instance,
    mapping,
    optional,
    refuse,
    sequence,
    text,
    with_methods,
)
from llm_optimizers.batching import BatchResult, BatchStatus, ProviderBatch
from llm_optimizers.batching.provider import PreparedRequest
from llm_optimizers.errors import ConfigurationError, ItemError
from llm_optimizers.failures import FailOpen
from llm_optimizers.fingerprint import digest

__all__ = ["batch_later", "collect_later"]

_A_BATCH = "a ProviderBatch(path='batches.sqlite')"

_COMPONENT = "llm_optimizers.batching"
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
    config: RunnableConfig | Sequence[RunnableConfig] | None = None,
) -> str:
    """Send a chain's inputs as one batch; return the id for `collect_later`, in any process.

    The chain is a chat model, or a sequence with one: `prompt | ChatOpenAI(…) | parser`, with or
    without bound tools, or `prompt | ChatOpenAI(…).with_structured_output(Schema)`.

    The model's wrappers act as in an ordinary call, now and for the running code's tenant. An input
    that a cache can answer is not sent; a router chooses each model (of a cascade the strong one,
    since a draft could not be checked); an optimizer shortens the prompts. Answers are stored in
    the caches on the outside when they are first collected. A `HybridCache` that LangChain itself
    asks (`cache=` of a model, or the global one) counts as one. The batch's ledger gets each call
    with the metadata and tags of its `config` (one for all inputs, or one each).

    Raises:
        ConfigurationError: the chain does not have exactly one chat model in OpenAI's format, or an
            input gives no valid request. Nothing was sent.
    """
    if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Collection):
        refuse("inputs", inputs, "a list with one input of the chain for each request")
    with_methods("batch", batch, "submit", give=_A_BATCH)
    optional(text, "id", id)
    if isinstance(config, list | tuple):
        if len(sequence("config", config, Mapping)) != len(inputs):
            refuse("config", config, f"one config, or {len(inputs)} of them, one for each input")
    else:
        optional(mapping, "config", config)
    chain = _split_at_model(runnable)
    configs = get_config_list(cast("Any", config), len(inputs))
    given = list(inputs)
    prompts = given if chain.before is None else chain.before.batch(given, cast("Any", configs))
    requests = [chain.prepared(prompt, each) for prompt, each in zip(prompts, configs, strict=True)]
    return batch.submit(requests, id=id)


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
    text("id", id)
    with_methods("batch", batch, "collect", give=_A_BATCH)
    optional(mapping, "config", config)
    chain = _split_at_model(runnable)
    results = batch.collect(id, timeout=timeout, progress=progress)
    keeps = any(_note(result).get("keys") for result in results) and batch.hand_over(id)
    return [chain.output(result, config, keep=keeps) for result in results]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """A chain, split at its chat model, which may be in wrappers."""

    before: Runnable[Any, Any] | None
    model: BaseChatModel
    kwargs: Mapping[str, Any]
    config: RunnableConfig
    after: Runnable[Any, Any] | None

    def prepared(self, prompt: Any, config: RunnableConfig) -> PreparedRequest:
        """Return an input's request, or its answer from a cache."""
        call = self._call(self.model._convert_input(prompt).to_messages(), config)
        source = self._source(call)
        taken = capture(self.model, call)
        if taken.hit is not None:
            answer = answer_from(taken.hit)
            return PreparedRequest(answer=answer, source=source, context=taken.context())
        assert taken.model is not None
        assert taken.call is not None
        body = _body(taken.model, taken.call)
        return PreparedRequest(body=body, source=source, context=taken.context())

    def _source(self, call: ModelCall) -> str | None:
        """Return what an input asks for, whatever the wrappers make of it; None if unreadable."""
        if not (isinstance(self.model, DelegatingChatModel) or OwnCache.of(self.model)):
            return None
        messages = [{**each["data"], "id": None} for each in messages_to_dict(call.messages)]
        try:
            return digest([messages, identity_of_call(self.model, call.stop, call.kwargs)])
        except ConfigurationError:
            return None  # then the cache has no key for it either

    def output(self, result: BatchResult, config: RunnableConfig | None, *, keep: bool) -> Any:
        """Return the rest of the chain's result for an answer, or the exception."""
        if result.body is None:
            return ItemError(
                f"input {result.id} was not answered ({result.state}): {result.error}",
                kind=result.error_kind or result.state,
            )
        try:
            message = self._message(result)
            output = message if self.after is None else self.after.invoke(message, config)
        except Exception as error:  # noqa: BLE001 - returned as this input's result
            return error
        keys = _note(result).get("keys")
        if keep and keys:
            with FailOpen(_COMPONENT, "an answer of a batch was not stored in the cache"):
                keep_answer(self.model, self._call([], {}), keys, message)
        return output

    def _message(self, result: BatchResult) -> AIMessage:
        note = _note(result)
        if note.get("hit"):
            return message_from(result.body)
        marks = note.get("marks") or {}
        marked = AIMessage("", response_metadata={METADATA_KEY: marks})
        model, call = called_model(self.model, self._call([], {}), marked)
        body: Any = dict(cast("Mapping[str, Any]", result.body))
        message: AIMessage = cast("Any", model)._create_chat_result(body).generations[0].message
        schema = call.kwargs.get("response_format")
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            message = _parsed(message, schema, body)
        if not marks:
            return message
        metadata = {**message.response_metadata, METADATA_KEY: marks}
        return message.model_copy(update={"response_metadata": metadata})

    def _call(self, messages: list[BaseMessage], config: RunnableConfig) -> ModelCall:
        kwargs = dict(self.kwargs)
        stop = kwargs.pop("stop", None)
        merged = with_attached(merge_configs(self.config, config), self.model)
        return ModelCall(messages=messages, config=merged, stop=stop, kwargs=kwargs)


def _note(result: BatchResult) -> Mapping[str, Any]:
    return result.note if isinstance(result.note, Mapping) else {}


def _body(model: BaseChatModel, call: ModelCall) -> dict[str, Any]:
    """Return the request that a model would send for a call.

    Raises:
        ConfigurationError: it cannot be sent in a batch.
    """
    if not hasattr(model, "_get_request_payload") or not hasattr(model, "_create_chat_result"):
        raise ConfigurationError(
            f"{type(model).__name__} cannot be sent to a batch API: use ChatOpenAI or a subclass"
        )
    payload: dict[str, Any] = model._get_request_payload(
        call.messages, stop=call.stop, **call.kwargs
    )
    if "messages" not in payload:
        raise ConfigurationError(
            "the model uses the Responses API, which batch_later does not support: give it "
            "use_responses_api=False"
        )
    schema = payload.get("response_format")
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        payload = {**payload, "response_format": _response_format(schema)}
    return {key: value for key, value in payload.items() if key not in _NOT_IN_A_BATCH}


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
    instance("runnable", runnable, Runnable, give="a chain, such as prompt | model | parser")
    chain, kwargs, config = _unbound(runnable)
    steps = chain.steps if isinstance(chain, RunnableSequence) else [runnable]
    places = [n for n, step in enumerate(steps) if isinstance(_unbound(step)[0], BaseChatModel)]
    if len(places) != 1:
        raise ConfigurationError(
            f"`runnable` has {len(places)} chat models at its top level, but needs exactly one: "
            "prompt | model | parser"
        )
    if isinstance(chain, RunnableSequence) and kwargs:
        raise ConfigurationError(
            f"{', '.join(map(repr, kwargs))} is bound on the whole chain: bind it on the model"
        )
    model, own_kwargs, own_config = _unbound(steps[places[0]])
    return _Chain(
        before=_sequence(steps[: places[0]]),
        model=cast("BaseChatModel", model),
        kwargs=own_kwargs,
        config=merge_configs(config, own_config),
        after=_sequence(steps[places[0] + 1 :]),
    )


def _unbound(
    runnable: Runnable[Any, Any],
) -> tuple[Runnable[Any, Any], dict[str, Any], RunnableConfig]:
    """Return what is inside the bindings of a runnable, with all that is bound on it."""
    kwargs: dict[str, Any] = {}
    config: RunnableConfig = {}
    while isinstance(runnable, RunnableBinding):
        kwargs = {**runnable.kwargs, **kwargs}
        config = merge_configs(runnable.config, config)
        runnable = runnable.bound
    return runnable, kwargs, config


def _sequence(steps: Sequence[Runnable[Any, Any]]) -> Runnable[Any, Any] | None:
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else RunnableSequence(*steps)
