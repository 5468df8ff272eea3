"""Wrong arguments are refused where they are given, by name, by everything that is public.

Each public constructor and function is called with arguments that work, of which one at a time is
replaced by a value of every wrong kind. It must be refused with the argument's name, or be listed
here with the reason why it is right. What is public and not in the tables fails.
"""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import math
import sys
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

import langchain_llm_optimizers as langchain
import llama_index_llm_optimizers as llama
from langchain_llm_optimizers import middleware
from llm_optimizers import batching, caching, costs, prompts, routing
from llm_optimizers.errors import ConfigurationError
from support.fakes import StreamingFake
from support.llama_fakes import FakeLLM
from support.valid_arguments import METHODS, PUBLIC, VALID


async def _asynchronous(*_: Any) -> None:
    pass


WRONG: Mapping[str, Any] = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "True": True,
    "''": "",
    "'text'": "text",
    "b''": b"",
    "[]": [],
    "[5]": [5],
    "[object()]": [object()],
    "{}": {},
    "{5: 5}": {5: 5},
    "{'a': object()}": {"a": object()},
    "None": None,
    "object()": object(),
    "a class": int,
    "a lambda": lambda *_: None,
    "an async function": _asynchronous,
}
OUT_OF_RANGE = frozenset({"nan", "inf", "-inf", "-1", "0", "''", "[]", "{}"})
"""Tried even where the argument's type allows them."""

