"""What a shorter context keeps: answers still inside their passage, milliseconds, growth.

    python benchmarks/prompts.py --data ../shared/data --json rows.json

Every prompt is a question with retrieved passages, one of which holds the answer. A method gets
20 % (10 %) of the passages' tokens, titles included, and is right when an answer still stands in
what is left of that passage. Data that the shipped weights were fitted on are measured with
weights fitted on the other half of their rows, so every figure is of rows the weights never saw.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rows import Row, arguments, show, write

from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.prompts import Passage, PassageSelector, TokenCounter
from llm_optimizers.prompts.context import Weights, render
from llm_optimizers.text import sentences, terms, topical_terms
from llm_optimizers.text.retrieval import STOPWORDS

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import fit_ranking

MODEL = "gpt-4o"
FILES = {"nq20": "compress_nq20.jsonl.gz", "xquad15": "compress_xquad15.jsonl.gz"}
TARGETS = {("nq20", 80): 0.95, ("nq20", 90): 0.91, ("xquad15", 80): 0.985, ("xquad15", 90): 0.97}

Prompt: TypeAlias = dict[str, Any]
Method: TypeAlias = Callable[[str, Sequence[Passage], int], dict[int, str]]
"""Question, passages, tokens allowed → what is left of each passage that is kept at all."""

counter = TokenCounter()


def main() -> None:
    options = arguments("What a shorter context keeps, and how fast it is made.").parse_args()
    data = {name: read(options.data / file) for name, file in FILES.items()}
    rows: list[Row] = []
    embed = StaticEmbedder().embed
    for name, prompts in data.items():
        if prompts is None:
            print(f"{options.data / FILES[name]} is missing: its rows are left out")
            continue
        tuned = was_fitted_on(options.data / FILES[name])
        print(
            f"\n{name}: {len(prompts)} prompts" + (", weights of the other half" if tuned else "")
        )
        folds = list(halves(name, data)) if tuned else [(prompts, None)]
        for saved in (80, 90):
            rows += retention(name, saved, folds, embed)
    loaded = [prompt for prompts in data.values() for prompt in prompts or ()]
    if loaded:
        rows += speed(loaded, embed)
    print()
    show(rows, [])
    write(rows, options.json)


def read(path: Path) -> list[Prompt] | None:
    return fit_ranking.load(path) if path.is_file() else None


def was_fitted_on(path: Path) -> bool:
    fitted = json.loads(fit_ranking.OUT.read_text())
    return fit_ranking.digest(path) in fitted["fitted_on"].values()


def halves(
    name: str, data: dict[str, list[Prompt] | None]
) -> Iterator[tuple[list[Prompt], Weights | None]]:
    """Each half of a data set, with weights fitted on the other half of all of them."""
    embed = StaticEmbedder().embed
    for half in (0, 1):
        others = [p for prompts in data.values() for p in (prompts or [])[1 - half :: 2]]
        weights = Weights.from_json(fit_ranking.fitted_on(others, embed))
        yield (data[name] or [])[half::2], weights


def retention(
    name: str,
    saved: int,
    folds: Sequence[tuple[list[Prompt], Weights | None]],
    embed: Callable[[Sequence[str]], np.ndarray],
) -> list[Row]:
    """Our rows first, then the peers'."""
    share = (100 - saved) / 100
    best = [(p, selecting(embed, weights)) for p, weights in folds]
    words = [(p, selecting(None, weights)) for p, weights in folds]
    everything = [p for prompts, _ in folds for p in prompts]
    key = f"{name}_retention_at_{saved}"
    found = [row(key, best, share, f">= {TARGETS[name, saved]}")]
    found.append(row(f"{key}_words_only", words, share, "-"))
    for peer, method in PEERS.items():
        found.append(row(f"{key}_{peer}", [(everything, method)], share, "peer"))
    return found


