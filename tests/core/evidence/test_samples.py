"""The sample store: share, time to live, tenants, deletion, failures; and shadow labels."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_optimizers.errors import ConfigurationError, StoreError
from llm_optimizers.evidence import Sample, SampleStore, read_traffic, shadow


class Clock:
    """A clock that changes only when a test sets it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples.sqlite"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[SampleStore]:
    store = SampleStore(path, rate=1.0, ttl=100.0, clock=clock)
    yield store
    store.close()


def prompts(store: SampleStore, tenant: str = "") -> list[str]:
    return [sample.prompt for sample in store.samples(tenant=tenant)]


def on_disk(path: Path) -> bytes:
    """Return all bytes of the store's files, including SQLite's log."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_sample_reads_back_equal(store: SampleStore):
    assert store.offer("O\u00f9?\x00\u2028", task="chat", tenant="t", user="u")
    assert list(store.samples(tenant="t")) == [
        Sample(prompt="O\u00f9?\x00\u2028", task="chat", tenant="t", user="u", time=1_000.0)
    ]


def test_a_share_of_the_requests_is_stored_but_no_empty_prompts(path: Path):
    store = SampleStore(path, rate=0.5, rng=random.Random(0))
    kept = sum(store.offer(f"question {n}", task="quiz") for n in range(400))
    assert 160 < kept < 240
    assert store.count() == kept
    store.close()
    assert len(list(read_traffic(path))) == kept
    everything = SampleStore(path, rate=1.0)
    assert not everything.offer("")
    assert not SampleStore(path, rate=0.0).offer("question")
    everything.close()


def test_the_same_seed_stores_the_same_requests(tmp_path: Path):
    kept = []
    for name in ("a", "b"):
        store = SampleStore(tmp_path / name, rate=0.3, rng=random.Random(7))
        kept.append([n for n in range(50) if store.offer(f"question {n}")])
        store.close()
    assert kept[0] == kept[1] != []


def test_no_file_is_created_before_the_first_sample(path: Path):
    SampleStore(path, rate=0.0).offer("question")
    assert not path.exists()


def test_samples_expire(store: SampleStore, clock: Clock, path: Path):
    store.offer("the first secret")
    clock.now += 60
    store.offer("the second")
    clock.now += 40
    assert (prompts(store), store.count()) == (["the second"], 1)
    assert b"the first secret" in on_disk(path)
    assert store.expire() == 1
    assert b"the first secret" not in on_disk(path)
    assert store.expire() == 0


def test_storing_a_sample_deletes_expired_ones(store: SampleStore, clock: Clock, path: Path):
    store.offer("old")
    clock.now += 100
    store.offer("new")
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT prompt FROM samples").fetchall()
    connection.close()
    assert rows == [("new",)]


def test_a_sample_keeps_its_own_time_to_live(path: Path, clock: Clock):
    for prompt, ttl in (("short", 10.0), ("long", 1_000.0)):
        store = SampleStore(path, rate=1.0, ttl=ttl, clock=clock)
        store.offer(prompt)
        store.close()
    clock.now += 500
    reader = SampleStore(path, clock=clock)
    assert prompts(reader) == ["long"]
    reader.close()


def test_forgetting_a_user_erases_the_text_on_disk(store: SampleStore, path: Path):
    for n in range(50):
        store.offer(f"the secret of ann {n} " + "x" * 3_000, user="ann")
        store.offer(f"what bob wants {n}", user="bob")
    assert b"secret of ann" in on_disk(path)
    assert store.forget(user="ann") == 50
    assert b"secret of ann" not in on_disk(path)
    assert store.forget(user="ann") == 0
    assert len(prompts(store)) == 50
    assert all("bob" in prompt for prompt in prompts(store))


def test_the_same_user_id_in_two_tenants_is_two_users(store: SampleStore):
    for tenant in ("a", "b"):
        store.offer(f"question of {tenant}", tenant=tenant, user="u1")
    assert store.forget(user="u1", tenant="a") == 1
    assert (prompts(store, "a"), prompts(store, "b")) == ([], ["question of b"])
    store.offer("again", tenant="a", user="u1")
    assert store.forget(user="u1") == 2


def test_forgetting_a_tenant_deletes_all_its_samples(store: SampleStore):
    for tenant in ("a", "b"):
        for user in ("u1", "u2", ""):
            store.offer("question", tenant=tenant, user=user)
    assert store.forget(tenant="a") == 3
    assert (store.count(tenant="a"), store.count(tenant="b")) == (0, 3)
    with pytest.raises(ConfigurationError, match="give the `user`"):
        store.forget()


def test_tenants_see_only_their_own_samples(path: Path):
    store = SampleStore(path, rate=1.0)
    store.offer("question of a", tenant="a")
    store.offer("question of b", tenant="b")
    assert prompts(store, "a") == ["question of a"]
    assert prompts(store) == []
    assert (store.count(tenant="a"), store.count(tenant=""), store.count()) == (1, 0, 2)
    store.close()
    assert list(read_traffic(path, tenant="b")) == [("question of b", "")]


def test_the_oldest_samples_of_a_tenant_are_deleted_first(path: Path, clock: Clock):
    store = SampleStore(path, rate=1.0, max_samples=3, clock=clock)
    store.offer("of another", tenant="b")
    for n in range(5):
        store.offer(f"question {n}", tenant="a")
    assert prompts(store, "a") == ["question 2", "question 3", "question 4"]
    assert prompts(store, "b") == ["of another"]
    store.close()


def test_samples_can_be_written_while_others_are_read(store: SampleStore):
    for n in range(1_200):
        store.offer(f"question {n}")
    read = []
    for sample in store.samples():
        if len(read) < 600:
            assert store.offer("later")
        read.append(sample.prompt)
    assert read[:1_200] == [f"question {n}" for n in range(1_200)]
    assert read[1_200:] == ["later"] * 600


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_the_files_are_readable_by_their_owner_only(store: SampleStore, path: Path):
    before = os.umask(0o022)
    try:
        store.offer("question")
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("setting", [{"rate": 1.1}, {"rate": -0.1}, {"ttl": 0}, {"max_samples": 0}])
def test_settings_out_of_range_are_rejected(path: Path, setting: dict[str, float]):
    with pytest.raises(ConfigurationError):
        SampleStore(path, **setting)


def test_an_unusable_file_does_not_lose_an_answer_and_is_logged_once(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("no folder")
    store = SampleStore(tmp_path / "file" / "samples", rate=1.0, clock=clock)
    for _ in range(5):
        assert not store.offer("my secret question")
        clock.now += 3_600
    assert caplog.text.count("not sampled") == 1
    assert "secret" not in caplog.text
    with pytest.raises(StoreError):
        store.count()
    with pytest.raises(StoreError):
        store.forget(user="u")


def test_sampling_resumes_when_the_file_works_again(tmp_path: Path, clock: Clock):
    folder = tmp_path / "folder"
    folder.write_text("in the way")
    store = SampleStore(folder / "samples", rate=1.0, clock=clock)
    assert not store.offer("question")
    folder.unlink()
    assert not store.offer("too soon to try again")
    clock.now += 60
    assert store.offer("question")
    store.close()


@pytest.mark.parametrize("content", [b"nonsense" * 500, b"SQLite format 3\x00" + b"\xff" * 4_000])
def test_a_damaged_file_loses_no_answer_and_is_not_changed(path: Path, clock: Clock, content):
    path.write_bytes(content)
    store = SampleStore(path, rate=1.0, clock=clock)
    assert not store.offer("question")
    assert path.read_bytes() == content
    with pytest.raises(StoreError):
        list(read_traffic(path))


def test_a_prompt_that_cannot_be_stored_does_not_lose_an_answer(
    store: SampleStore, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        assert not store.offer("half a pair: \ud800")
    assert "half a pair" not in caplog.text


def test_a_file_locked_by_another_process_does_not_lose_an_answer(store: SampleStore, path: Path):
    store.offer("first")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert not store.offer("second")
    assert prompts(store) == ["first"]
    blocker.execute("ROLLBACK")
    blocker.close()


FILL = """
import resource, signal, sys
from llm_optimizers.evidence import SampleStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
store = SampleStore(sys.argv[1], rate=1.0)
kept = [store.offer("x" * 5_000) for _ in range(100)]
assert kept[0] and not kept[-1], kept
print(store.count())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on files")
def test_a_full_disk_does_not_lose_an_answer(path: Path):
    """A limit on the file's size makes writes fail as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
    assert done.stderr.count("not sampled") == 1
    assert sum(1 for _ in read_traffic(path)) == int(done.stdout)


WRITE = """
import sys
from llm_optimizers.evidence import SampleStore

