"""Texts from outside: what is shown is safe for a terminal and a log, and keeps no secret."""

from __future__ import annotations

import logging
import pickle
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.errors import (
    ConfigurationError,
    DeadlineError,
    InterruptedStreamError,
    ItemError,
    LLMOptimizersError,
    PoisonedEntryError,
)
from llm_optimizers.secrets import REMOVED, is_secret_name, redacted, without_secrets
from llm_optimizers.shown import safe_logger, shown, shown_lines

HOSTILE = [
    *("\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x9b31m", "\x7f"),
    *("\u202ecba", "\u2066a\u2069", "a\u200bb", "\ufeffa", "a\u2028b", "a\u0085b", "\ud800"),
    *("a\nb", "a\rb", "a\tb", "\x00", "\U000e0041", "\u00ad"),
]
SECRETS = [
    "sk-proj-abcdefgh12345678",
    "sk-ab***",
    "sk-ant-api03-abcdefgh",
    "AIzaSyA1234567890abcdefghijk",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456-abcdef",
    "ghp_abcdefghijklmnop1234",
    "github_pat_11ABCDEFG_abcdef",
    "hf_abcdefghijklmnop",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def",
]
PLACES = [
    "{}",
    "Incorrect API key provided: {}. You can find your API key at https://example.com.",
    "Authorization: Bearer {}",
    "{{'api_key': '{}'}}",
    "OPENAI_API_KEY={}",
    "https://example.com/v1?key={}&x=1",
    "redis://user:{}@example.com:6379/0",
    "({})",
    r"'refused:\n{}'",
    r"'\x1b{}'",
]


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_shows_nothing_is_shown_as_an_escape(text: str) -> None:
    assert is_safe(shown(text))
    assert "\\" in shown(text)


@given(st.text(), st.integers(2, 50))
def test_any_text_is_shown_safely_and_short(text: str, most: int) -> None:
    found = shown(text, most=most)
    assert is_safe(found)
    assert len(found) <= most
    assert shown(shown(text)) == shown(text)
    assert all(is_safe(line) for line in shown_lines(text).split("\n"))
    assert shown_lines(shown_lines(text)) == shown_lines(text)


@pytest.mark.parametrize(
    "text", ["", "gpt-4o", "Größe 5 €", "数据", "a\xa0b", "emoji 🎉", "[red]x[/red]"]
)
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_a_megabyte_is_cut() -> None:
    assert len(shown("x" * 1_000_000)) == 300
    assert len(shown("\x1b" * 1_000_000)) == 300


def test_a_value_whose_text_fails_is_shown_by_its_class() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    assert shown(Broken()) == "Broken"
    assert shown(ValueError("a\x1bb")) == r"a\x1bb"


@pytest.mark.parametrize(
    "text",
    [
        *("sk-secretkey", "sk-a1b2c3", "sk_live_abcd", "xai-0a1b2c3d", "xoxb-secret"),
        *("authorization: bearer hunter", "{'auth': 'bearer hunter'}", "Bearer hunter"),
    ],
)
def test_short_secrets_are_removed_too(text: str) -> None:
    assert REMOVED in redacted(f"refused: {text}")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_removed_wherever_it_stands(secret: str, place: str) -> None:
    text = place.format(secret)
    for found in (redacted(text), shown(text), str(ItemError(text))):
        assert secret not in found
        assert secret[:12].rstrip("*") not in found
        assert REMOVED in found
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "use sk-learn for this task-force; the disk-full error",
        "max_tokens=100, token_budget: 500, total_tokens=7",
        "https://example.com/users/@me and https://example.com/a?b=c",
        "unexpected token: }",
        "the basic idea of a tokenizer",
        "a known model gpt-4o-mini has no price",
        "risk-based decisions, asiatic",
        "user@example.com",
        "https://example.com/a?code=US&key=color",
        *(
            "sk-SK",
            "sk-42",
            "sk-bratislava",
            "sk_users_eu",
            "rk_premium",
            "rk-2024",
            "task-1234567",
        ),
        *("xai-research-team", "nvapi-team", "xoxo-hugs", "pplx-70b-online", "ASIAPACIFIC2026"),
        *("basic subscription", "Basic enterprise-customers", "bearer of news", "a bearer bond"),
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "eyJmbGFnIjoidHJ1ZSIsICJzb3J0IjoxfQ==",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "redis://:p@ss/w0rd@host/0",
        "postgres://u:p@host/db failed",
        "password = 'correct horse'",
        '"client_secret": "abc def"',
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==",
    ],
)
def test_passwords_and_keys_by_name_are_removed(text: str) -> None:
    found = redacted(text)
    assert REMOVED in found
    for part in ("ss/w0rd", "u:p@", "horse", "abc", "dXNl"):
        assert part not in found


