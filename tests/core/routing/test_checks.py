"""The checks of a cascade, its verifier and its judge."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.comparison import same_by, same_final_answer
from llm_optimizers.failures import read_failure
from llm_optimizers.routing.cascade.checks import (
    Agreement,
    Matches,
    ModelAnswer,
    NotEmpty,
    NotRefused,
    ValidJson,
    ValidSchema,
)
from llm_optimizers.routing.cascade.verifier import Judge, Verifier


def a(text: str, **more: str) -> ModelAnswer:
    return ModelAnswer(model="m", text=text, **more)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("I'm sorry, but I can't assist with that.", False),
        ("I cannot help with this request.", False),
        ("I don't know.", False),
        ("As an AI language model, I have no opinion.", False),
        ("Unfortunately, I am not able to.", False),
        ("Paris is sorry to see you go.", True),
        ("The answer is 4. I'm sorry for the delay.", True),
        ("I know that it is 4.", True),
    ],
)
def test_refusals_are_recognised(ask, text, passes):
    assert NotRefused().score(ask(), [a(text)]) == float(passes)


def test_a_tool_call_counts_as_an_answer(ask):
    call = a("", tool_calls='[{"name": "f"}]')
    assert NotEmpty().score(ask(), [call]) == NotRefused().score(ask(), [call]) == 1.0
    assert NotEmpty().score(ask(), [a(" \n")]) == 0.0


SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "schema": {
            "type": "object",
            "required": ["name", "age"],
            "properties": {
                "name": {"type": "string"},
                "age": {"type": ["integer", "null"]},
                "home": {"type": "object", "required": ["town"]},
            },
        }
    },
}


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"name": "Ada", "age": 36}', 1.0),
        ('{"name": "Ada", "age": null}', 1.0),
        ('```json\n{"name": "Ada", "age": 36}\n```', 1.0),
        ('{"name": "Ada"}', 0.0),
        ('{"name": "Ada", "age": true}', 0.0),
        ('{"name": 3, "age": 36}', 0.0),
        ('{"name": "Ada", "age": 36, "home": {}}', 0.0),
        ('["Ada", 36]', 0.0),
        ("Ada is 36.", 0.0),
    ],
)
def test_json_is_checked_against_the_requested_schema(ask, text, score):
    assert ValidJson().score(ask(response_format=SCHEMA), [a(text)]) == score


def test_the_json_check_applies_only_where_json_was_asked_for(ask):
    assert ValidJson().score(ask(), [a("prose")]) is None
    assert ValidJson().score(ask(response_format={"type": "json_object"}), [a("prose")]) == 0.0


class Person(BaseModel):
    name: str


def test_a_pydantic_model_is_a_check(ask):
    check = ValidSchema(Person)
    assert check.score(ask(), [a('{"name": "Ada"}')]) == 1.0
    assert check.score(ask(), [a('{"nom": "Ada"}')]) == 0.0


def test_a_pattern_is_a_check(ask):
    assert Matches("####").score(ask(), [a("so\n#### 4")]) == 1.0
    assert Matches("####").score(ask(), [a("so 4")]) == 0.0
    assert not Matches("x", gate=False).gate


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("First 3, then 4, so 1,234.50", "1234.5"),
        ("It is 12.", "12"),
        ("-7", "-7"),
        ("Reasons.\n\n**Paris.**", "paris"),
        ("", ""),
        ("100", "100"),
    ],
)
def test_the_final_answer_is_found(text, answer):
    assert same_final_answer(text, answer)


def test_agreement_is_a_share(ask):
    check = Agreement()
    assert check.score(ask(), [a("4")]) is None
    assert check.score(ask(), [a("4"), a("It is 4.0"), a("5")]) == 0.5
    called = ModelAnswer(model="m", text="", tool_calls='[{"name": "f"}]')
    assert check.score(ask(), [called, called]) == 1.0
    custom = Agreement(same_by(lambda text: text[:1]))
    assert custom.score(ask(), [a("yes!"), a("yep")]) == 1.0


def test_a_verifier_with_contradicting_settings_is_refused():
    with pytest.raises(ConfigurationError, match="the same name"):
        Verifier(checks=(NotEmpty(), NotEmpty()))
    with pytest.raises(ConfigurationError, match="do not exist"):
        Verifier(checks=(NotEmpty(),), weights={"agreement": 1.0})


def test_a_failed_gate_overrides_every_other_score(ask):
    verifier = Verifier(checks=(NotEmpty(), Agreement()), weights={"agreement": 9.0}, threshold=0.5)
    assert not verifier.verify(ask(), [a(""), a("")]).accepted
    assert verifier.verify(ask(), [a("4"), a("4")]).accepted


def test_the_judge_sees_the_last_question_and_the_answer(ask):
    request = Judge(model="large").request(ask("Why?", "Because.", "Really?"), a("Yes."))
    assert "Really?" in request.messages[1].text
    assert "Yes." in request.messages[1].text


@pytest.mark.parametrize(
    ("reply", "grade"),
    [("8", 0.8), ("8/10", 0.8), ("Grade: 7.5.", 0.75), ("0", 0.0), ("11", None), ("-5", None)],
)
def test_a_judges_grade_is_divided_by_ten(reply, grade):
    assert Judge(model="large").read(reply) == grade


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:40 GMT"}, 30.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "-3"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_number_or_date(headers, seconds):
    class RateLimitError(Exception):
        status_code = 429

    error = RateLimitError()
    error.response = type("R", (), {"headers": headers})()
    assert read_failure(error, now=10.0).retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(408, True), (429, True), (500, True), (529, True), (400, False), (401, False), (404, False)],
)
def test_the_status_says_whether_an_error_is_retryable(status, retryable):
    error = type("APIStatusError", (Exception,), {"status_code": status})()
    assert read_failure(error, now=0).retryable is retryable


def test_errors_without_a_status_are_classified_by_class():
    assert read_failure(type("APIConnectionError", (Exception,), {})(), now=0).retryable
    assert read_failure(TimeoutError(), now=0).retryable
    assert not read_failure(KeyError(), now=0).retryable
