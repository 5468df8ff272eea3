"""Arguments that work, for every public constructor and function; a test spoils one at a time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from llama_index.core import Document, SummaryIndex
from llama_index.core.base.llms.types import ChatMessage

import langchain_llm_optimizers as langchain
import llama_index_llm_optimizers as llama
from langchain_llm_optimizers import middleware
from llm_optimizers import (
    batching,
    caching,
    costs,
    embeddings,
    events,
    evidence,
    prompts,
    routing,
    types,
)
from llm_optimizers.batching.combining.ask import BilledAnswer
from llm_optimizers.caching.answers import JSONCodec
from llm_optimizers.routing.cascade.checks import NotEmpty
from support.fakes import StreamingFake
from support.llama_fakes import FakeLLM

__all__ = ["METHODS", "PUBLIC", "VALID", "Arguments"]

Arguments = Mapping[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PUBLIC = (
    costs,
    caching,
    routing,
    prompts,
    batching,
    evidence,
    events,
    embeddings,
    types,
    langchain,
    middleware,
    llama,
)
"""Every package top with an `__all__`."""


class _BatchAPI:
    """What is looked at of an SDK's client when it is given."""

    files = batches = create = retrieve = results = cancel = lambda *_: None


def _record() -> dict[str, Any]:
    return {
        "id": "1",
        "time": NOW,
        "model": "m",
        "usage": costs.Usage(),
        "cost": Decimal(1),
        "baseline_model": "m",
        "baseline_cost": Decimal(1),
    }


def _labels() -> list[evidence.Label]:
    # Too few to fit: what is wrong is found before they are looked at.
    return [evidence.Label(prompt=f"{n}", scores={"a": n % 2, "b": 1}) for n in range(3)]


def _request() -> types.ChatRequest:
    return types.ChatRequest(messages=(types.Message(role="user", content="Is water wet?"),))


def _sample_file(folder: Path) -> Path:
    path = folder / "samples.sqlite"
    store = evidence.SampleStore(path, rate=1)
    store.offer("What is a knot?")
    store.close()
    return path


def _label_file(folder: Path) -> Path:
    path = folder / "labels.jsonl"
    path.write_text(json.dumps({"prompt": "?", "scores": {"a": 1}}) + "\n")
    return path


def _provider_batch(folder: Path) -> batching.ProviderBatch:
    return batching.ProviderBatch(_BatchAPI(), path=folder / "journal.sqlite")


def _engine() -> Any:
    return SummaryIndex.from_documents([Document(text="x")]).as_query_engine(llm=FakeLLM())


def _chat_model() -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-4o-mini", api_key="none")


