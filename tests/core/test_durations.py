"""Durations in every form that a setting takes, and what is refused."""

from datetime import timedelta

import pytest

from llm_optimizers.caching import ResponseCache
from llm_optimizers.durations import in_seconds
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.types import ChatRequest, Message


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (90, 90.0),
        (0.5, 0.5),
        (timedelta(hours=2), 7200.0),
        ("1h", 3600.0),
        ("45s", 45.0),
        ("1h 30m", 5400.0),
        ("1h30min", 5400.0),
        ("7 days", 604_800.0),
        (" 2W ", 1_209_600.0),
        ("1.5 h", 5400.0),
    ],
)
def test_what_is_understood(given, seconds):
    assert in_seconds(given, "ttl") == seconds


@pytest.mark.parametrize(
    "given",
    ["", "an hour", "1", "60", "h", "1 fortnight", "1h and 5m", "-1h", "0s", "٣h", 0, -1, True,
     float("nan"), timedelta(0), timedelta(seconds=-5), [1], b"1h"],
)  # fmt: skip
def test_what_is_refused_names_the_setting_and_what_to_give(given):
    with pytest.raises(ConfigurationError, match=r"`ttl` is .*give seconds above 0.*1h 30m"):
        in_seconds(given, "ttl")


def test_a_cache_takes_a_duration_as_text():
    now = [0.0]
    cache: ResponseCache[str] = ResponseCache(ttl="1h", clock=lambda: now[0])
    request = ChatRequest(messages=(Message(role="user", content="How long?"),), model="m")
    cache.update(request, "two weeks")
    now[0] = 3_599
    assert cache.lookup(request) is not None
    now[0] = 3_601
    assert cache.lookup(request) is None
