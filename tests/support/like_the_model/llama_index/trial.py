"""Runs a way with the bare LLM and with a wrapped one, against one server."""

from __future__ import annotations

import inspect
import json
from typing import Any

from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager
from llama_index.llms.openai import OpenAI
from support.like_the_model.llama_index.observed import Recorder, Run, finish, recording
from support.like_the_model.llama_index.ways.way import WAYS, Lab, Way
from support.like_the_model.llama_index.wrappers import HIT, STACK_HIT, WRAPPERS
from support.llama_openai import OpenAIRunner

_HEADERS = ("Authorization", "User-Agent", "Content-Type", "X-Stainless-Async", "Accept")


class Trial:
    """Runs ways; the runs with the bare LLM are kept, as each wrapper is compared with them."""

    def __init__(self, runner: OpenAIRunner) -> None:
        self.lab = Lab(runner=runner, server=runner.server)
        self._bare: dict[str, Run] = {}

    def bare(self, name: str) -> Run:
        """Return the bare LLM's run of a way, which raises nothing."""
        if name not in self._bare:
            recorder = Recorder()
            run = self._run(WAYS[name], self._llm(WAYS[name], recorder), recorder)
            assert not (isinstance(run.answer, list) and run.answer[:1] == ["raised"]), run.answer
            self._bare[name] = run
        return self._bare[name]

    def wrapped(self, wrapper: str, name: str) -> Run:
        """Return a wrapper's run of a way; that of a hit is its second one."""
        recorder = Recorder()
        llm = WRAPPERS[wrapper](self._llm(WAYS[name], recorder))
        if wrapper in (HIT, STACK_HIT):
            self._run(WAYS[name], llm, recorder)
        return self._run(WAYS[name], llm, recorder)

    def _llm(self, way: Way, recorder: Recorder) -> OpenAI:
        manager = CallbackManager([recorder])
        return self.lab.runner.llm("gpt-4o", callback_manager=manager, **way.settings)

    def _run(self, way: Way, llm: Any, recorder: Recorder) -> Run:
        server = self.lab.server
        server.requests.clear()
        server.headers.clear()
        server.failures.clear()
        run = recorder.run = Run()
        saved = dict(vars(Settings))
        with recording(recorder):
            try:
                value = way.use(llm, self.lab)
                if inspect.iscoroutine(value):
                    value = self.lab.runner.run(value)
            except Exception as error:
                value = ["raised", error]
            finally:
                vars(Settings).clear()
                vars(Settings).update(saved)
        sent = zip(server.requests, server.headers, strict=True)
        return finish(run, value, [_written(body, headers) for body, headers in sent])


def _written(body: dict[str, Any], headers: dict[str, str]) -> str:
    """Return a request as text: its body in the order of its fields, and what headers say."""
    kept = {name.lower(): value for name, value in headers.items()}
    return json.dumps([body, [kept.get(name.lower()) for name in _HEADERS]])
