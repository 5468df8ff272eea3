"""Ways to shorten a context: our selector, and other tools with the same number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llm_optimizers.embeddings import StaticEmbedder
from llm_optimizers.prompts import Passage, PassageSelector, TokenCounter
from llm_optimizers.prompts.context import RankingWeights, render
from llm_optimizers.text import sentences, terms, topical_terms
from llm_optimizers.text.stemming import stopwords
from prompts.bm25 import BM25, Split, best_first

MODEL = "gpt-4o"

Method: TypeAlias = Callable[[str, Sequence[Passage], int], dict[int, str]]
"""Question, passages, tokens allowed → what is left of each passage that is not dropped."""

counter = TokenCounter()


def size(title: str, text: str) -> int:
    return counter.count(render(title, text), MODEL).tokens


def selector_method(embed: Any, weights: RankingWeights | None) -> Method:
    selector = PassageSelector(model=MODEL, counter=counter, embed=embed, weights=weights)

    def method(question: str, passages: Sequence[Passage], allowed: int) -> dict[int, str]:
        chosen = selector.select(question, passages, max_tokens=allowed)
        return {kept.index: kept.text for kept in chosen.kept}

    return method


def head(_: str, passages: Sequence[Passage], allowed: int) -> dict[int, str]:
    """Truncate: keep the first passages and cut the last of them in the middle."""
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
        at: " ".join(
            w for w in p.text.split() if w.lower().strip(".,;:") not in stopwords("english")
        )
        for at, p in enumerate(passages)
    }


def bm25_passages(
    question: str,
    passages: Sequence[Passage],
    allowed: int,
    asked: Split = topical_terms,
    split: Split = terms,
) -> dict[int, str]:
    """Keep whole passages, ranked by BM25 over title and text."""
    scores = BM25([render(p.title, p.text) for p in passages], split).scores(asked(question))
    left: dict[int, str] = {}
    for at in best_first(scores):
        cost = size(passages[at].title, passages[at].text)
        if cost <= allowed:
            left[at] = passages[at].text
            allowed -= cost
    return left


def llama_index_sentences(
    question: str, passages: Sequence[Passage], allowed: int
) -> dict[int, str]:
    """Apply LlamaIndex's SentenceEmbeddingOptimizer to all passages, with our static embedder.

    It has no token budget, so the share of sentences is lowered until the budget holds.
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
    """Apply LangChain's EmbeddingsFilter with our embedder; lower k until the budget holds."""
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
