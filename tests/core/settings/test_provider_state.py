"""Which settings refer to state at the provider, wherever they are set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from llm_optimizers.settings.provider_state import (
    ProviderState,
    holds_reference,
    state_of,
    stateful_settings,
)
from support.ids import steady_id


@pytest.mark.parametrize(
    "settings",
    [
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"background": True},
        {"thread_id": "thread_1"},
        {"sessionId": "s"},
        {"container": "container_1"},
        {"mcp_servers": [{"type": "url", "url": "https://mail.example"}]},
        {"extra_body": {"conversation_id": "c"}},
        {"model_kwargs": {"extra_body": {"context_id": "c"}}},
        {"llm": {"class": "x", "additional_kwargs": {"conversation": "c"}}},
        {"llm": {"llm": {"track_previous_responses": True}}},
        {"provider_state": [{}, {"reuse_last_container": True}]},
        {"tools": [{"type": "function"}, {"type": "mcp_toolset"}]},
        {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
        {"llm": {"built_in_tools": [{"type": "code_interpreter"}]}},
    ],
    ids=steady_id,
)
def test_moving_state_is_found(settings: dict[str, Any]) -> None:
    assert state_of(settings).moving


@pytest.mark.parametrize(
    "settings",
    [
        {"previous_response_id": "resp_1"},
        {"extra_body": {"previous_interaction_id": "v1_x"}},
    ],
    ids=steady_id,
)
def test_a_response_that_is_gone_on_from_is_found(settings: dict[str, Any]) -> None:
    state = state_of(settings)
    assert state.continued
    assert not state.moving


@pytest.mark.parametrize(
    "settings",
    [
        {"cached_content": "cachedContents/1"},
        {"generation_config": {"class": "Config", "fields": {"cached_content": "c"}}},
        {"prompt": {"id": "pmpt_1"}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        {"web_search_options": {"search_context_size": "low"}},
        {"tools": [{"google_search": {}}]},
    ],
    ids=steady_id,
)
def test_fixed_state_is_found(settings: dict[str, Any]) -> None:
    state = state_of(settings)
    assert state.fixed
    assert not state.moving
    assert not state.continued


class Shapeless:
    """Like an array, it cannot say whether it is empty."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


SCHEMA = {"type": "object", "properties": {"conversation": {"type": "string"}}}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.2, "store": True, "include": ["reasoning.encrypted_content"]},
        {"prompt_cache_key": "k", "metadata": {"conversation": "c", "session_id": "s"}},
        {"conversation": None, "background": False, "thread_id": "", "container": {}},
        {"prompt": "Say hello"},
        {"tools": [{"type": "function", "function": {"name": "conversation"}}]},
        {"tools": [{"type": "function", "function": {"parameters": SCHEMA}}]},
        {"tools": [{"name": "read", "input_schema": SCHEMA}, "text", None, {}]},
        {"tools": [{"function_declarations": [{"name": "read"}]}, {"schema": SCHEMA}]},
        {"response_format": {"json_schema": {"schema": SCHEMA}}},
        {"temperature": Shapeless()},
    ],
    ids=lambda settings: ",".join(settings),
)
def test_other_settings_are_no_state(settings: dict[str, Any]) -> None:
    assert state_of(settings) == ProviderState()
    assert not state_of(settings)


def test_settings_that_hold_themselves_come_to_an_end() -> None:
    settings: dict[str, Any] = {"conversation": "c"}
    settings["extra_body"] = settings
    assert state_of(settings).moving == ("conversation",)


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    temperature: float = 0.5
    use_previous_response_id: bool = False
    additional_kwargs: dict[str, Any] = {}
    _previous_response_id: str | None = PrivateAttr(default=None)

    def go_on_from(self, response: str) -> Model:
        self._previous_response_id = response
        return self


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model(), {}),
        (Model(use_previous_response_id=True), {"use_previous_response_id": True}),
        (Model().go_on_from("resp_1"), {"previous_response_id": "resp_1"}),
        (Model(additional_kwargs={"top_k": 3}), {}),
        (Model(cached_content="c"), {"cached_content": "c"}),
        (SimpleNamespace(_thread_id="t", client=object()), {"thread_id": "t"}),
        (object(), {}),
    ],
    ids=steady_id,
)
def test_a_model_s_settings_are_read(model: object, expected: dict[str, Any]) -> None:
    assert stateful_settings(model) == expected


def test_only_settings_with_state_are_returned() -> None:
    settings = {"extra_body": {"thread_id": "t"}, "model_kwargs": {"top_k": 1}, "seed": 1}
    assert stateful_settings(settings) == {"extra_body": {"thread_id": "t"}}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "reasoning", "id": "rs_1", "summary": []}, True),
        ({"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}, False),
        ({"type": "reasoning", "reasoning": "text"}, False),
        ({"type": "item_reference", "id": "msg_1"}, True),
        ({"type": "audio", "id": "audio_1"}, True),
        ({"type": "audio", "id": "lc_1", "base64": "aGk="}, False),
        ({"type": "image_generation_call", "id": "ig_1"}, True),
        ({"type": "image_generation_call", "id": "ig_1", "result": "aGk="}, False),
        ({"type": "web_search_call", "id": "ws_1", "action": {"query": "q"}}, True),
        ({"type": "file_search_call", "id": "fs_1", "results": [{"text": "t"}]}, False),
        ({"type": "text", "id": "msg_1", "text": "hi"}, False),
        ({"type": "file", "source_type": "id", "id": "file-1", "mime_type": "text/csv"}, True),
        ({"type": "image", "id": "file-1"}, True),
        ({"type": "image", "id": "lc_1", "base64": "aGk="}, False),
        ({"type": "file", "file": {"file_id": "file-1"}}, True),
        ({"type": "file", "file": {"file_data": "aGk="}}, False),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, True),
        ({"type": "document", "source": {"type": "text", "data": "hi"}}, False),
        ({"type": "media", "file_uri": "files/1", "mime_type": "image/png"}, True),
        ({"type": "input_image", "file_id": "file-1"}, True),
        ({"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}}, False),
        ({"id": "msg_1"}, False),
        ({"type": ["odd"], "id": "x"}, False),
        ({}, False),
    ],
    ids=steady_id,
)
def test_a_block_that_only_names_its_content_is_a_reference(
    block: dict[str, Any], expected: bool
) -> None:
    assert holds_reference(block) is expected
