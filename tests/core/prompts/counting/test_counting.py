"""Token counts, exact or marked as estimates."""

from __future__ import annotations

import base64
import logging
import struct
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.prompts import TokenCount, TokenCounter
from llm_optimizers.prompts.counting import tokens as counting
from llm_optimizers.prompts.counting.vocabularies import (
    EncodingLoader,
    encoding_name,
    load_encoding,
)
from llm_optimizers.types import ChatRequest

counter = TokenCounter()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("openai/gpt-4.1-nano", "o200k_base"),
        ("openai:gpt-5.2", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("ft:gpt-4.1:org::id", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("text-davinci-003", "p50k_base"),
        ("claude-sonnet-4-5", None),
        ("gemini-2.5-pro", None),
        ("ollama/llama3", None),
        ("", None),
    ],
)
def test_each_family_has_its_own_encoding(model: str, name: str | None) -> None:
    assert encoding_name(model) == name


@given(st.text(max_size=400))
def test_counts_equal_tiktokens(text: str) -> None:
    load_encoding("o200k_base")
    expected = len(tiktoken.get_encoding("o200k_base").encode(text, disallowed_special=()))
    assert counter.count(text, "gpt-4o") == TokenCount(tokens=expected, exact=True)


def test_the_two_encodings_differ() -> None:
    text = "Übermäßige Größenordnungen überfordern मानक शब्द"
    assert counter.count(text, "gpt-4o").tokens < counter.count(text, "gpt-4").tokens


def test_special_tokens_in_a_text_count_as_text() -> None:
    assert counter.count("<|endoftext|>", "gpt-4o").tokens > 1


def test_a_count_without_a_public_tokenizer_is_an_estimate() -> None:
    found = counter.count("The quick brown fox.", "claude-sonnet-4-5")
    assert not found.exact
    assert found.tokens == 5


def test_a_long_text_is_counted_in_parts_that_add_up() -> None:
    text = "".join(f"Sentence number {n}, with a comma; and a line.\n" for n in range(8_000))
    expected = len(tiktoken.get_encoding("o200k_base").encode_ordinary(text))
    assert len(text) > 300_000
    assert counter.count(text, "gpt-4o") == TokenCount(tokens=expected, exact=True)


@pytest.mark.parametrize("run", [" ", "a", "^", "\n", "中"])
def test_a_long_run_without_a_safe_cut_is_an_estimate(run: str) -> None:
    found = counter.count(run * 250_000, "gpt-4o")
    assert found.tokens > 1_000
    assert not found.exact


def test_lone_surrogates_do_not_stop_a_count() -> None:
    assert counter.count("a\ud800b", "gpt-4o").tokens > 0


def test_an_empty_text_has_no_tokens() -> None:
    assert counter.count("", "gpt-4o") == TokenCount(tokens=0, exact=True)


def test_the_same_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(counting, "load_encoding", lambda n: calls.append(n) or load_encoding(n))
    small = TokenCounter(remembered=2)
    for text in ("a", "b", "a", "c", "b"):
        small.count(text, "gpt-4o")
    assert len(calls) == 4  # `b` was the oldest when `c` came


def test_a_megabyte_is_counted() -> None:
    assert counter.count("word " * 200_000, "gpt-4o").tokens > 190_000
    assert counter.count("word", "gpt-4o").tokens == 1


def test_chat_framing_is_three_a_message_and_three_for_the_reply() -> None:
    request = ChatRequest.from_openai(
        {
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi", "name": "ann"},
            ],
        }
    )
    words = ("system", "Be brief.", "user", "Hi", "ann")
    text = sum(counter.count(word, "gpt-4o").tokens for word in words)
    assert counter.count_request(request) == TokenCount(tokens=text + 2 * 3 + 1 + 3, exact=True)


def test_openais_published_example_is_reproduced() -> None:
    """The messages and the count of OpenAI's cookbook on counting tokens."""
    parts = [
        ("system", "You are a helpful, pattern-following assistant that translates corporate "
         "jargon into plain English.", None),
        ("system", "New synergies will help drive top-line growth.", "example_user"),
        ("system", "Things working well together will increase revenue.", "example_assistant"),
        ("system", "Let's circle back when we have more bandwidth to touch base on opportunities "
         "for increased leverage.", "example_user"),
        ("system", "Let's talk later when we're less busy about how to do better.",
         "example_assistant"),
        ("user", "This late pivot means we don't have time to boil the ocean for the client "
         "deliverable.", None),
    ]  # fmt: skip
    messages = [
        {"role": role, "content": text} | ({"name": name} if name else {})
        for role, text, name in parts
    ]
    for model, tokens in (("gpt-4", 129), ("gpt-4o", 124)):
        request = ChatRequest.from_openai({"model": model, "messages": messages})
        assert counter.count_request(request) == TokenCount(tokens=tokens, exact=True)


def test_openais_published_tool_example_is_reproduced() -> None:
    """The tools and the counts of the same page."""
    unit = {"type": "string", "description": "The unit of temperature to return",
            "enum": ["celsius", "fahrenheit"]}  # fmt: skip
    place = {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}
    function = {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {"location": place, "unit": unit},
            "required": ["location"],
        },
    }
    body = {
        "messages": [
            {
                "role": "system",
                "content": "You are a helpful assistant that can answer to questions about the "
                "weather.",
            },
            {"role": "user", "content": "What's the weather like in San Francisco?"},
        ],
        "tools": [{"type": "function", "function": function}],
    }
    for model, tokens in (("gpt-4", 105), ("gpt-4o", 101)):
        request = ChatRequest.from_openai({**body, "model": model})
        assert counter.count_request(request) == TokenCount(tokens=tokens, exact=True)


