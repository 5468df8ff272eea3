"""Results of a version: what is kept, what they are compared with, when that is a failure."""

from __future__ import annotations

import json
import math

import pytest

import release


def row(value, target="", unit="", name="figure"):
    return {
        "benchmark": "cache",
        "section": "memory",
        "name": name,
        "value": value,
        "unit": unit,
        "target": target,
        "note": "",
        "by_seed": {"1": value},
    }


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    """Runs the command with given rows; a file `VERSION.json` for each result before."""

    def run(rows, *arguments, before=()):
        for version, old in before:
            kept = {"version": version, "date": "2026-01-01", "machine": "other", "rows": old}
            (tmp_path / f"{version}.json").write_text(json.dumps(kept))
        monkeypatch.setattr(release, "QUICK", {"cache": "memory"})
        monkeypatch.setattr(release, "measured", lambda *_: rows)
        code = 0
        try:
            release.main(["--results", str(tmp_path), *arguments])
        except SystemExit as ended:
            code = ended.code
        (written,) = [path for path in tmp_path.glob("*.json") if path.stem not in dict(before)]
        return code, json.loads(written.read_text()), capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("was", "now", "target", "unit", "ratio"),
    [
        (2.0, 3.0, "<= 4", "", 1.5),
        (2.0, 3.0, "", "ms", 1.5),
        (2.0, 1.0, ">= 0.9", "", 2.0),
        (0.9, 0.9, ">= 0.9", "ms", 1.0),
        (0, 0, "= 0", "", 1.0),
        (0, 2, "0", "", math.inf),
        (3, 0, ">= 1", "", math.inf),
        (2.0, 3.0, "", "", None),
        (2.0, 3.0, "-", "ms", None),
        (2.0, 3.0, "~ 1", "", None),
        (None, 3.0, "<= 4", "", None),
        (2.0, None, "<= 4", "", None),
    ],
)
def test_a_ratio_above_one_is_worse(was, now, target, unit, ratio):
    assert release.worse_by(row(was, target, unit), row(now, target, unit)) == ratio


def test_a_first_result_is_kept_and_compared_with_nothing(bench):
    code, kept, shown = bench([row(1.23456789, "< 2", "ms")], "--fail-over", "1.1")
    assert code == 0
    assert "nothing to compare with yet" in shown
    assert kept["rows"] == [
        {
            "benchmark": "cache",
            "section": "memory",
            "name": "figure",
            "value": 1.23457,
            "unit": "ms",
            "target": "< 2",
            "note": "",
        }
    ]
    assert {"version", "date", "machine", "python", "packages"} < kept.keys()


def test_the_newest_earlier_version_is_compared_with(bench):
    old = [("0.0.9", [row(2.0, "< 9")]), ("0.0.10", [row(1.0, "< 9")]), ("99.0", [row(8, "< 9")])]
    code, _, shown = bench([row(4.0, "< 9"), row(1.0, "< 9", name="new")], before=old)
    assert code == 0
    assert "against 0.0.10" in shown
    assert "cache, memory: figure" in shown
    assert "× 4.00" in shown
    assert "new" not in shown.split("against")[1]


@pytest.mark.parametrize(("limit", "code"), [("3.9", 1), ("4.1", 0)])
def test_only_a_stated_limit_makes_a_worse_figure_a_failure(bench, limit, code):
    old = [("0.0.1", [row(1.0, "< 9")])]
    found, _, shown = bench([row(4.0, "< 9")], "--fail-over", limit, before=old)
    assert found == code
    assert ("worse than 3.9 times" in shown) == bool(code)


def test_every_quick_section_exists():
    for name, sections in release.QUICK.items():
        text = (release.HERE / f"{name}.py").read_text()
        for section in sections.split(","):
            assert f'"{section}"' in text
