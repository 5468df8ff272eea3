"""Nested runs: roots, names from the outside in, agents and steps, and what is forgotten."""

from __future__ import annotations

import contextvars
import os
import threading
from typing import Any

import pytest

from llm_optimizers.costs import Ledger, attributed
from llm_optimizers.costs.run_costs import CostsByRun, RunCosts
from llm_optimizers.costs.runs import RunStart, RunTree, is_in_run
from llm_optimizers.errors import ConfigurationError


def begin(tree: RunTree, run: str, parent: str | None = None, **start: Any) -> None:
    tree.begin(run, RunStart(parent=parent, **{"given": {}, **start}))


def tags(tree: RunTree, run: str) -> Any:
    found = tree.find(run)
    assert found is not None
    return dict(found.tags)


@pytest.fixture
def tree() -> RunTree:
    return RunTree()


class TestRoots:
    def test_every_run_knows_its_root(self, tree: RunTree) -> None:
        begin(tree, "a")
        begin(tree, "b", "a")
        begin(tree, "c", "b")
        assert tags(tree, "a") == tags(tree, "c") == {"run": "a"}

    def test_a_root_that_was_never_seen_is_the_outermost_id(self, tree: RunTree) -> None:
        begin(tree, "b", "unseen")
        begin(tree, "c", "b")
        begin(tree, "d", "unseen")
        assert {tags(tree, run)["run"] for run in "bcd"} == {"unseen"}

    def test_a_run_that_says_it_is_its_own_parent_is_a_root(self, tree: RunTree) -> None:
        begin(tree, "a", "a")
        assert tags(tree, "a") == {"run": "a"}

    def test_a_circle_of_forged_parents_ends(self, tree: RunTree) -> None:
        begin(tree, "a", "b")
        begin(tree, "b", "a")
        begin(tree, "a", "b")
        assert {tags(tree, run)["run"] for run in "ab"} == {"b"}

    def test_a_second_beginning_changes_nothing(self, tree: RunTree) -> None:
        begin(tree, "a", given={"user": "u"})
        begin(tree, "a", "other", given={"user": "v"})
        assert tags(tree, "a") == {"run": "a", "user": "u"}

    def test_background_work_belongs_to_a_root_that_ended(self, tree: RunTree) -> None:
        begin(tree, "a", given={"user": "u"})
        begin(tree, "b", "a")
        tree.end("b")
        tree.end("a")
        begin(tree, "late", "b")
        assert tags(tree, "late") == {"run": "a", "user": "u"}

    def test_ends_that_were_never_begun_and_come_twice(self, tree: RunTree) -> None:
        begin(tree, "a")
        for _ in range(2):
            tree.end("a")
            tree.end("never")
        assert tree.find("never") is None

    def test_a_block_around_the_root_names_the_run(self, tree: RunTree) -> None:
        with attributed(run="job 7"):
            begin(tree, "a")
        begin(tree, "b", "a")
        assert tags(tree, "b") == {"run": "job 7"}


