"""The day's benchmark: when the recorded provider answers, how a day is counted, a small day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from day.client import DayResult, ServedReply
from day.counting import Facts, count_day, quality_loss, saved_pct, wrong_hits_pct
from day.provider import Bill, dollars
from day.rule import DayRule, contains_needed
from day.traffic import CHEAP, STRONG, Request
from llm_optimizers.replay.provider import Billed
from llm_optimizers.types import ChatRequest, Message

ROOT = Path(__file__).parents[2]
PASSAGE = (
    "It was built by monks. The tower fell in the year 1307, after a storm. It was never rebuilt."
)


def request(name="r00001", **more):
    fields = {
        "tenant": "alder",
        "feature": "support",
        "kind": "question",
        "system": "Be brief.",
        "text": "How do I get\n  a card?",
        "out": 40,
        "right": "aright",
        "answer": {STRONG: "aright", CHEAP: "wcheap"},
        "answer_assumed": {CHEAP: "aright"},
        "recorded": False,
    }
    return Request(id=name, **{**fields, **more})


DOCUMENTS = request(
    "r00002",
    feature="documents",
    kind="rag",
    text=f"<context>\nTower\n{PASSAGE}\n</context>\n\nQuestion: when did the tower fall",
    gold=PASSAGE,
    gold_answers=("1307", "the year 1307"),
)


def sent(*texts, model=STRONG, **params):
    roles = ("system", "user")
    messages = tuple(Message(role=r, content=t) for r, t in zip(roles, texts, strict=True))
    return ChatRequest(messages=messages, model=model, params=params)


def word(rule, *texts, name="r00001", **more):
    return rule.answer(sent(*texts, **more), name).text.split()[0]


def test_each_model_answers_as_the_day_recorded():
    strict, assumed = (DayRule([request()], assumed=a) for a in (False, True))
    texts = ("Be brief.", request().text)
    assert word(strict, *texts) == word(assumed, *texts) == "aright"
    assert word(strict, *texts, model=CHEAP) == "wcheap"
    assert word(assumed, *texts, model=CHEAP) == "aright"
    assert (strict.unrecorded, assumed.unrecorded) == (1, 1)


def test_output_tokens_are_billed_as_recorded_and_the_text_names_its_request():
    reply = DayRule([request()], assumed=False).answer(sent("Be brief.", request().text), "r00001")
    assert reply.completion_tokens == 40
    assert reply.text.split()[1] == "r00001"
    assert reply.prompt_tokens > 10
    assert DayRule([], assumed=False).answer(sent("a", "b"), "r00001") is None


def test_whitespace_may_be_removed_but_no_words():
    assert contains_needed("Be brief. How do I get a card?", request())
    assert not contains_needed("Be brief. How do I get card?", request())
    assert not contains_needed("How do I get a card?", request())
    assert word(DayRule([request()], assumed=False), "Be brief.", "How do I?") == "not"


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (PASSAGE, True),
        ("The tower fell in the year 1307, after a storm.", True),
        ("The tower fell in the year 1307, after", False),  # the words after it are cut
        ("… e tower fell in the year 1307, after a storm.", True),  # 25 characters suffice
        ("tower fell in the year 1307, after a storm.", False),
        ("It was built by monks. It was never rebuilt.", False),
    ],
)
def test_an_answer_needs_the_words_around_it(kept, found):
    question = "Question: when did the tower fall"
    assert contains_needed(f"Be brief. {kept} {question}", DOCUMENTS) is found
    assert not contains_needed(f"Be brief. {PASSAGE} Question: when did", DOCUMENTS)


def test_a_truncated_answer_is_not_right():
    rule = DayRule([request()], assumed=False)
    reply = rule.answer(sent("Be brief.", request().text, max_tokens=39), "r00001")
    assert reply.cut
    assert (reply.text.split()[0], reply.completion_tokens) == ("cut-off", 39)
    whole = rule.answer(sent("Be brief.", request().text, max_completion_tokens=40), "r00001")
    assert not whole.cut


def line(name, *, model=STRONG, batch=False):
    return Billed(
        request_id=name, model=model, prompt_tokens=1_000, completion_tokens=100, batch=batch
    )


def test_the_bill_is_at_the_days_price_and_half_of_it_in_a_batch():
    assert float(dollars(line("r1"))) == pytest.approx(0.0035)
    assert float(dollars(line("r1", batch=True))) == pytest.approx(0.00175)


def test_calls_without_a_request_id_count_for_their_day():
    lines = [line("h0-1"), line(""), line("r1"), line("")]
    assert Bill(lines=lines, unrecorded=0).of_day() == lines[2:]


FACTS = {
    "h0-00001": Facts(tenant="birch", kind="question", right="b1"),
    "r00001": Facts(tenant="alder", kind="question", right="a1"),
    "r00002": Facts(tenant="alder", kind="question", right="a1"),
    "r00003": Facts(tenant="alder", kind="intent", right="a2"),
    "r00004": Facts(tenant="birch", kind="intent", right="b2"),
}


def day(served, lines):
    replies = {
        name: ServedReply(word=word, source=source, tier=None, model="")
        for name, (word, source) in served.items()
    }
    return count_day(DayResult(served=replies), Bill(lines=lines, unrecorded=0), FACTS)


def test_a_day_counts_hits_wrong_hits_and_crossed_tenants_by_kind():
    own = {"r00001": "a1", "r00002": "a1", "r00003": "a2", "r00004": "b2"}
    baseline = day({n: (w, n) for n, w in own.items()}, [line(name) for name in own])
    stack = day(
        {
            "r00001": ("a1", "r00001"),
            "r00002": ("a1", "r00001"),  # a right hit
            "r00003": ("a1", "r00001"),  # a wrong one
            "r00004": ("b1", "h0-00001"),  # wrong, of the tenant's own history
        },
        [line("h0-00001"), line("r00001")],
    )
    assert saved_pct(stack, baseline) == pytest.approx(75)
    assert quality_loss(stack, baseline)[0] == pytest.approx(50)
    assert stack.hits == {"question": 1, "intent": 2}
    assert wrong_hits_pct(stack) == pytest.approx(100 * 2 / 3)
    assert stack.crossed == 0
    assert stack.spent_before == pytest.approx(0.0035)
    assert day({"r00001": ("b1", "h0-00001")}, []).crossed == 1


MAKER = """
import argparse, json, pathlib
p = argparse.ArgumentParser()
for name in ("data", "out", "seed", "requests"):
    p.add_argument(f"--{name}")
