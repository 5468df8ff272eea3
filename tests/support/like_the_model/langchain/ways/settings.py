"""Settings of the model, of a call and around both."""

from __future__ import annotations

from typing import Any

from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter

from support.like_the_model.langchain.seen import AsyncRecorder, Chunks, Recorder, whole
from support.like_the_model.langchain.use import Use, Ways
from support.openai_answers import (
    CITED_TEXT,
    FUNCTION_CALL,
    REASONING,
    completion,
    completion_events,
    response,
    response_events,
)

WAYS = Ways()
QUESTION = "where is Lyon?"

OF_THE_MODEL: dict[str, dict[str, Any]] = {
    "temperature=0": {"temperature": 0},
    "temperature=0.7": {"temperature": 0.7},
    "max_tokens and stop": {"max_tokens": 20, "stop": ["END"]},
    "seed and penalties": {"seed": 3, "frequency_penalty": 0.5, "logit_bias": {"17": 1}},
    "model_kwargs": {"model_kwargs": {"user": "u1"}},
    "extra_body": {"extra_body": {"top_k": 3}},
    "default_headers": {"default_headers": {"X-Team": "x"}},
    "reasoning_effort": {"model": "gpt-5", "reasoning_effort": "low"},
    "service_tier": {"service_tier": "flex"},
    "verbose": {"verbose": True},
    "name": {"name": "the model"},
    "tags and metadata": {"tags": ["of the model"], "metadata": {"team": "x"}},
    "output_version v1": {"output_version": "v1"},
    "include_response_headers": {"include_response_headers": True},
    "n=2": {"n": 2},
    "streaming": {"streaming": True},
    "disable_streaming": {"disable_streaming": True},
    "disable_streaming for tools": {"disable_streaming": "tool_calling"},
    "stream_usage": {"stream_usage": True},
    "stream_usage=False": {"stream_usage": False},
    "timeout": {"timeout": 17},
}


def _with_settings(method: str, settings: dict[str, Any]) -> Any:
    def use(use: Use) -> Any:
        model = use.model(**settings)
        if method == "stream":
            return whole(list(model.stream(QUESTION, use.config)))
        if method == "generate":
            return model.generate([[HumanMessage(QUESTION)]], **use.config)
        return model.invoke(QUESTION, use.config)

    return use


for _name, _settings in OF_THE_MODEL.items():
    WAYS.way(f"setting: {_name}, invoke")(_with_settings("invoke", _settings))
for _name in (
    "n=2",
    "tags and metadata",
    "output_version v1",
    "disable_streaming",
    "stream_usage",
    "stream_usage=False",
    "name",
):
    WAYS.way(f"setting: {_name}, stream")(_with_settings("stream", OF_THE_MODEL[_name]))
WAYS.way("setting: n=2, generate")(_with_settings("generate", {"n": 2}))

OF_A_CALL: dict[str, dict[str, Any]] = {
    "stop": {"stop": ["END"]},
    "temperature": {"temperature": 0},
    "max_tokens": {"max_tokens": 20},
    "model": {"model": "gpt-4.1-mini"},
    "response_format": {"response_format": {"type": "json_object"}},
    "extra_headers": {"extra_headers": {"X-Turn": "1"}},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "an unknown one": {"nonsense": 1},
}


def _call_with(settings: dict[str, Any], *, bound: bool) -> Any:
    def use(use: Use) -> Any:
        if bound:
            return use.model().bind(**settings).invoke(QUESTION, use.config)
        return use.model().invoke(QUESTION, use.config, **settings)

    return use


for _name, _settings in OF_A_CALL.items():
    WAYS.way(f"setting of a call: {_name}")(_call_with(_settings, bound=False))
    WAYS.way(f"bind: {_name}")(_call_with(_settings, bound=True))


def _answers(settings: dict[str, Any], body: Any, events: Any) -> Any:
    def invoke(use: Use) -> Any:
        return use.scripted(body, **settings).invoke(QUESTION, use.config)

    def stream(use: Use) -> Any:
        model = use.scripted(body, events, **settings)
        return whole(list(model.stream(QUESTION, use.config)))

    return invoke, stream


_text = completion(content="Hello")
_outputs = [REASONING, CITED_TEXT, FUNCTION_CALL]
_deltas = completion_events([{"content": "Hel"}, {"content": "lo"}])
FULL_ANSWERS: dict[str, Any] = {
    "every field": ({}, _text, _deltas),
    "every field, output_version v1": ({"output_version": "v1"}, _text, _deltas),
    "refusal": (
        {},
        completion(refusal="No."),
        completion_events([{"refusal": "No."}]),
    ),
    "cut off": (
        {},
        completion("length", content="Hel"),
        completion_events([{"content": "Hel"}], "length"),
    ),
    "Responses API": (
        {"use_responses_api": True},
        response(_outputs),
        response_events(_outputs),
    ),
    "Responses API, output_version v1": (
        {"use_responses_api": True, "output_version": "v1"},
        response(_outputs),
        response_events(_outputs),
    ),
}
for _name, (_settings, _body, _events) in FULL_ANSWERS.items():
    _invoke, _stream = _answers(_settings, _body, _events)
    WAYS.way(f"answer with {_name}: invoke")(_invoke)
    WAYS.way(f"answer with {_name}: stream")(_stream)


class _Limiter(InMemoryRateLimiter):
    asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True


@WAYS.way("rate limiter of the model")
def _(use: Use) -> Any:
    limiter = _Limiter()
    answer = use.model(rate_limiter=limiter).invoke(QUESTION, use.config)
    return answer, limiter.asked


@WAYS.way("callbacks of the model")
def _(use: Use) -> Any:
    own = Recorder()
    return use.model(callbacks=[own]).invoke(QUESTION, use.config), own.ran


@WAYS.way("asynchronous callbacks of the model")
async def _(use: Use) -> Any:
    own = AsyncRecorder()
    return await use.model(callbacks=[own]).ainvoke(QUESTION, use.config), own.ran


@WAYS.way("LangChain's cache on the model")
def _(use: Use) -> Any:
    model = use.model(cache=InMemoryCache())
    return [model.invoke(QUESTION, use.config), model.invoke(QUESTION, use.config)]


@WAYS.way("LangChain's global cache")
def _(use: Use) -> Any:
    set_llm_cache(InMemoryCache())
    try:
        model = use.model()
        return [model.invoke(QUESTION, use.config), model.invoke(QUESTION, use.config)]
    finally:
        set_llm_cache(None)


@WAYS.way("stream_usage of a call")
def _(use: Use) -> Any:
    return whole(Chunks(use.model().stream(QUESTION, use.config, stream_usage=True)))