MADE_BY_THE_PACKAGE = {
    "langchain_llm_optimizers": (),
    "llama_index_llm_optimizers": ("LLMCacheHitEvent",),
    "llm_optimizers.batching": ("AgreementReport", "BatchResult", "BatchStatus", "QueueStats"),
    "llm_optimizers.caching": ("CacheResult", "CacheStats", "GivenAnswer", "Hit"),
    "llm_optimizers.costs": ("PriceQuote", "Rates", "Summary"),
    "llm_optimizers.events": (
        *("Event", "HitServed", "ModelUnpriced", "Notice", "RecordsLost", "SampleBought"),
        *("StoreFailed", "StoreRecovered", "StrategyReturned", "StrategyWithdrawn"),
        *("Subscription", "VerdictGiven"),
    ),
    "llm_optimizers.evidence": ("Interval", "Threshold"),
    "llm_optimizers.prompts": ("ContextCut", "DocumentCut", "Optimized", "Selection", "TokenCount"),
    "llm_optimizers.routing": (
        *("Attempt", "Calibration", "Candidate", "Decision", "DecisionRecord", "PolicyInput"),
    ),
}
"""Results, which nobody builds from settings."""
OTHER_TESTS = {
    "llm_optimizers.events": {
        "emit": "never raises, whatever it is given",
        "has_listeners": "a class of events, given by the package",
    },
    "llm_optimizers.embeddings": {
        **dict.fromkeys(("normalise_rows", "unit_rows"), "vectors, which the cache's tests spoil"),
    },
    "llm_optimizers.evidence": {
        **dict.fromkeys(
            ("same_answer", "same_final_answer", "same_json", "same_text", "same_words"),
            "two answers and no setting",
        ),
        "same_numbers": "two answers; its tolerance is in the tests of comparisons",
    },
}
NOT_ASKED = "nothing is asked for, and nothing is returned"
UNNAMED = "the provider or the app did not say"
COUNT = "a count of none"
HOT = "read for every request; what it may be is the router's to say"
EMPTY_TEXT = "a text may be empty"
AT_ONCE = "nothing is waited for"
AN_ID = "an id"
NO_OWN = "the same as leaving it out"
TAKEN: Mapping[str, Mapping[str, str]] = {
    "CallRecord.bucket": {"0": "the first bucket"},
    "HoldoutGroup.share": {"0": "nobody is held out"},
    "HoldoutGroup.salt": {"''": "the default"},
    "AskRows.system": {"''": "no system message"},
    "BatchingChatModel.max_delay": {"0": AT_ONCE},
    "Cacheability.*": {"''": UNNAMED, "0": COUNT},
    "CallRecord.*": {"''": UNNAMED, "{}": NO_OWN},
    "attributed.*": {"''": UNNAMED, "-1": AN_ID, "0": AN_ID, "{}": NO_OWN},
    "CallRecord.latency_s": {
        "0": "faster than the clock",
        **dict.fromkeys(("nan", "inf", "-inf", "-1"), "kept as unknown: a call is never lost"),
    },
    "CascadeLabel.*": {"0": "a wrong answer", "{}": "no check applied", "True": "a right answer"},
    "ChatRequest.tenant": dict.fromkeys(
        WRONG, "a call without a usable tenant goes to the model and is not cached"
    ),
    "ChatRequest.*": {
        "[]": "a prompt of no messages",
        "''": UNNAMED,
        "{}": NO_OWN,
        "{5: 5}": "a key of a cache cannot be made of it, which the cache says",
    },
    "Choice.*": dict.fromkeys(
        ("''", "{}", "{5: 5}", "{'a': object()}", "nan", "inf", "-inf", "-1", "0"), HOT
    ),
    **{
        f"Coalescer.{method}.{name}": dict.fromkeys(OUT_OF_RANGE - hashed, "any value of the app's")
        for method in ("call", "submit")
        for name, hashed in (("item", frozenset()), ("key", frozenset({"[]", "{}"})))
    },
    "Example.*": {"''": EMPTY_TEXT},
    "ExampleSelector.*": {"0": "no examples", "''": EMPTY_TEXT, "[]": NOT_ASKED},
    "DriftAlarm.limit": {"0": "any difference raises the alarm"},
    "ExampleSelector.diversity": {"0": "similarity only"},
    "ExampleSelector.select.question": {"''": EMPTY_TEXT},
    "ExampleSelector.select.pool": {"[]": NOT_ASKED},
    "ExampleSelector.select.most": {"0": NOT_ASKED},
    "GroupLimits.max_delay": {"0": AT_ONCE},
    "Health.cooldown_s": {"0": "a model is tried again at once"},
    "Job.*": {"0": COUNT, "-1": "times before 1970", "''": EMPTY_TEXT},
    **{
        f"{name}.{field}": dict.fromkeys(OUT_OF_RANGE - refused, "any JSON")
        for name, field, refused in (
            ("Job", "payload", frozenset()),
            ("Job", "result", frozenset()),
            ("JobQueue.submit", "payload", frozenset({"nan", "inf", "-inf"})),
        )
    },
    "JobQueue.ageing": dict.fromkeys(WRONG, "a former name, which warns before it is looked at"),
    "JobQueue.handler": {"an async function": "jobs may be done by a coroutine function"},
    "JobQueue.submit_many.payloads": {"[]": NOT_ASKED},
    "KeywordPolicy.intents": {"{}": "points for the length only"},
    "KeywordPolicy.threshold": {"0": "all to the strong model"},
    "Label.*": {"''": EMPTY_TEXT, "{}": "not graded yet"},
    "Ledger.note.payload": {"{}": EMPTY_TEXT},
    "Ledger.note.id": {"''": NO_OWN},
    "LedgerNote.payload": {"{}": EMPTY_TEXT},
    "Message.*": {"''": EMPTY_TEXT, "[]": "no content, no tool calls"},
    "ModelPrice.*": {"0": "a model that you host yourself"},
    "ModelSpec.tier": {"-1": "tiers are only compared", "0": "tiers are only compared"},
    "ModelSpec.latency_s": {"0": "faster than the clock"},
    "ModelSpec.capabilities": {"[]": "text only"},
    "ModelPrice.long_context": {"{}": NO_OWN},
    "Part.*": {"''": EMPTY_TEXT, "{}": NO_OWN, "{5: 5}": "a block as the app made it"},
    "Passage.*": {"''": EMPTY_TEXT},
    "PassageSelector.model": {"''": "counts are estimates"},
    "PassageSelector.select.question": {"''": EMPTY_TEXT},
    "PassageSelector.select.passages": {"[]": NOT_ASKED},
    "Previous.*": dict.fromkeys(("''", "nan", "inf", "-inf", "-1", "0"), HOT),
    "PriceBook.context_window.model": {"''": "no window is known"},
    "PriceBook.context_window.provider": {"''": "no window is known"},
    "PriceBook.similar.model": {"''": NOT_ASKED},
    "PriceBook.rates.input_tokens": {"0": COUNT},
    **{
        f"PriceBook.{method}.{name}": {"''": "unpriced, which a call without a name is"}
        for method in ("cost", "rates", "quote")
        for name in ("model", "provider")
    },
    "PromptOptimizer.model": {"''": "counts are estimates"},
    "ProviderBatch.poll_s": {"0": "for a provider in the same process"},
    "ProviderBatch.collect.timeout": {"0": AT_ONCE},
    "RequestOptimizer.passes": {"[]": "nothing is shortened without loss"},
    "RetryPolicy.*": {"0": "tried again at once"},
    "Router.expected_output_tokens": {"0": "prices count the input only"},
    "Router.feedback.score": dict.fromkeys(("-1", "0"), "scores are on the labels' own scale"),
    "RoutingContext.*": {"''": UNNAMED},
    "Sample.*": {"''": UNNAMED, **dict.fromkeys(("-1", "0"), "times before 1970")},
    "SampleStore.rate": {"0": "nothing is stored"},
    "SampleStore.forget.tenant": {"''": "the samples without a tenant"},
    "SampleStore.samples.tenant": {"''": "the samples without a tenant"},
    "Saving.strategy": {"''": UNNAMED},
    "Saving.amount": {"-1": "it cost more than it saved", "0": COUNT},
    "PriceBook.bill.*": {"''": "unpriced, which a call without a name is"},
    "PriceBook.priced.*": {"''": "unpriced, which a call without a name is"},
    "ToolCall.*": {"''": EMPTY_TEXT},
    "Usage.*": {"0": COUNT},
    "abatch_chat.conversations": {"[]": NOT_ASKED},
    "batch_later.inputs": {"[]": "refused: a batch needs a request"},
    "bootstrap_interval.value": dict.fromkeys(("-1", "0"), "any estimate"),
    "calibrate.weak": {"[]": "every model that the labels score"},
    "calibrate_cascade.checks": {"[]": "the judge alone"},
    "PriceBook.bill.requests": {"0": "another caller paid the fee"},
    "calibrate_cascade.price_ratio": {"0": "cheap calls that cost nothing"},
    "label_problems.labels": {"[]": "the problem is that there are none"},
    "mean_loss_interval.losses": {"[5]": "one loss"},
    "mean_loss_interval.worst": dict.fromkeys(("-1", "0"), "any loss"),
    "merged.labels": {"[]": NOT_ASKED},
    "price_call.*": {"''": UNNAMED, "{}": NO_OWN},
    "price_call.billed": {"0": "a provider that billed nothing"},
    "price_call.latency_s": {
        "0": "faster than the clock",
        **dict.fromkeys(("nan", "inf", "-inf", "-1"), "kept as unknown: a call is never lost"),
    },
    "rate_upper_bound.seen": {"0": COUNT},
    "read_traffic.tenant": {"''": "the samples without a tenant"},
    "reason_not_to_cache.choices": {"0": COUNT},
    "shadow.traffic": {
        "[]": NOT_ASKED,
        **dict.fromkeys(("[5]", "[object()]"), "read while the labels are made"),
    },
    "summarise.records": {"[]": NOT_ASKED},
    "with_flex.base": {"0": AT_ONCE},
    "write_labels.labels": {"[]": NOT_ASKED},
    "*.config": {"{}": NO_OWN},
    "*.drift": {"{}": NO_OWN},
    "*.min_probability": {"0": "always cut to the budget"},
    "*.overrides": {"{}": NO_OWN},
    "*.params": {"{}": NO_OWN},
    "*.prices": {"{}": NO_OWN},
    "*.samples": {"[]": "no samples"},
    "*.seed": {"0": "any seed"},
    "*.specs": {"{}": NO_OWN},
    "*.tiers": {"{}": NO_OWN},
    "*.timeout": {"0": AT_ONCE},
    "Coalescer.call.timeout": {"0": "the answer is late, which is an error of its own"},
    "*.tokens": {"0": COUNT},
    "*.tolerance": {"0": "no loss at all"},
    "*.wait_timeout": {"0": AT_ONCE, "inf": "to wait as long as it takes"},
}
"""What is right although it may look wrong, with the reason."""