VALID: Mapping[Any, Callable[[Path], Arguments]] = {
    costs.CallRecord: lambda _: _record(),
    costs.HoldoutGroup: lambda _: {"share": 0.02, "salt": "a"},
    costs.Ledger: lambda _: {},
    costs.LedgerNote: lambda _: {"id": "1", "time": NOW, "kind": "k", "payload": {"a": 1}},
    costs.ModelPrice: lambda _: {"input": Decimal(1), "output": Decimal(2)},
    costs.PriceBook: lambda _: {},
    costs.Saving: lambda _: {"strategy": "routing", "amount": Decimal(1)},
    costs.Usage: lambda _: {},
    costs.attributed: lambda _: {"user": "a"},
    costs.current_attribution: lambda _: {},
    costs.price_call: lambda _: {
        "prices": costs.PriceBook(),
        **{name: _record()[name] for name in ("id", "time", "model", "usage")},
    },
    costs.summarise: lambda _: {"records": [costs.CallRecord(**_record())]},
    caching.Cacheability: lambda _: {},
    caching.CallOptions: lambda _: {},
    caching.ResponseCache: lambda _: {"codec": JSONCodec()},
    caching.fresh_answers: lambda _: {},
    caching.reason_not_to_cache: lambda _: {"cacheability": caching.Cacheability()},
    caching.tenant: lambda _: {"name": "a"},
    routing.Always: lambda _: {"model": "a"},
    routing.ByTask: lambda _: {"policies": {"chat": routing.Always("a")}},
    routing.CascadeLabel: lambda _: {"checks": {"not_empty": 1.0}, "cheap": 0.0, "strong": 1.0},
    routing.CascadePolicy: lambda _: {"cheap": "a", "strong": "b"},
    routing.Choice: lambda _: {"model": "a", "policy": "own", "reason": "it is cheap"},
    routing.Experiment: lambda _: {
        "name": "e",
        "arms": {"a": routing.Always("a"), "b": routing.Always("b")},
    },
    routing.FastEnough: lambda _: {"limit_s": 1.0},
    routing.FirstOf: lambda _: {"policies": [routing.Always("a")]},
    routing.ForTier: lambda _: {"models": {"free": "a"}},
    routing.Health: lambda _: {},
    routing.KeywordPolicy: lambda _: {"weak": "a", "strong": "b"},
    routing.LearnedPolicy: lambda _: {"artefact": "router.json"},
    routing.ModelSpec: lambda _: {"name": "a"},
    routing.Previous: lambda _: {"model": "a"},
    routing.Router: lambda _: {"models": ["a", "b"]},
    routing.RoutingContext: lambda _: {},
    routing.UserTier: lambda _: {},
    routing.Weighted: lambda _: {"weights": {"a": 1}},
    prompts.ContextBudget: lambda _: {"max_tokens": 100},
    prompts.Example: lambda _: {"input": "2 + 2", "output": "4"},
    prompts.ExampleSelector: lambda _: {},
    prompts.History: lambda _: {},
    prompts.OutputLimits: lambda _: {},
    prompts.Passage: lambda _: {"text": "Water is wet."},
    prompts.PassageSelector: lambda _: {},
    prompts.RequestOptimizer: lambda _: {},
    prompts.Summariser: lambda _: {"model": "a", "call": str},
    prompts.TokenCounter: lambda _: {},
    prompts.enough_examples: lambda _: {
        "labelled": [prompts.Example(input=f"{n}", output=f"{n}") for n in range(3)],
        "answer": lambda _, question: question,
        "selector": prompts.ExampleSelector(),
    },
    batching.AnthropicBatches: lambda _: {"batches": _BatchAPI()},
    batching.AskRows: lambda _: {"model": "a"},
    batching.Coalescer: lambda _: {"call": list},
    batching.CombinedAsk: lambda _: {"ask": lambda _: BilledAnswer(text="yes")},
    batching.GroupLimits: lambda _: {},
    batching.BacklogAlert: lambda _: {},
    batching.Job: lambda _: {"id": "1", "queue": "default", "payload": {"a": 1}, "submitted_at": 1},
    batching.JobHandle: lambda _: {"id": "1", "watch": lambda _: None},
    batching.JobQueue: lambda _: {},
    batching.RetryPolicy: lambda _: {},
    batching.OpenAIBatches: lambda _: {"client": _BatchAPI()},
    batching.ProviderBatch: lambda at: {"client": _BatchAPI(), "path": at / "journal.sqlite"},
    batching.ShardLimits: lambda _: {"max_requests": 1, "max_bytes": 1},
    batching.compare_combined: lambda _: {
        "sample": [_request()],
        "ask": lambda _: BilledAnswer(text="yes"),
    },
    batching.with_flex: lambda _: {"create": lambda **_: None},
    events.subscribe: lambda _: {"listener": print},
    evidence.DriftAlarm: lambda _: {"edges": [1.0, 2.0]},
    evidence.Label: lambda _: {"prompt": "?"},
    evidence.Sample: lambda _: {"prompt": "?"},
    evidence.SampleStore: lambda at: {"path": at / "samples.sqlite"},
    evidence.bootstrap_interval: lambda _: {
        "value": 1.0,
        "resampled": [1.0, 2.0],
        "confidence": 0.9,
    },
    evidence.confidence_sequence_half_width: lambda _: {
        "values": [1.0, 2.0],
        "alpha": 0.1,
        "expected": 10,
    },
    evidence.label_problems: lambda _: {"labels": _labels(), "strong": "b", "weak": "a"},
    evidence.mean_difference: lambda _: {"a": [1.0, 2.0], "b": [1.0, 3.0], "confidence": 0.9},
    evidence.mean_interval: lambda _: {"values": [1.0, 2.0], "confidence": 0.9},
    evidence.mean_loss_interval: lambda _: {"losses": [1.0, 2.0], "worst": 1, "confidence": 0.9},
    evidence.merged: lambda _: {"labels": _labels()},
    evidence.quantile_edges: lambda _: {"scores": [1.0, 2.0]},
    evidence.rate_upper_bound: lambda _: {"seen": 1, "trials": 10, "confidence": 0.9},
    evidence.read_labels: lambda at: {"path": _label_file(at)},
    evidence.read_traffic: lambda at: {"path": _sample_file(at)},
    evidence.safe_threshold: lambda _: {
        "scores": [1.0, 2.0],
        "losses": [0.0, 0.0],
        "tolerance": 0.1,
    },
    evidence.same_by: lambda _: {"extract": str},
    evidence.samples_needed: lambda _: {"tolerance": 0.1, "confidence": 0.9},
    evidence.shadow: lambda _: {
        "traffic": [("?", "")],
        "models": ["a"],
        "answer": lambda *_: "",
        "grade": lambda *_: 1.0,
    },
    evidence.write_labels: lambda at: {"path": at / "new.jsonl", "labels": _labels()},
    embeddings.CachedEmbedder: lambda _: {"embedder": embeddings.StaticEmbedder()},
    embeddings.FrameworkEmbedder: lambda _: {"embeddings": _embeddings()},
    embeddings.StaticEmbedder: lambda _: {},
    embeddings.as_embedder: lambda _: {"embeddings": None},
    embeddings.passage_embed: lambda _: {"embeddings": None},
    types.ChatRequest: lambda _: {"messages": _request().messages},
    types.Message: lambda _: {"role": "user"},
    types.Part: lambda _: {"kind": "text"},
    types.ToolCall: lambda _: {"id": "1", "name": "add", "arguments": "{}"},
    langchain.BatchingChatModel: lambda _: {"model": StreamingFake()},
    langchain.CachedChatModel: lambda _: {"model": StreamingFake()},
    langchain.ChatModelRouter: lambda _: {"models": {"a": StreamingFake()}},
    langchain.CostCallbackHandler: lambda _: {},
    langchain.HybridCache: lambda _: {},
    langchain.OptimizedChatModel: lambda _: {"model": StreamingFake()},
    langchain.PassageCompressor: lambda _: {"max_tokens": 100},
    langchain.PromptOptimizer: lambda _: {},
    langchain.batch_later: lambda at: {
        "runnable": _chat_model(),
        "inputs": ["?"],
        "batch": _provider_batch(at),
    },
    langchain.collect_later: lambda at: {
        "runnable": _chat_model(),
        "id": "1",
        "batch": _provider_batch(at),
    },
    middleware.CacheMiddleware: lambda _: {},
    middleware.PromptMiddleware: lambda _: {},
    middleware.RouterMiddleware: lambda _: {
        "router": langchain.ChatModelRouter({"a": StreamingFake()})
    },
    llama.BatchedLLM: lambda _: {"llm": FakeLLM()},
    llama.CachedLLM: lambda _: {"llm": FakeLLM()},
    llama.CachedQueryEngine: lambda _: {"query_engine": _engine()},
    llama.CostEventHandler: lambda _: {},
    llama.EmbeddingsStore: lambda _: {"namespace": "a"},
    llama.HistoryBlock: lambda _: {},
    llama.HybridCache: lambda _: {},
    llama.PromptCompressor: lambda _: {"max_tokens": 100},
    llama.PromptOptimizingLLM: lambda _: {"llm": FakeLLM()},
    llama.RoutedLLM: lambda _: {"models": {"a": FakeLLM()}},
    llama.abatch_chat: lambda _: {"llm": FakeLLM(), "conversations": [[ChatMessage("?")]]},
    llama.optimized_settings: lambda _: {"llm": FakeLLM()},
    llama.with_embeddings_cache: lambda _: {"model": _embed_model()},
    # Fitting takes minutes: what is wrong is found before, and the labels are too few to fit.
    routing.calibrate: lambda _: {"labels": _labels(), "strong": "b"},
    routing.calibrate_cascade: lambda _: {
        "labels": [routing.CascadeLabel(checks={"not_empty": 1.0}, cheap=0.0, strong=1.0)],
        "checks": [NotEmpty()],
        "price_ratio": 0.1,
        "tolerance": 0.1,
    },
}
"""By the public class or function itself: its arguments, given a folder of its own."""


