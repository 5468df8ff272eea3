"""JSON Lines: split at line feeds only, read with the number and reason of every bad line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_optimizers.batching.provider.openai import OpenAIBatches
from llm_optimizers.batching.provider.requests import read_jsonl
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.labels import Label, read_labels, write_labels
from llm_optimizers.prompts.examples import Example
from llm_optimizers.replay.log import read_log
from llm_optimizers.text import json_lines as module
from llm_optimizers.text.json_lines import JSONLine, json_line, json_lines, opened_lines

SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"]
SCORES = st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), min_size=1)
LABELS = st.lists(st.builds(Label, prompt=st.text(), scores=SCORES, task=st.text()))


def parsed(data: bytes) -> list[JSONLine]:
    return list(json_lines(data.split(b"\n")))


def raw(prompt: str) -> bytes:
    """Write a prompt with its separators unescaped, as other programs do."""
    ours = json.dumps({"prompt": "PROMPT", "scores": {"small": 0, "large": 1}})
    return ours.replace("PROMPT", prompt).encode()


@given(LABELS)
def test_what_is_written_can_be_read_back(labels: list[Label]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "labels.jsonl"
        write_labels(path, labels)
        assert read_labels(path) == labels


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(-(2**60), 2**60), st.lists))
def test_a_line_is_one_line_for_every_reader(value: object) -> None:
    line = json_line(value)
    assert line.splitlines(keepends=True) == [line]
    assert [each.value for each in json_lines([line.encode()])] == [value]


@pytest.mark.parametrize("separator", SEPARATORS[:3])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_separators_inside_a_text_survive_in_every_file(
    tmp_path: Path, separator: str, end: str, start: str, packed: bool
) -> None:
    prompt = f"a{separator}b"
    path = tmp_path / "file.jsonl"

    def write(line: bytes) -> Path:
        data = start.encode() + line + (end or "\n").encode() + line + end.encode()
        path.write_bytes(gzip.compress(data) if packed else data)
        return path

    assert [label.prompt for label in read_labels(write(raw(prompt)))] == [prompt] * 2
    messages = f'{{"model": "m", "messages": [{{"role": "user", "content": "{prompt}"}}]}}'
    log = read_log(write(messages.encode()))
    assert [each.request.messages[0].text for each in log.requests] == [prompt] * 2
    bodies = [json.loads(each.body) for each in read_jsonl(write(messages.encode()))]
    assert [body["messages"][0]["content"] for body in bodies] == [prompt] * 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not"),
        (b"\xff{}", "not UTF-8"),
        (b'{"a": "\x00"}', "not JSON"),
        (b"\x00", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5_000, "not JSON"),
        (b'{"a": "b', "cut off"),
        (b"{}{}", "Extra data"),
        ("{}".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_bad_line_has_its_number_and_reason(line: bytes, reason: str) -> None:
    good, bad, other = parsed(b"{}\n" + line + b"\n{}")
    assert (good.number, bad.number, other.number) == (1, 2, 3)
    if "cut off" in reason:
        (bad,) = parsed(line)
    assert reason in str(bad.reason)
    assert good.reason is other.reason is None
    with pytest.raises(ValueError, match=r"\w"):
        bad.read()


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    assert [line.value for line in parsed(b'{"a": 1, "a": 2}')] == [{"a": 2}]


def test_an_array_file_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('[\n {"prompt": "a"}\n]')
    with pytest.raises(ConfigurationError, match=r"line 1 .* one JSON array"):
        read_labels(path)


def test_a_line_that_is_too_long_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 50)
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{}}\n"{"x" * 500}"\n{{}}\n"{"x" * 49}')
    with opened_lines(path) as lines:
        found = list(json_lines(lines))
    assert [line.number for line in found] == [1, 2, 3, 4]
    assert [line.reason is None for line in found] == [True, False, True, False]
    assert "longer than 50 bytes" in str(found[1].reason)


def test_a_gzip_file_that_was_cut_gives_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    rows = "".join(
        f'{{"messages": [{{"role": "user", "content": "{n}"}}]}}\n' for n in range(9_000)
    )
    data = gzip.compress(rows.encode())
    path.write_bytes(data[: len(data) // 2])
    log = read_log(path)
    assert len(log.requests) > 100
    assert "cut off or damaged" in log.bad_lines[-1].reason


@pytest.mark.parametrize("score", ["1e400", "9" * 400, '"many"', "null", "[]"])
def test_a_score_that_is_no_number_is_refused_by_its_line(tmp_path: Path, score: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(
        f'{{"prompt": "a", "scores": {{"m": 1}}}}\n{{"prompt": "a", "scores": {{"m": {score}}}}}'
    )
    with pytest.raises(ConfigurationError, match="line 2"):
        read_labels(path)


def test_a_label_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no scores"):
        write_labels(tmp_path / "labels.jsonl", [Label(prompt="a")])


def test_examples_with_separators_are_read(tmp_path: Path) -> None:
    from llm_optimizers.evidence.labels import read_json_lines

    path = tmp_path / "examples.jsonl"
    path.write_text('{"input": "a\u2028b", "output": "c\x85d"}', encoding="utf-8")
    read = lambda raw: Example(input=raw["input"], output=raw["output"])  # noqa: E731
    (example,) = read_json_lines(path, read, kind="example", example="{}")
    assert (example.input, example.output) == ("a\u2028b", "c\x85d")


class Client:
    """An OpenAI client whose batch has one result file, sent in small pieces."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
        self.batches = self.files = self.with_streaming_response = self

    def retrieve(self, _: str) -> Client:
        return self

    output_file_id, error_file_id = "f", None

    def content(self, _: str) -> Client:
        return self

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def iter_bytes(self) -> list[bytes]:
        return self._pieces


@pytest.mark.parametrize("piece", [1, 7, 10_000])
@pytest.mark.parametrize("odd", ["a\u2028b", "\x85", "NaN", "\udcff"])
def test_no_paid_answer_is_lost_for_an_odd_result_line(piece: int, odd: str) -> None:
    number = "NaN" if odd == "NaN" else "1"
    line = (
        '{"custom_id": "%s", "response": {"status_code": 200, "body": '
        '{"id": "' + odd + '", "n": ' + number + "}}}"
    )
    lines = "\r\n".join([line % 0, "", "[" * 50_000, "{", line % 1])
    data = lines.encode("utf-8", "surrogateescape")
    found = list(OpenAIBatches(Client(data, piece)).results("b"))  # type: ignore[arg-type]
    assert [(each.name, each.status) for each in found] == [("0", "answered"), ("1", "answered")]