def row(
    name: str, parts: Sequence[tuple[Sequence[Prompt], Method]], share: float, target: str
) -> Row:
    right: list[bool] = []
    kept: list[float] = []
    for prompts, method in parts:
        for prompt in prompts:
            passages = [Passage(title=d["title"], text=d["text"]) for d in prompt["docs"]]
            total = sum(size(p.title, p.text) for p in passages)
            left = method(prompt["question"], passages, int(total * share))
            text = left.get(prompt["gold"], "").lower()
            right.append(any(answer.lower() in text for answer in prompt["answers"]))
            used = sum(size(passages[at].title, text) for at, text in left.items())
            kept.append(used / total)
    note = f"saved {1 - statistics.fmean(kept):.1%}, n={len(right)}"
    return Row(name=name, value=statistics.fmean(right), target=target, note=note)


def size(title: str, text: str) -> int:
    return counter.count(render(title, text), MODEL).tokens


def selecting(embed: Any, weights: Weights | None) -> Method:
    selector = PassageSelector(model=MODEL, counter=counter, embed=embed, weights=weights)

    def method(question: str, passages: Sequence[Passage], allowed: int) -> dict[int, str]:
        chosen = selector.select(question, passages, max_tokens=allowed)
        return {kept.index: kept.text for kept in chosen.kept}

    return method