o = p.parse_args()
out = pathlib.Path(o.out)
out.mkdir(parents=True, exist_ok=True)

def row(name, number):
    tenant = ("alder", "birch")[number % 2]
    chore = number % 5 == 0
    right = f"a{tenant[0]}{number % 3}{chore}"
    return {"id": f"{name}{number:05d}", "time": "2026-11-21T00:00:00+00:00", "tenant": tenant,
            "feature": "chores" if chore else "support",
            "kind": "classify" if chore else "question",
            "system": "Be brief.", "text": f"Which way leads to town number {number % 3}?",
            "out": 20, "right": right, "answer": {"gpt-4o": right, "gpt-4o-mini": "wrong"},
            "answer_assumed": {"gpt-4o-mini": right}, "recorded": False}

def write(name, rows):
    (out / name).write_text("".join(json.dumps(r) + "\\n" for r in rows))

n = int(o.requests)
write("history.jsonl", [row("h0-", i) for i in range(n)])
write("day.jsonl", [row("r", i) for i in range(n)])
write("labels.jsonl", [{"prompt": f"case {i} {i * 7}", "task": "exam", "scores":
      {"gpt-4o-mini": float(i % 3 != 0), "gpt-4o": 1.0}} for i in range(400)])
"""


@pytest.mark.slow
@pytest.mark.loopback
def test_a_small_day_through_the_whole_stack(tmp_path):
    (tmp_path / "day").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "day" / "make_day.py").write_text(MAKER)
    command = [sys.executable, "benchmarks/day.py", "--data", str(tmp_path / "data")]
    more = ["--requests", "30", "--only", "batch", "--json", str(tmp_path / "rows.json")]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row["value"] for row in json.loads((tmp_path / "rows.json").read_text())}
    assert rows["quality_loss_pct"] == rows["quality_loss_pct_cold"] == 0
    assert rows["crossed_tenants"] == 0
    # Warm, only the chores cost something, and half of what they did.
    assert rows["batch warm, question: saved"] == 100
    assert rows["batch warm, classify: saved"] == pytest.approx(50)
    assert 50 < rows["saved_pct_cold"] < rows["saved_pct"]
    assert rows["batch cold: our ledger's cost over the provider's bill"] == pytest.approx(1)