store = SampleStore(sys.argv[1], rate=1.0)
for n in range(60):
    while not store.offer(f"{sys.argv[2]} {n}"):
        pass
"""


def test_two_processes_share_a_file(path: Path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), n]) for n in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    kept = [prompt for prompt, _ in read_traffic(path)]
    assert sorted(kept) == sorted(f"{name} {n}" for name in "ab" for n in range(60))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_writes_to_the_same_file(path: Path):
    script = (
        "import os, sys\n"
        "from llm_optimizers.evidence import SampleStore\n"
        "store = SampleStore(sys.argv[1], rate=1.0)\n"
        "store.offer('before')\n"
        "child = os.fork()\n"
        "assert store.offer('parent' if child else 'child')\n"
        "assert child == 0 or os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert sorted(prompt for prompt, _ in read_traffic(path)) == ["before", "child", "parent"]


def test_threads_and_event_loops_share_a_store(store: SampleStore):
    async def serve(name: str) -> None:
        for n in range(20):
            store.offer(f"{name} {n}")
            await asyncio.sleep(0)

    threads = [threading.Thread(target=asyncio.run, args=(serve(str(n)),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(prompts(store))) == 80


def test_a_missing_sample_file_is_reported(path: Path):
    with pytest.raises(ConfigurationError, match="no sample file"):
        list(read_traffic(path))
    assert not path.exists()


def test_shadow_labels_the_sampled_requests(path: Path, caplog: pytest.LogCaptureFixture):
    store = SampleStore(path, rate=1.0)
    for n in range(20):
        store.offer(f"question {n}", task="quiz")
    store.close()

    def answer(model: str, prompt: str) -> str:
        if prompt.endswith("7"):
            raise TimeoutError
        return f"{model}: {prompt}"

    labels = list(
        shadow(
            read_traffic(path),
            ["small", "large"],
            answer=answer,
            grade=lambda prompt, given, model: float(given.startswith("large")),
        )
    )
    assert len(labels) == 18
    assert all(label.scores == {"small": 0.0, "large": 1.0} for label in labels)
    assert all(label.task == "quiz" for label in labels)
    assert not any(label.prompt.endswith("7") for label in labels)
    assert "has no label: TimeoutError" in caplog.text