SECRET_NAMES = (
    "api_key apiKey OPENAI_API_KEY X-Api-Key Authorization token access_token authToken password "
    "client_secret headers cookie credentials"
)
OTHER_NAMES = (
    "max_tokens token_budget tokens total_tokens max_token stop_token tokenizer author key user "
    "api_key_alias key_name page_token next_page_token token_type password_reset cookie_banner "
    "secretary session_id "
    "tenant model input_token_details keyboard"
)


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret_name(name)
    assert without_secrets({"a": [{name: "x"}]}) == {"a": [{name: REMOVED}]}
    assert without_secrets({name: {"deep": "x"}}) == {name: REMOVED}


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_other_settings_stay(name: str) -> None:
    assert without_secrets({name: "x", "n": 1, "f": 0.5, "no": None}) == {
        name: "x",
        "n": 1,
        "f": 0.5,
        "no": None,
    }


def test_numbers_are_no_secrets_and_deep_values_end() -> None:
    assert without_secrets({"token": 5}) == {"token": 5}
    deep: object = "x"
    for _ in range(500):
        deep = [deep]
    assert REMOVED in str(without_secrets(deep))


@pytest.mark.parametrize("kind", [LLMOptimizersError, ConfigurationError, DeadlineError])
def test_errors_are_safe_to_show_and_travel(kind: type[Exception]) -> None:
    error = kind("bad \x1b[2J name sk-proj-abcdefgh12345678", 5)
    assert "\x1b" not in str(error) + repr(error)
    assert "abcdefgh" not in str(error)
    assert pickle.loads(pickle.dumps(error)).args == error.args


def test_an_error_s_own_fields_stay_as_they_are() -> None:
    assert InterruptedStreamError("x", partial="a\x1b").partial == "a\x1b"
    assert pickle.loads(pickle.dumps(PoisonedEntryError("m\x9b", key="k"))).key == "k"


def test_log_records_are_one_safe_line_each(caplog: pytest.LogCaptureFixture) -> None:
    log = safe_logger("llm_optimizers.tests")
    assert safe_logger("llm_optimizers.tests") is log
    assert len(log.filters) == 1
    with caplog.at_level(logging.DEBUG, "llm_optimizers.tests"):
        log.warning("%s failed %d times: %s", "a\x1b[2J\nWARNING forged", 3, ValueError("sk-ab***"))
        log.warning("f\u202e\n")
        log.debug("trace", exc_info=ValueError("\x1b[2J"))
    assert [len(r.getMessage().splitlines()) for r in caplog.records] == [1, 1, 1]
    assert is_safe(caplog.text.replace("\n", ""))
    assert "failed 3 times: [removed]" in caplog.text


UNITS = [
    *("sk-", "://", "://a:", "bearer ", "eyJ", "api_key", "api_key=", "token ", "gh", "secret:  "),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "auth_token:",
        "AIza",
        "ya29.",
        "eyJaaaaaaaa",
        "passw",
        "&key",
    ),
    *("'\"", "api key provided", "-----BEGIN AA", "[removed]", "basic ", "\x1b", "@", "=", "key: "),
]


@pytest.mark.parametrize("unit", UNITS)
def test_removing_secrets_takes_linear_time(unit: str) -> None:
    """Four times the text takes no more than some four times as long."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            redacted(text)
            best = min(best, time.process_time() - start)
        return best

    assert any(seconds(160_000) < 12 * max(seconds(40_000), 2e-3) for _ in range(3))