def _names() -> Iterator[tuple[str, Any]]:
    """Yield everything public that can be called with arguments, once."""
    seen: set[int] = set()
    for module in PUBLIC:
        for name in module.__all__:
            found = getattr(module, name)
            protocol = getattr(found, "_is_protocol", False)
            callable_here = inspect.isclass(found) or inspect.isfunction(found)
            if callable_here and not protocol and id(found) not in seen:
                seen.add(id(found))
                yield f"{module.__name__}.{name}", found


def _excused(path: str) -> bool:
    module, _, name = path.rpartition(".")
    return name in MADE_BY_THE_PACKAGE.get(module, ()) or name in OTHER_TESTS.get(module, {})


CASES = {path: found for path, found in _names() if not _excused(path)}


def _own_parameters(made: Any) -> Iterator[inspect.Parameter]:
    """Yield the parameters that this package declares, and no framework."""
    parameters = [
        each
        for each in inspect.signature(made).parameters.values()
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if not (inspect.isclass(made) and issubclass(made, BaseModel)):
        yield from parameters
        return
    own: dict[str, Any] = {}
    theirs: set[str] = set()
    for each in reversed(made.__mro__):
        if "llm_optimizers" not in each.__module__ and each is not BaseModel:
            theirs |= set(getattr(each, "model_fields", ()))
        if "llm_optimizers" in each.__module__:
            own |= dict.fromkeys(vars(each).get("__annotations__", ()))
            if "__init__" in vars(each):
                own |= inspect.signature(vars(each)["__init__"]).parameters
    yield from (each for each in parameters if each.name in own.keys() - theirs)


def _annotation(made: Any, parameter: inspect.Parameter) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    modules = [sys.modules[each.__module__] for each in getattr(made, "__mro__", (made,))]
    scope: dict[str, Any] = {"np": numpy, "NDArray": NDArray}
    for module in (*reversed(modules), *PUBLIC):
        scope = {**{n: getattr(module, n) for n in dir(module)}, **scope}
    for module in modules[:1]:
        scope |= vars(module)
    while True:
        try:
            return eval(parameter.annotation, scope)
        except NameError as missing:  # imported for type checkers only
            scope[missing.name] = _Unknown
        except TypeError:  # an alias that cannot be subscripted is one of a function
            return Callable


class _Unknown:
    """A class that no wrong value is of."""


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of the annotated type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, object) or isinstance(kind, typing.TypeVar | str | typing.ForwardRef):
        return True
    if kind is collections.abc.Hashable:
        return isinstance(value, kind)
    if kind in (None, types.NoneType):
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(_fits(each, value) for each in inner)
    if origin is typing.Annotated:
        return _fits(inner[0], value)
    if origin is typing.Literal:
        return any(type(value) is type(each) and value == each for each in inner)
    if kind is Callable or origin is collections.abc.Callable or hasattr(kind, "_is_protocol"):
        wants_call = not hasattr(kind, "_is_protocol") or "__call__" in vars(kind)
        return wants_call and callable(value) and not inspect.iscoroutinefunction(value)
    if dict in getattr(kind, "__mro__", ()):  # TypedDicts too
        return isinstance(value, dict)
    if origin is type:
        return isinstance(value, type)
    if origin is not None and issubclass(origin, collections.abc.Mapping):
        return isinstance(value, dict) and all(
            _fits(inner[0], k) and _fits(inner[1], v) for k, v in value.items()
        )
    if origin is not None and issubclass(origin, collections.abc.Iterable):
        of = inner[0] if issubclass(origin, collections.abc.Iterable) and inner else object
        return isinstance(value, list) and all(_fits(of, each) for each in value)
    if origin is not None:  # numpy's arrays, generic classes
        return isinstance(value, list) and "numpy" in str(kind) and value in ([], [5])
    if isinstance(value, bool):
        return kind is bool
    if kind is float or kind is Decimal:
        return isinstance(value, int | float if kind is float else int)
    return isinstance(value, kind)