class TestMemory:
    def test_runs_that_never_end_are_forgotten(self) -> None:
        tree = RunTree(most=100, remembered=10)
        begin(tree, "root", given={"user": "u"})
        for number in range(10_000):
            begin(tree, str(number), "root")
        assert len(tree) == 100
        # The root was used all the time.
        assert tags(tree, "9999") == {"run": "root", "user": "u"}
        assert tree.find("0") is None
        begin(tree, "late", "0")
        assert tags(tree, "late") == {"run": "0"}

    def test_ended_runs_are_forgotten(self) -> None:
        tree = RunTree(remembered=10)
        for number in range(1_000):
            begin(tree, str(number))
            tree.end(str(number))
        assert len(tree) == 10

    def test_ten_thousand_open_runs_do_not_mix(self, tree: RunTree) -> None:
        def work(first: int) -> None:
            for number in range(first, first + 2_500):
                with attributed(user=number):
                    begin(tree, f"root {number}")
                begin(tree, f"call {number}", f"root {number}")

        threads = [
            threading.Thread(target=contextvars.Context().run, args=(work, 2_500 * n))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(10_000):
            wanted = {"run": f"root {number}", "user": str(number)}
            assert tags(tree, f"call {number}") == wanted

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_goes_on_with_its_parents_run(self, tree: RunTree) -> None:
        begin(tree, "a", given={"user": "u"})
        child = os.fork()
        if not child:
            begin(tree, "b", "a")
            os._exit(0 if tags(tree, "b") == {"run": "a", "user": "u"} else 1)
        assert os.waitpid(child, 0)[1] == 0


class TestNames:
    def test_the_nearest_says_what_counts(self, tree: RunTree) -> None:
        with attributed(user="a", feature="f", session="s"):
            begin(tree, "root", given={"user": "b", "plan": "gold"})
            with attributed(feature="tool"):
                inherited = {"user": "b", "plan": "gold"}
                begin(tree, "call", "root", given=inherited)
                begin(tree, "other", "root", given={**inherited, "feature": "own"})
        shared = {"user": "b", "plan": "gold", "session": "s", "run": "root"}
        assert tags(tree, "call") == {**shared, "feature": "tool"}
        assert tags(tree, "other") == {**shared, "feature": "own"}

    def test_a_block_inside_a_run_says_more_than_the_runs_metadata(self, tree: RunTree) -> None:
        begin(tree, "root", given={"user": "a"})
        with attributed(user="b"):
            begin(tree, "call", "root", given={"user": "a"})
        assert tags(tree, "call")["user"] == "b"

    def test_a_stream_read_outside_its_block_keeps_its_names(self, tree: RunTree) -> None:
        with attributed(user="outer"):
            with attributed(user="inner"):
                begin(tree, "root")
            begin(tree, "call", "root")
        begin(tree, "late", "root")
        assert tags(tree, "call")["user"] == tags(tree, "late")["user"] == "inner"

    def test_a_run_read_in_anothers_block_keeps_its_names(self, tree: RunTree) -> None:
        with attributed(user="a"):
            begin(tree, "root")
        with attributed(user="b"):
            begin(tree, "call", "root")
        assert tags(tree, "call")["user"] == "a"

    def test_a_forged_run_says_nothing(self, tree: RunTree) -> None:
        begin(tree, "a", given={"run": "victim", "run_id": "victim", "subrun": "victim"})
        assert not is_in_run(tags(tree, "a"), "victim")


class TestAgents:
    def test_the_nearest_graph_with_a_name_is_the_agent(self, tree: RunTree) -> None:
        begin(tree, "boss", name="boss")
        begin(tree, "plan", "boss", step="plan", is_step=True)
        begin(tree, "inner", "plan", name="LangGraph", named=False, step="plan")
        begin(tree, "draft", "inner", step="draft", is_step=True)
        begin(tree, "call", "draft", step="draft")
        begin(tree, "own", "plan", step="plan")
        found = [tags(tree, run) for run in ("call", "own")]
        assert [(each["agent"], each["step"]) for each in found] == [
            ("plan", "draft"),
            ("boss", "plan"),
        ]

    def test_a_name_that_is_only_inherited_says_less_than_a_graphs(self, tree: RunTree) -> None:
        begin(tree, "boss", name="run of today", agent="boss")
        begin(tree, "tools", "boss", agent="boss", step="tools", is_step=True)
        begin(tree, "inner", "tools", agent="boss", name="clerk", step="tools")
        begin(tree, "model", "inner", agent="boss", step="model", is_step=True)
        assert tags(tree, "tools")["agent"] == "boss"
        assert tags(tree, "model")["agent"] == "clerk"

    def test_a_step_without_an_agent_belongs_to_the_last_one(self, tree: RunTree) -> None:
        begin(tree, "flow", name="Flow", agent="Flow")
        begin(tree, "start", "flow", step="start", is_step=True)
        begin(tree, "think", "flow", agent="writer", step="think", is_step=True)
        begin(tree, "tool", "flow", step="tool", is_step=True)
        begin(tree, "call", "tool")
        assert [tags(tree, run)["agent"] for run in ("start", "think", "call")] == [
            "Flow",
            "writer",
            "writer",
        ]

    def test_what_the_user_says_of_agents_counts(self, tree: RunTree) -> None:
        with attributed(step="nightly"):
            begin(tree, "boss", name="boss", given={"agent_name": "mine"})
            begin(tree, "plan", "boss", step="plan", is_step=True, given={"agent_name": "mine"})
        assert tags(tree, "plan") == {"agent": "mine", "step": "nightly", "run": "boss"}


class Teller(CostsByRun):
    @property
    def ledger(self) -> Ledger:
        return Ledger()


class TestRunCosts:
    @pytest.mark.parametrize("run", ["", None, 5, b"a", ["a"]])
    def test_what_is_no_id_is_refused(self, run: Any) -> None:
        with pytest.raises(ConfigurationError, match="run"):
            Teller().by_run(run)

    def test_an_unknown_run_has_no_calls(self) -> None:
        assert Teller().by_run("unknown").requests == 0

    def test_runs_begun_inside_runs(self, tree: RunTree) -> None:
        teller = Teller()
        begin(tree, "root")
        with teller.run() as outer, teller.run() as inner, teller.run() as innermost:
            begin(tree, "alone")
            begin(tree, "call", "root")
        runs: list[RunCosts] = [outer, inner, innermost]
        assert all(is_in_run(tags(tree, "call"), run.id) for run in runs)
        assert all(is_in_run(tags(tree, "alone"), run.id) for run in runs)
        assert is_in_run(tags(tree, "call"), "root")
        assert not is_in_run(tags(tree, "alone"), "root")
        assert not is_in_run(tags(tree, "root"), outer.id)

    def test_ids_with_slashes_are_whole(self, tree: RunTree) -> None:
        begin(tree, "root")
        with attributed(run="a/b"):
            begin(tree, "call", "root")
        assert is_in_run(tags(tree, "call"), "a/b")
        assert not is_in_run(tags(tree, "call"), "a")
        assert not is_in_run(tags(tree, "call"), "")