def head(_: str, passages: Sequence[Passage], allowed: int) -> dict[int, str]:
    """The first passages, the last of them cut in the middle: what truncation does."""
    left: dict[int, str] = {}
    for at, passage in enumerate(passages):
        words = passage.text.split(" ")
        while words and size(passage.title, " ".join(words)) > allowed:
            words = words[: len(words) - max(1, len(words) // 10)]
        if not words:
            break
        left[at] = " ".join(words)
        allowed -= size(passage.title, left[at])
        if len(left[at]) < len(passage.text):
            break
    return left


def no_stopwords(_: str, passages: Sequence[Passage], __: int) -> dict[int, str]:
    """All but the commonest words; it saves what it saves."""
    return {
        at: " ".join(w for w in p.text.split() if w.lower().strip(".,;:") not in STOPWORDS)
        for at, p in enumerate(passages)
    }


def bm25_passages(question: str, passages: Sequence[Passage], allowed: int) -> dict[int, str]:
    """Whole passages by BM25 over title and text."""
    bags = [Counter(terms(render(p.title, p.text))) for p in passages]
    asked = set(topical_terms(question))
    mean = statistics.fmean(sum(bag.values()) for bag in bags)

    def score(bag: Counter[str]) -> float:
        total = 0.0
        for term in asked & bag.keys():
            held = sum(term in other for other in bags)
            rarity = math.log(1 + (len(bags) - held + 0.5) / (held + 0.5))
            norm = 0.25 + 0.75 * sum(bag.values()) / mean
            total += rarity * bag[term] * 2.2 / (bag[term] + 1.2 * norm)
        return total

    left: dict[int, str] = {}
    for at in sorted(range(len(passages)), key=lambda i: (-score(bags[i]), i)):
        cost = size(passages[at].title, passages[at].text)
        if cost <= allowed:
            left[at] = passages[at].text
            allowed -= cost
    return left


def llama_index_sentences(
    question: str, passages: Sequence[Passage], allowed: int
) -> dict[int, str]:
    """LlamaIndex's SentenceEmbeddingOptimizer over all passages, with our static embedder.

    It has no token budget: the share of sentences falls until ours holds.
    """
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.postprocessor.optimizer import SentenceEmbeddingOptimizer
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    known: dict[str, list[float]] = {}

    class Static(BaseEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            if query not in known:
                known[query] = [float(x) for x in StaticEmbedder().embed([query])[0]]
            return known[query]

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_query_embedding(text if any(map(str.isalnum, text)) else "a")

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    marks = [f"\u2402{at}\u2403" for at in range(len(passages))]
    cut = [
        f"{sentence.strip()} {marks[at]}"
        for at, p in enumerate(passages)
        for sentence in sentences(p.text)
    ]
    node = NodeWithScore(node=TextNode(text="\n".join(cut)), score=1.0)
    query = QueryBundle(question)
    for count in range(max(1, len(cut) // 4), 0, -1):
        optimizer = SentenceEmbeddingOptimizer(
            embed_model=Static(),
            percentile_cutoff=(count + 0.5) / len(cut),
            tokenizer_fn=lambda text: text.split("\n"),
        )
        text = optimizer.postprocess_nodes([node.model_copy(deep=True)], query)[0].text
        left: dict[int, str] = {}
        for at, mark in enumerate(marks):
            own = [part for part in cut if part.endswith(mark) and part in text]
            if own:
                left[at] = " ".join(part.removesuffix(mark).strip() for part in own)
        if sum(size(passages[at].title, text) for at, text in left.items()) <= allowed:
            return left
    return {}


def langchain_embeddings_filter(
    question: str, passages: Sequence[Passage], allowed: int
) -> dict[int, str]:
    """LangChain's EmbeddingsFilter, with our static embedder, k falling until the budget holds."""
    from langchain_classic.retrievers.document_compressors import EmbeddingsFilter
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    class Static(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[float(x) for x in vector] for vector in StaticEmbedder().embed(texts)]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    documents = [
        Document(page_content=render(p.title, p.text), metadata={"at": at})
        for at, p in enumerate(passages)
    ]
    for k in range(len(documents), 0, -1):
        kept = EmbeddingsFilter(embeddings=Static(), k=k).compress_documents(documents, question)
        left = {d.metadata["at"]: passages[d.metadata["at"]].text for d in kept}
        if sum(size(passages[at].title, text) for at, text in left.items()) <= allowed:
            return left
    return {}


PEERS: dict[str, Method] = {
    "head_truncation": head,
    "stopword_drop": no_stopwords,
    "bm25_passages": bm25_passages,
}
for _peer, _module, _method in (
    ("llama_index", "llama_index.core", llama_index_sentences),
    ("langchain", "langchain_classic", langchain_embeddings_filter),
):
    try:
        __import__(_module)
    except ImportError:
        print(f"{_module} is not installed: its compressor is left out")
    else:
        PEERS[_peer] = _method


def speed(prompts: Sequence[Prompt], embed: Any) -> list[Row]:
    """Milliseconds for a prompt of about 2,500 tokens, and the power of the time's growth."""
    sized = [(abs(tokens(p) - 2_500), at) for at, p in enumerate(prompts)]
    near = [prompts[at] for _, at in sorted(sized)[:100]]
    usual = statistics.median(best_time(p["question"], p["docs"], embed) for p in near)
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    points: list[tuple[float, float]] = []
    for count in (1, 2, 4, 8, 16, 40):
        docs = [doc for at in order[:count] for doc in prompts[at]["docs"]]
        total = sum(size(d["title"], d["text"]) for d in docs)
        points.append((total, best_time(prompts[order[0]]["question"], docs, embed)))
        print(f"  {points[-1][0]:>8,} tokens: {points[-1][1] * 1000:8.2f} ms")
    slope = np.polyfit(*np.log(np.array(points)).T, 1)[0]
    return [
        Row(name="compress_ms_2500_tokens", value=usual * 1000, target="< 10"),
        Row(name="growth_exponent", value=float(slope), target="~ 1", note="to 100,000 tokens"),
    ]


def tokens(prompt: Prompt) -> int:
    return sum(size(d["title"], d["text"]) for d in prompt["docs"])


def best_time(question: str, docs: Sequence[dict[str, str]], embed: Any) -> float:
    """The best of five, each with a counter that has counted nothing yet."""
    passages = [Passage(title=d["title"], text=d["text"]) for d in docs]
    times = []
    for _ in range(5):
        selector = PassageSelector(model=MODEL, counter=TokenCounter(), embed=embed)
        start = time.perf_counter()
        selector.select(question, passages, max_tokens=500)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