def _short(path: str) -> str:
    return path if path in METHODS else path.rpartition(".")[2]


def _is_listed(path: str, parameter: str, label: str) -> bool:
    keys = (f"{_short(path)}.{parameter}", f"{_short(path)}.*", f"*.{parameter}")
    return any(label in TAKEN.get(key, ()) for key in keys)


def _call(made: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    result = made(**arguments)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    if isinstance(result, AbstractContextManager) and not hasattr(result, "close"):
        with result:
            pass
    if hasattr(result, "close"):
        result.close()


def _refusal(made: Callable[..., Any], arguments: Mapping[str, Any], name: str) -> str:
    """Return how a call was refused; "" if it was refused at once and by name."""
    try:
        _call(made, arguments)
    except ValidationError as error:
        where = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        return "" if name in where else f"refused without its name: {error}"
    except ConfigurationError as error:
        named = f"`{name}`" in str(error) or f"`{name}[" in str(error)
        return "" if named else f"refused without its name: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "taken"


@cache
def _walk(path: str) -> tuple[Counter[str], tuple[str, ...]]:
    """Try every wrong value for every parameter; return the figures, and what was wrong."""
    import tempfile

    tried: Counter[str] = Counter()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:

        def fresh() -> tuple[Callable[..., Any], dict[str, Any]]:
            at = Path(tempfile.mkdtemp(dir=folder))
            if path in METHODS:
                method, arguments = METHODS[path](at)
                return method, dict(arguments)
            return CASES[path], dict(VALID[CASES[path]](at))

        made, _ = fresh()
        for parameter in _own_parameters(made):
            kind = _annotation(made, parameter)
            for label, value in WRONG.items():
                if _fits(kind, value) and label not in OUT_OF_RANGE:
                    continue
                tried["tried"] += 1
                call, arguments = fresh()
                found = _refusal(call, {**arguments, parameter.name: value}, parameter.name)
                if not found:
                    tried["refused"] += 1
                    if label in TAKEN.get(f"{_short(path)}.{parameter.name}", ()):
                        problems.append(f"{parameter.name}={label}: listed, yet refused")
                elif _is_listed(path, parameter.name, label):
                    tried["listed"] += 1
                else:
                    problems.append(f"{parameter.name}={label}: {found}")
    return tried, tuple(problems)


@pytest.mark.parametrize("path", CASES)
def test_everything_public_has_arguments_that_work(path: str) -> None:
    assert CASES[path] in VALID, f"add {path} to support/valid_arguments.py"


@pytest.mark.parametrize("path", [*CASES, *METHODS])
def test_wrong_arguments_are_refused_by_name(path: str) -> None:
    _, problems = _walk(path)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: routing.Router(["a", ""]), r"`models\[1\]` is ''"),
        (lambda: routing.Router(["a", "a"]), "`models` are listed twice: a"),
        (lambda: routing.Router(["a", "b"], policy=routing.Always("c")), "`models` are a, b"),
        (lambda: routing.ForTier({"free": ""}), r"`models\['free'\]` is ''"),
        (lambda: prompts.TokenCounter().count(cast("str", 5), "gpt-4o"), "`text` is 5"),
        (lambda: prompts.TokenCounter().count("a", cast("str", None)), "`model` is None"),
        (lambda: batching.ProviderBatch(path=":memory:"), "`path` is ':memory:'"),
        (lambda: batching.JobQueue(url="jobs.sqlite"), "`url` starts with no scheme"),
        (lambda: batching.JobQueue(url="http://user:secret@host"), "`url` starts with http:"),
        (lambda: langchain.HybridCache(ttl=timedelta(0)), r"timedelta\(0\)"),
        (lambda: routing.calibrate(cast("Any", Path("x.jsonl")), strong="b"), "x.jsonl"),
        (lambda: llama.HistoryBlock(keep="all"), "keep"),  # type: ignore[call-arg]
        (lambda: llama.PromptCompressor(max_tokens=5, keep=1), "keep"),  # type: ignore[call-arg]
        (lambda: routing.FastEnough(limit_s=10**400), "`limit_s`"),
    ],
)
def test_slips_are_refused_in_plain_words(wrong: Callable[[], object], words: str) -> None:
    with pytest.raises((ConfigurationError, ValidationError), match=words) as refused:
        wrong()
    assert "secret" not in str(refused.value)


