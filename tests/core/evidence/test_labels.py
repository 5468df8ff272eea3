"""Labels, their file, and the reader of JSON lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence import Label, label_problems, merged, read_labels, write_labels
from llm_optimizers.evidence.labels import read_json_lines


def test_missing_scores_are_counted():
    full = [Label(prompt=f"{n}", scores={"small": n % 2, "large": 1.0}) for n in range(400)]
    labels = [*full, Label(prompt="x", scores={"large": 1.0})]
    assert label_problems(labels, strong="large", weak="small") == [
        "1 labels have no score for large or small"
    ]


def test_repeats_become_one_label_with_the_mean_score():
    twice = [Label(prompt="a  b", scores={"m": 0.0}), Label(prompt="a b", scores={"m": 1.0})]
    (label,) = merged(twice)
    assert label.scores == {"m": 0.5}
    tagged = [Label(prompt="a", scores={"m": 0.0}, task=task) for task in ("x", "y")]
    assert len(merged(tagged)) == 2


def test_labels_read_back_equal(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    labels = [Label(prompt="Où?", scores={"small": 0.5, "large": 1.0}, task="chat")]
    write_labels(path, labels)
    write_labels(path, labels)
    assert read_labels(path) == labels * 2


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"prompt": 1}', '{"prompt": "a"}', '{"prompt": "a", "scores": []}']
)
def test_an_invalid_label_is_reported_with_its_line(tmp_path: Path, line: str):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"prompt": "a", "scores": {"m": 1}}\n\n' + line, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 3 is not a valid label"):
        read_labels(path)


@given(prompt=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_prompt_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, prompt: str):
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    labels = [Label(prompt=prompt, scores={"m": 1.0})] * 2
    write_labels(path, labels)
    assert read_labels(path) == labels


@pytest.mark.parametrize("ending", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\r"])
def test_unicode_line_separators_in_a_prompt_do_not_end_the_line(tmp_path: Path, ending):
    path = tmp_path / "labels.jsonl"
    write_labels(path, [Label(prompt=f"a{ending}b", scores={"m": 1.0})])
    assert [label.prompt for label in read_labels(path)] == [f"a{ending}b"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_a_new_file_is_readable_by_its_owner_only(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    before = os.umask(0o022)
    try:
        write_labels(path, [Label(prompt="a", scores={"m": 1.0})])
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    line = '{"prompt": "a", "scores": {"m": 1}}'
    path.write_bytes(f"\ufeff{line}\r\n\r\n{line}\r\n".encode())
    assert len(read_labels(path)) == 2


def test_a_file_that_is_not_utf_8_is_reported(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"labels\.jsonl, line 1 .*not UTF-8"):
        read_labels(path)


@pytest.mark.parametrize("line", ["{}", "[" * 100_000, "3", "{", "null"])
def test_a_line_that_the_reader_cannot_use_is_reported(tmp_path: Path, line: str):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 1}\n' + line, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"line 2 is not a valid row .*write \{"):
        read_json_lines(path, lambda raw: int(raw["n"]), kind="row", example='{"n": 1}')
