"""The benchmarks' runner: sections, seeds, the JSON file, and an interruption."""

from __future__ import annotations

import json
import sys

import pytest

from harness import Row, Section, main


def counting(run):
    yield Row(name="figure", value=float(run.seed), unit="ms")
    run.progress(1, 2, "halves")
    yield Row(name="claim", value=10.0 * run.seed, target="< 50", note="as found")


def stopped(run):
    yield Row(name="early", value=1.0)
    raise KeyboardInterrupt


SECTIONS = [
    Section(name="first", measure=counting, about="counts"),
    Section(name="second", measure=lambda run: [Row(name="none", value=None, target="= 0")]),
    Section(name="third", measure=stopped),
]


@pytest.fixture
def go(monkeypatch, tmp_path, capsys):
    def going(*arguments):
        path = tmp_path / "rows.json"
        monkeypatch.setattr(sys, "argv", ["bench", *arguments, "--json", str(path)])
        try:
            main("A benchmark.", SECTIONS)
            code = 0
        except SystemExit as ended:
            code = ended.code
        rows = json.loads(path.read_text()) if path.is_file() else []
        return code, {row["name"]: row for row in rows}, capsys.readouterr()

    return going


def test_only_the_selected_sections_run_and_are_written(go):
    code, rows, shown = go("--only", "first,second")
    assert code == 0
    assert list(rows) == ["figure", "claim", "none"]
    assert rows["claim"]["section"] == "first"
    assert rows["none"]["value"] is None
    assert "first: counts" in shown.out
    assert "first, seed 1: halves 1 of 2" in shown.err


def test_a_row_over_seeds_has_the_mean_and_each_value(go):
    _, rows, shown = go("--only", "first", "--seeds", "3")
    assert rows["claim"]["value"] == 20
    assert rows["claim"]["by_seed"] == {"1": 10, "2": 20, "3": 30}
    assert "10.000 to 30.000 over 3 seeds; as found" in shown.out


@pytest.mark.parametrize(("given", "seeds"), [("2,5", ["2", "5"]), ("4,", ["4"]), ("1", ["1"])])
def test_seeds_are_a_count_or_a_list(go, given, seeds):
    _, rows, _ = go("--only", "first", "--seeds", given)
    assert list(rows["figure"]["by_seed"]) == seeds


def test_ctrl_c_prints_and_writes_the_results_so_far(go):
    code, rows, shown = go("--only", "first,third")
    assert code == 130
    assert list(rows) == ["figure", "claim", "early"]
    assert "early" in shown.out
    assert "interrupted" in shown.err


def test_sections_are_listed_and_an_unknown_one_is_an_error(go):
    code, rows, shown = go("--list")
    assert (code, rows) == (0, {})
    assert [line.split()[0] for line in shown.out.splitlines()] == ["first", "second", "third"]
    code, _, shown = go("--only", "fourth")
    assert code == 2
    assert "first, second, third" in shown.err