def test_figures(capsys: pytest.CaptureFixture[str]) -> None:
    total: Counter[str] = Counter()
    for path in (*CASES, *METHODS):
        total += _walk(path)[0]
    with capsys.disabled():
        print(f"\nwrong arguments: {dict(total)}")  # noqa: T201 - asked for
    assert total["tried"] == total["refused"] + total["listed"]


def _numbers_of_numpy(kind: Any) -> Iterator[Any]:
    """Yield numbers as data frames hold them, for a parameter that takes numbers."""
    if _fits(kind, 1) and not _fits(kind, object()):
        yield numpy.int64(1)
    if _fits(kind, 0.5):
        yield numpy.float32(0.5)


@pytest.mark.parametrize("path", CASES)
def test_numbers_of_numpy_are_taken(path: str, tmp_path: Path) -> None:
    made = CASES[path]
    for parameter in _own_parameters(made):
        kind = _annotation(made, parameter)
        if kind in (Any, object) or kind is Decimal or "Decimal" in str(parameter.annotation):
            continue
        for at, given in enumerate(_numbers_of_numpy(kind)):
            folder = tmp_path / f"{parameter.name}{at}"
            folder.mkdir()
            spoiled = {**VALID[made](folder), parameter.name: given}
            refused = _refusal(made, spoiled, parameter.name)
            plain = {**spoiled, parameter.name: given.item()}
            assert refused == _refusal(made, plain, parameter.name), parameter.name


