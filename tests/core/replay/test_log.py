"""A user's log: what is read of it, and what is skipped and listed by number."""

from __future__ import annotations

import gzip
import json

import pytest

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.replay.log import read_log
from llm_optimizers.replay.shipped import day_log

GOOD = '{"messages": [{"role": "user", "content": "Where is my order?"}]}'


@pytest.fixture
def read(tmp_path):
    def reading(*lines, limit=None):
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines))
        return read_log(path, limit)

    return reading


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "not JSON"),
        ("[1, 2]", "not an object"),
        ("null", "not an object"),
        ('{"messages": []}', "no `messages`"),
        ('{"messages": "hello"}', "no `messages`"),
        ('{"messages": [1]}', "must be an object"),
        ('{"messages": [{"role": "boss", "content": "x"}]}', "'boss'"),
        ('{"messages": [{"role": "user", "content": 7}]}', "content is a int"),
        ('{"messages": [{"role": "assistant", "tool_calls": 5}]}', "tool_calls"),
        ('{"messages": [{"role": "assistant", "tool_calls": ["x"]}]}', "tool call"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{"function": "x"}]}]}', "tool call"),
        ('{"messages": [{"role": "user", "content": "x", "name": 7}]}', "`name`"),
        ('{"prompt": ["a", "b"]}', "no `messages`"),
        (GOOD[:-1] + ', "response": {"text": "hi"}}', "`response`"),
        (GOOD[:-1] + ', "temperature": NaN}', "NaN"),
        (GOOD.replace("Where", r"\ud800"), "UTF-8"),
        (b'{"prompt": "caf\xe9"}', "UTF-8"),
        ("[" * 100_000, "nested"),
    ],
)
def test_a_malformed_line_is_reported_by_number_and_the_others_are_kept(read, line, reason):
    log = read(GOOD, "", line, GOOD)
    assert [request.id for request in log.requests] == ["line-1", "line-4"]
    (bad,) = log.bad_lines
    assert bad.number == 3
    assert reason in bad.reason


def test_gzip_is_recognised_by_content(tmp_path):
    for name, data in (
        ("a.jsonl.gz", gzip.compress(GOOD.encode())),
        ("b.jsonl", gzip.compress(GOOD.encode())),
        ("c.gz", GOOD.encode()),
        ("d.jsonl", b"\xef\xbb\xbf" + GOOD.encode()),
    ):
        (tmp_path / name).write_bytes(data)
        assert read_log(tmp_path / name).requests[0].request.question == "Where is my order?"


def test_a_prompt_alone_is_a_request(read):
    log = read(
        '{"prompt": "one"}',
        '{"text": "two", "intent": "card_arrival", "split": "train"}',
        '{"text": "three", "answer_class": "c", "tenant": "acme", "model": "gpt-4o-mini"}',
    )
    assert [r.request.question for r in log.requests] == ["one", "two", "three"]
    assert [r.answer_class for r in log.requests] == ["", "card_arrival", "c"]
    assert [r.request.model for r in log.requests] == ["gpt-4o", "gpt-4o", "gpt-4o-mini"]
    assert [r.tenant for r in log.requests] == ["", "", "acme"]
    assert not log.unknown_fields


def test_a_response_is_a_text_or_a_completion(read):
    def line(response):
        return json.dumps({**json.loads(GOOD), "response": response})

    completion = {"choices": [{"message": {"role": "assistant", "content": "Here."}}]}
    calling = {"choices": [{"message": {"role": "assistant", "content": None}}]}
    log = read(line("There."), line(completion), line(calling), line(None))
    assert [request.response for request in log.requests] == ["There.", "Here.", None, None]


def test_api_fields_are_kept_and_others_are_reported(read):
    settings = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "response_format": {"type": "json_object"},
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_completion_tokens": 10,
    }
    log = read(json.dumps({**json.loads(GOOD), **settings, "latency": 3, "time": "2026-01-01"}))
    assert log.requests[0].request.params == settings
    assert log.unknown_fields == {"latency"}


def test_every_request_has_a_unique_id_that_fits_in_a_header(read):
    def line(name):
        return json.dumps({**json.loads(GOOD), "id": name})

    log = read(*(line(name) for name in ("a", "a", "line-1", "x\ny", "ä", 5, "long" * 30)))
    names = [request.id for request in log.requests]
    assert names[0] == "a"
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.isprintable() and len(name) <= 64 for name in names)


def test_limit_counts_requests(read):
    log = read("bad", GOOD, GOOD, GOOD, limit=2)
    assert len(log.requests) == 2
    assert len(log.bad_lines) == 1


@pytest.mark.parametrize("content", ["", "\n\n", "x\ny"])
def test_a_log_without_a_request_says_what_a_line_looks_like(read, content):
    with pytest.raises(ConfigurationError, match=r"no request.*messages"):
        read(content)


def test_an_unreadable_file_is_an_error(tmp_path):
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(GOOD.encode() * 50)[:60])
    for path in (tmp_path / "missing.jsonl", cut):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_log(path)
    with pytest.raises(ConfigurationError, match="not of a folder"):
        read_log(tmp_path)


def test_the_shipped_day_is_a_day_of_a_real_product():
    requests = day_log().requests
    assert len(requests) >= 400
    assert not day_log().bad_lines
    assert len({request.tenant for request in requests}) >= 2
    assert all(request.response and request.answer_class for request in requests)
    assert any(request.background for request in requests)
    assert len({request.feature for request in requests}) >= 5
    # Exact repeats, and the same answer to other words.
    words = [(r.tenant, str(r.request.to_openai())) for r in requests]
    classes = [r.answer_class for r in requests]
    assert len(set(classes)) < len(set(words)) < len(requests)