def _embeddings() -> Any:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    return DeterministicFakeEmbedding(size=8)


def _embed_model() -> Any:
    from support.llama_fakes import HashEmbedding

    return HashEmbedding()


def _done_job() -> batching.JobHandle:
    job = batching.Job(id="1", queue="q", payload=None, submitted_at=1, state="done")
    finished: Future[batching.Job] = Future()
    finished.set_result(job)
    return batching.JobHandle("1", lambda _: finished)


METHODS: Mapping[str, Callable[[Path], tuple[Callable[..., Any], Arguments]]] = {
    "BatchedLLM.check_combining": lambda _: (
        llama.BatchedLLM(FakeLLM()).check_combining,
        {"sample": ["Is water wet?"]},
    ),
    "BatchingChatModel.check_combining": lambda _: (
        langchain.BatchingChatModel(StreamingFake()).check_combining,
        {"sample": ["Is water wet?"]},
    ),
    "Coalescer.call": lambda _: (batching.Coalescer(list).call, {"item": 1}),
    "Coalescer.submit": lambda _: (batching.Coalescer(list).submit, {"item": 1}),
    "DeadLetters.list": lambda _: (batching.JobQueue().dead.list, {}),
    "DeadLetters.show": lambda _: (batching.JobQueue().dead.show, {"id": "1"}),
    "JobHandle.result": lambda _: (_done_job().result, {}),
    "JobHandle.add_callback": lambda _: (_done_job().add_callback, {"callback": print}),
    "JobQueue.get": lambda _: (batching.JobQueue().get, {"id": "1"}),
    "JobQueue.handle": lambda _: (batching.JobQueue().handle, {"id": "1"}),
    "JobQueue.submit": lambda _: (batching.JobQueue().submit, {"payload": {"a": 1}}),
    "JobQueue.submit_many": lambda _: (batching.JobQueue().submit_many, {"payloads": [1, 2]}),
    "JobQueue.close": lambda _: (batching.JobQueue().close, {}),
    "Ledger.note": lambda _: (costs.Ledger().note, {"kind": "k", "payload": {}}),
    "Ledger.by_run": lambda _: (costs.Ledger().by_run, {"run": "r"}),
    "Ledger.records": lambda _: (costs.Ledger().records, {}),
    "Ledger.notes": lambda _: (costs.Ledger().notes, {"kind": "k"}),
    "Ledger.summary": lambda _: (costs.Ledger().summary, {}),
    "PriceBook.cost": lambda _: (
        costs.PriceBook().cost,
        {"usage": costs.Usage(input_tokens=1), "model": "gpt-4o"},
    ),
    "PriceBook.bill": lambda _: (
        costs.PriceBook().bill,
        {"usage": costs.Usage(input_tokens=1), "model": "gpt-4o"},
    ),
    "PriceBook.priced": lambda _: (costs.PriceBook().priced, {"model": "gpt-4o"}),
    "PriceBook.fixed_costs": lambda _: (
        costs.PriceBook().fixed_costs,
        {"since": NOW, "until": NOW},
    ),
    "PriceBook.rates": lambda _: (costs.PriceBook().rates, {"model": "gpt-4o"}),
    "PriceBook.quote": lambda _: (costs.PriceBook().quote, {"model": "gpt-4o"}),
    "PriceBook.similar": lambda _: (costs.PriceBook().similar, {"model": "gpt-4o"}),
    "PriceBook.context_window": lambda _: (costs.PriceBook().context_window, {"model": "gpt-4o"}),
    "ResponseCache.clear": lambda _: (caching.ResponseCache(semantic=False).clear, {}),
    "Router.decide": lambda _: (routing.Router(["a"]).decide, {"request": _request()}),
    "Router.feedback": lambda _: (
        routing.Router(["a"]).feedback,
        {"decision_id": "1", "score": 1.0},
    ),
    "PassageSelector.select": lambda _: (
        prompts.PassageSelector().select,
        {"question": "?", "passages": [prompts.Passage(text="x")], "max_tokens": 10},
    ),
    "ExampleSelector.select": lambda _: (
        prompts.ExampleSelector().select,
        {"question": "?", "pool": [prompts.Example(input="x", output="y")]},
    ),
    "RequestOptimizer.optimize": lambda _: (
        prompts.RequestOptimizer().optimize,
        {"request": _request()},
    ),
    "ProviderBatch.collect": lambda at: (_provider_batch(at).collect, {"id": "1"}),
    "SampleStore.samples": lambda at: (
        evidence.SampleStore(_sample_file(at), rng=random.Random(1)).samples,
        {},
    ),
    "SampleStore.forget": lambda at: (
        evidence.SampleStore(_sample_file(at)).forget,
        {"user": "u1"},
    ),
}
"""Methods that take settings, by name, with what they are called with."""
