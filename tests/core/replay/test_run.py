"""The replay itself, over apps that misbehave on purpose: hits, errors, Ctrl-C, figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from llm_optimizers.costs import Ledger, Usage, price_call
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.replay import run as running
from llm_optimizers.replay.app import AppReply, Endpoint, Strategies, open_app
from llm_optimizers.replay.figures import as_dict
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.replay.run import replay
from llm_optimizers.replay.table import print_replay
from llm_optimizers.types import ChatRequest, Message

RECORDED = Endpoint(base_url="http://recorded", recorded=True)
CACHED = Strategies(cache=True)


def logged(name, *, answer_class="", response=None, question="", tenant=""):
    message = Message(role="user", content=question or name)
    return LoggedRequest(
        id=name,
        request=ChatRequest(messages=(message,), model="gpt-4o"),
        answer_class=answer_class,
        response=response,
        tenant=tenant,
    )


class FakeApp:
    """Asks `answers` for a reply or an error, and enters what was not a hit in the account."""

    def __init__(self, answers, strategies, ledger):
        self.answers, self.strategies, self.ledger = answers, strategies, ledger
        self.closed = False

    def ask(self, request):
        given = self.answers(request, self.strategies)
        if isinstance(given, BaseException):
            raise given
        self.ledger.record(
            price_call(
                self.ledger.prices,
                id=request.id,
                time=datetime.now(UTC),
                model="gpt-4o",
                usage=Usage(input_tokens=1_000, output_tokens=100),
                hit_strategy=f"cache.{given.tier}" if given.tier else None,
            )
        )
        return given

    def close(self):
        self.closed = True


@pytest.fixture
def go(monkeypatch):
    """Replays requests through a fake app with fixed answers; returns the replay and the apps."""

    def going(requests, answers, *, endpoint=RECORDED, baseline_pass=True):
        apps = []

        def opened(framework, strategies, endpoint, ledger):
            apps.append(FakeApp(answers, strategies, ledger))
            return apps[-1]

        monkeypatch.setattr(running, "open_app", opened)
        with Ledger() as ledger:
            found = replay(
                requests,
                "fake",
                CACHED,
                endpoint,
                ledger=ledger,
                baseline_pass=baseline_pass,
                progress=lambda name, done: None,
            )
        assert all(app.closed for app in apps)
        return found, apps

    return going


PAIR = [
    logged("on", answer_class="on", response="Press the upper button."),
    logged("off", answer_class="off", response="Press the lower button."),
]


def serve(texts):
    """An app that hits on the requests of `texts`, with these texts, and else asks the model."""

    def answers(request, strategies):
        if strategies.cache and request.id in texts:
            return AppReply(text=texts[request.id], tier="semantic")
        return AppReply(text=request.response or f"model's answer to {request.id}")

    return answers


def test_a_trap_served_from_the_cache_is_a_wrong_hit_and_a_wrong_answer(go):
    found, _ = go(PAIR, serve({"off": "Press the upper button."}))
    figures = as_dict(found)
    assert figures["wrong_hits"] == 1
    assert figures["wrong_hit_ids"] == ["off"]
    assert (figures["right_answers"], figures["judged_answers"]) == (1, 2)
    assert figures["quality_kept_pct"] == 50
    assert figures["hits"]["semantic"] == 1


def test_an_answer_right_for_both_classes_is_not_a_wrong_hit(go):
    pair = [logged("a", answer_class="a", response="No."), logged("b", answer_class="b")]
    both = [*pair, logged("c", answer_class="b", response="No.")]
    found, _ = go(both, serve({"c": "No."}))
    assert found.wrong_hits == 0


def test_an_answer_in_another_case_and_layout_is_the_same_answer(go):
    pair = [logged("a", response="It is Green."), logged("b", answer_class="b", response="No.")]
    found, _ = go(pair, serve({"a": "it is\ngreen", "b": "no"}))
    assert (found.right, found.judged, found.wrong_hits) == (2, 2, 0)


def test_an_unknown_answer_is_a_wrong_hit(go):
    found, _ = go(PAIR, serve({"off": "Somebody else's answer."}))
    assert found.wrong_hits == 1


def test_wrong_hits_are_counted_without_recorded_answers_too(go):
    """As with a live provider, or a log of questions: whose answer it was is known all the same."""
    requests = [
        logged("1", answer_class="card"),
        logged("2", answer_class="my card"),
        logged("3", answer_class="card"),
    ]
    own = "model's answer to 1"
    for endpoint in (RECORDED, Endpoint(base_url="http://live")):
        found, _ = go(requests, serve({"2": own, "3": own}), endpoint=endpoint)
        assert found.wrong == ["2"]


def test_wrong_hits_are_unknown_without_answer_classes(go):
    found, _ = go([logged("a"), logged("b")], serve({"b": "model's answer to a"}))
    assert found.wrong_hits is None
    assert as_dict(found)["wrong_hits"] is None


def test_a_live_provider_is_not_compared_with_the_log(go):
    found, _ = go(PAIR, lambda r, s: AppReply(text="other words"), endpoint=Endpoint())
    assert found.judged == 0
    assert as_dict(found)["quality_kept_pct"] is None


def test_an_exact_repeat_may_get_the_first_answer_though_the_log_has_another(go):
    requests = [
        logged("a", question="Hi", response="Hello!"),
        logged("b", question="Hi", response="Hey!"),
        logged("c", question="Hi", response="Hallo", tenant="other"),
    ]
    found, _ = go(requests, serve({"b": "Hello!", "c": "Hello!"}))
    assert (found.right, found.judged) == (2, 3)


def test_ctrl_c_in_the_baseline_pass_ends_the_replay_there(go):
    def answers(request, strategies):
        return KeyboardInterrupt() if request.id == "off" else AppReply(text="x")

    found, apps = go(PAIR, answers)
    assert len(apps) == 1
    assert found.interrupted
    assert found.requests == 1
    figures = as_dict(found)
    assert figures["cost"] == figures["baseline_cost"] > 0
    assert figures["saved"] == 0


def test_ctrl_c_in_the_second_pass_uses_the_baseline_of_what_was_sent(go):
    def answers(request, strategies):
        if strategies.cache:
            return KeyboardInterrupt() if request.id == "c" else AppReply(text="x", tier="exact")
        return AppReply(text="x")

    found, apps = go([*PAIR, logged("c")], answers)
    assert len(apps) == 2
    figures = as_dict(found)
    assert figures["interrupted"]
    assert figures["requests"] == figures["hits"]["exact"] == 2
    # Two calls, not the three that were sent without strategies.
    assert figures["baseline_cost"] == pytest.approx(2 * 0.0035)
    assert figures["saved_pct"] == 100


def test_one_failed_request_is_counted_and_does_not_end_the_replay(go):
    def answers(request, strategies):
        return ValueError("no such tool") if request.id == "on" else AppReply(text="x")

    found, _ = go(PAIR, answers)
    assert found.requests == 2
    assert found.errors == {"ValueError": 1}
    assert not found.gave_up
    assert "no such tool" in shown(found)


def test_a_replay_gives_up_on_a_provider_that_never_answers(go):
    requests = [logged(str(number)) for number in range(100)]
    found, apps = go(requests, lambda r, s: ConnectionError("refused"))
    assert len(apps) == 1
    assert found.gave_up
    assert found.requests == found.errors["ConnectionError"] < 10
    assert "refused" in shown(found)


def test_later_failures_do_not_end_the_replay(go):
    requests = [logged(str(number)) for number in range(20)]

    def answers(request, strategies):
        return AppReply(text="x") if request.id in ("0", "19") else TimeoutError("slow")

    found, _ = go(requests, answers)
    assert found.errors == {"TimeoutError": 18}
    assert not found.gave_up


def test_the_documented_figures_are_there(go):
    found, _ = go(PAIR, serve({"off": "Press the lower button."}))
    figures = json.loads(json.dumps(as_dict(found)))
    assert figures["requests"] == 2
    assert figures["hits"] == {"exact": 0, "normalised": 0, "semantic": 1, "shared": 0}
    assert figures["wrong_hits"] == 0
    assert figures["tokens"] == 1_100
    assert figures["cost"] == pytest.approx(0.0035)
    assert figures["baseline_cost"] == pytest.approx(0.007)
    assert figures["account_baseline_cost"] == pytest.approx(0.007)
    assert figures["saved_pct"] == 50
    assert figures["saved_by"] == {"cache.semantic": pytest.approx(0.0035)}
    text = shown(found)
    for figure in ("2,200", "$0.007000", "50.0 %", "wrong hits"):
        assert figure in text


def test_with_one_pass_the_baseline_is_the_ledgers(go):
    found, apps = go(PAIR, serve({"off": "x"}), baseline_pass=False)
    assert len(apps) == 1
    figures = as_dict(found)
    assert figures["baseline_cost"] == pytest.approx(0.007)
    assert figures["baseline_tokens"] is None
    assert figures["overhead_ms"] is None
    assert "ledger's baseline" in shown(found)


def test_estimated_tokens_are_marked(go):
    found, _ = go(PAIR, serve({}))
    assert "counted by tiktoken" in shown(found)
    assert "partly estimated" in shown(found, estimated=True)


def shown(found, *, estimated=False):
    console = Console(width=200, record=True, quiet=False, file=None)
    with console.capture() as captured:
        print_replay(console, found, recorded=True, estimated=estimated)
    return captured.get()


def test_an_error_about_an_unknown_framework_lists_the_known_ones():
    with Ledger() as ledger, pytest.raises(ConfigurationError, match="langchain"):
        open_app("nope", CACHED, RECORDED, ledger)


def test_a_missing_extra_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(running.open_app.__globals__["FRAMEWORKS"], "x", ("no_such_pkg", "xtra"))
    with Ledger() as ledger, pytest.raises(ConfigurationError, match=r"llm-optimizers\[xtra\]"):
        open_app("x", CACHED, RECORDED, ledger)