@pytest.mark.parametrize(
    ("build", "right"),
    [
        (lambda: langchain.CachedChatModel(cast("Any", FakeLLM())), "CachedLLM"),
        (lambda: langchain.BatchingChatModel(cast("Any", FakeLLM())), "BatchedLLM"),
        (lambda: langchain.OptimizedChatModel(cast("Any", FakeLLM())), "PromptOptimizingLLM"),
        (lambda: langchain.ChatModelRouter([cast("Any", FakeLLM())]), "RoutedLLM"),
        (lambda: llama.CachedLLM(cast("Any", StreamingFake())), "CachedChatModel"),
        (lambda: llama.BatchedLLM(cast("Any", StreamingFake())), "BatchingChatModel"),
        (lambda: llama.PromptOptimizingLLM(cast("Any", StreamingFake())), "OptimizedChatModel"),
        (lambda: llama.RoutedLLM([cast("Any", StreamingFake())]), "ChatModelRouter"),
    ],
)
def test_a_model_of_the_other_framework_is_refused(build: Callable[[], Any], right: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"`(model|models|llm)`.* {right} of l"):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: langchain.CachedChatModel(StreamingFake(), cast("Any", llama.HybridCache())),
        lambda: llama.CachedLLM(FakeLLM(), cast("Any", langchain.HybridCache())),
        lambda: middleware.CacheMiddleware(cast("Any", llama.HybridCache())),
    ],
)
def test_a_cache_of_the_other_framework_is_refused(build: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"`cache`.* of (langchain|llama_index)_llm"):
        build()


def test_settings_that_contradict_each_other_are_refused() -> None:
    fake, router = FakeLLM(), routing.Router(["a"])
    optimizer = prompts.RequestOptimizer()
    contradictions: list[Callable[[], Any]] = [
        lambda: llama.RoutedLLM({"a": fake}, router=router, safe="a"),
        lambda: llama.RoutedLLM({"a": fake}, router=router, policy=routing.Always("a")),
        lambda: langchain.ChatModelRouter(
            {"a": StreamingFake()}, specs={"b": routing.ModelSpec("b")}
        ),
        lambda: langchain.PromptOptimizer(context_tokens=5, optimizer=optimizer),
        lambda: llama.PromptOptimizingLLM(fake, optimizer, context_tokens=5),
        lambda: prompts.OutputLimits(enough=50, window=10),
        lambda: routing.CascadePolicy(cheap="a", strong="a"),
        lambda: routing.Experiment(
            "e", {"a": routing.Always("a"), "b": routing.Always("b")}, shares={"a": 1}
        ),
        lambda: caching.ResponseCache().clear(""),
        lambda: langchain.HybridCache().clear(tennant="ann"),
    ]
    for build in contradictions:
        with pytest.raises(ConfigurationError, match="`"):
            build()


def test_a_number_of_a_record_that_cannot_be_does_not_lose_the_call() -> None:
    given = VALID[costs.CallRecord](Path())
    for latency in (math.nan, math.inf, -1.0):
        assert costs.CallRecord(**{**given, "latency_s": latency}).latency_s is None