def test_nested_tools_and_earlier_tool_calls_are_estimates() -> None:
    nested = {
        "function": {
            "name": "f",
            "parameters": {"properties": {"a": {"type": "array", "items": {"type": "string"}}}},
        }
    }
    user = {"role": "user", "content": "Go"}
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    tools = ChatRequest.from_openai({"model": "gpt-4o", "messages": [user], "tools": [nested]})
    called = ChatRequest.from_openai(
        {"model": "gpt-4o", "messages": [user, {"role": "assistant", "tool_calls": [call]}]}
    )
    assert not counter.count_request(tools).exact
    assert not counter.count_request(called).exact


def test_malformed_tools_do_not_stop_a_count() -> None:
    odd = [{}, {"function": None}, {"name": "x", "parameters": {"properties": {"p": 1}}}, "no"]
    request = ChatRequest.from_openai(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "tools": odd}
    )
    assert not counter.count_request(request).exact


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x06\0\0\0"
    return "data:image/png;base64," + base64.b64encode(head).decode()


def jpeg(width: int, height: int) -> str:
    app = b"\xff\xe0" + struct.pack(">H", 16) + b"\0" * 14
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\0\0\0"
    return "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8" + app + frame).decode()


@pytest.mark.parametrize(
    ("model", "url", "detail", "tokens", "exact"),
    [
        ("gpt-4o", png(1024, 1024), "high", 765, True),  # the documented examples
        ("gpt-4o", png(2048, 4096), "high", 1105, True),
        ("gpt-4o", png(4096, 8192), "low", 85, True),
        ("gpt-4o", jpeg(1024, 1024), "auto", 765, True),
        ("gpt-4.1-mini", png(1024, 1024), "high", 1659, True),
        ("gpt-4.1-mini", png(1800, 2400), "high", 2353, True),
        ("gpt-4o-mini", png(512, 512), "high", 8500, True),
        ("o1", png(100, 100), "low", 75, True),
        ("gpt-4o", "https://example.com/a.png", "high", 765, False),
        ("claude-sonnet-4-5", png(1024, 1024), "high", 765, False),
        ("gpt-4o", "data:image/png;base64,!!!!", "high", 765, False),
    ],
)
def test_images_are_counted_by_the_documented_rules(
    model: str, url: str, detail: str, tokens: int, exact: bool
) -> None:
    image = {"type": "image_url", "image_url": {"url": url, "detail": detail}}
    request = ChatRequest.from_openai(
        {"model": model, "messages": [{"role": "user", "content": [image]}]}
    )
    frame = 3 + counter.count("user", model).tokens + 3
    found = counter.count_request(request)
    assert found.tokens - frame == tokens
    assert found.exact is exact


def test_gif_and_webp_sizes_are_read() -> None:
    gif = b"GIF89a" + struct.pack("<HH", 640, 480)
    webp = b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + (639).to_bytes(3, "little")
    webp += (479).to_bytes(3, "little")
    for kind, data in (("gif", gif), ("webp", webp)):
        url = f"data:image/{kind};base64," + base64.b64encode(data).decode()
        image = {"type": "image_url", "image_url": {"url": url}}
        request = ChatRequest.from_openai(
            {"model": "gpt-4o", "messages": [{"role": "user", "content": [image]}]}
        )
        assert counter.count_request(request) == TokenCount(tokens=425 + 7, exact=True)


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, in a process where tiktoken has loaded no vocabulary yet."""
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_shipped_vocabulary_is_copied_into_tiktokens_cache(empty_cache: Path) -> None:
    assert EncodingLoader().load("cl100k_base") is not None
    assert [f.name for f in empty_cache.iterdir()] == ["9b5ad71b2ce5302211f9c61530b329a4922fc6a4"]


@pytest.mark.usefixtures("empty_cache")
def test_without_a_vocabulary_counts_are_estimates_and_one_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_network(path: str) -> bytes:
        raise OSError(path)

    monkeypatch.setattr("tiktoken.load.read_file", no_network)
    monkeypatch.setattr(counting, "load_encoding", EncodingLoader(lambda key: []).load)
    text = "Several ordinary words are in this line, 12 of them, and nothing else at all.\n" * 40
    with caplog.at_level(logging.WARNING):
        found = [TokenCounter().count(text, "gpt-4o") for _ in range(2)]
    assert not any(count.exact for count in found)
    assert abs(found[0].tokens / (19 * 40) - 1) < 0.15
    assert len(caplog.records) == 1
    assert "TIKTOKEN_CACHE_DIR" in caplog.text


@pytest.mark.usefixtures("empty_cache")
def test_a_damaged_shipped_copy_is_not_used_and_not_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(path: str) -> bytes:
        raise OSError(path)

    monkeypatch.setattr("tiktoken.load.read_file", no_network)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"not a vocabulary")
    assert EncodingLoader(lambda key: [damaged]).load("cl100k_base") is None
    assert damaged.read_bytes() == b"not a vocabulary"


def test_images_in_other_formats_have_the_same_count() -> None:
    data = png(512, 512).partition(",")[2]
    source = {"type": "base64", "media_type": "image/png", "data": data}
    for block in (
        {"type": "image", "base64": data, "mime_type": "image/png"},
        {"type": "image", "source": source},
        {"type": "input_image", "image_url": png(512, 512)},
    ):
        request = ChatRequest.from_openai(
            {"model": "gpt-4o", "messages": [{"role": "user", "content": [block]}]}
        )
        assert counter.count_request(request) == TokenCount(tokens=255 + 7, exact=True)


def test_a_files_bytes_are_not_counted_as_text() -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "QUJD" * 100_000}}
    request = ChatRequest.from_openai(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": [file]}]}
    )
    found = counter.count_request(request)
    assert found.tokens < 50
    assert not found.exact
