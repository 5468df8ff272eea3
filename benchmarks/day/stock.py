"""Stock parts, as in tutorials, in a LangChain chain."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import tiktoken
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from day.traffic import CHEAP, DAY, STRONG, read
from langchain_llm_optimizers import ChatModelRouter
from llm_optimizers.replay.app import AppReply, Endpoint, for_request, http_client
from llm_optimizers.replay.log import LoggedRequest
from llm_optimizers.routing import KeywordPolicy
from minilm import embedder

EXACT, COSINE, KEYWORDS, HEAD = "InMemoryCache", "cosine .8", "keyword router", "head truncation"
THRESHOLD = 0.8
CONTEXT_TOKENS = 400

Vectors = Mapping[str, npt.NDArray[np.float32]]


class StockApp:
    """A `ReplayApp` that is a ChatOpenAI with the named parts."""

    def __init__(self, parts: Sequence[str], endpoint: Endpoint, vectors: Vectors) -> None:
        self._http = http_client(endpoint)
        cache: BaseCache | None = InMemoryCache() if EXACT in parts else None
        if COSINE in parts:
            cache = LastMessageCache(vectors)
        self._parts = parts

        def model(name: str) -> BaseChatModel:
            return ChatOpenAI(
                model=name,
                base_url=endpoint.base_url,
                api_key=endpoint.api_key,
                http_client=self._http,
                cache=cache,
            )

        self._model = model(STRONG)
        if KEYWORDS in parts:
            models = {CHEAP: model(CHEAP), STRONG: self._model}
            policy = KeywordPolicy(weak=CHEAP, strong=STRONG)
            self._model = ChatModelRouter(models=models, policy=policy)

    def ask(self, logged: LoggedRequest) -> AppReply:
        """See `ReplayApp.ask`."""
        messages = logged.request.to_openai()["messages"]
        if HEAD in self._parts:
            messages = [{**each, "content": cut_context(each["content"])} for each in messages]
        with for_request(logged):
            return AppReply(text=self._model.invoke(messages).text)

    def close(self) -> None:
        """See `ReplayApp.close`."""
        self._http.close()


class LastMessageCache(BaseCache):
    """Serves the answer of the nearest last message from a cosine of .8 on, ignoring the others."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._index = faiss.IndexFlatIP(len(next(iter(vectors.values()))))
        self._answers: list[Any] = []
        self._lock = threading.Lock()

    def lookup(self, prompt: str, llm_string: str) -> Any:  # noqa: ARG002
        """Return the stored generations, None on a miss."""
        with self._lock:
            if not self._answers:
                return None
            scores, places = self._index.search(self._vector(prompt), 1)
            return self._answers[places[0][0]] if scores[0][0] >= THRESHOLD else None

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:  # noqa: ARG002
        """Store generations."""
        with self._lock:
            self._index.add(self._vector(prompt))
            self._answers.append(return_val)

    def clear(self, **_: Any) -> None:
        """Remove everything."""
        self._index.reset()
        self._answers.clear()

    def _vector(self, prompt: str) -> npt.NDArray[np.float32]:
        text = json.loads(prompt)[-1]["kwargs"]["content"]
        return self._vectors[_key(text)][None]


def cut_context(text: str) -> str:
    """Return the text with its context cut to the first tokens."""
    start, tag, rest = text.partition("<context>")
    context, end, question = rest.partition("</context>")
    if not tag or not end:
        return text
    encoding = tiktoken.encoding_for_model(STRONG)
    tokens = encoding.encode_ordinary(context)[:CONTEXT_TOKENS]
    return f"{start}{tag}{encoding.decode(tokens)}{end}{question}"


def embed_last_messages(folder: Path, progress: Callable[[int, int], None]) -> str:
    """Embed the day's last messages, whole and cut, in a file; return the model's name."""
    name, embed = embedder()
    path = folder / "vectors.npz"
    if path.is_file() and str(np.load(path)["model"]) == name:
        return name
    texts: set[str] = set()
    for request in read(folder / DAY):
        texts |= {request.text, cut_context(request.text)}
    order = sorted(texts)
    rows = []
    for start in range(0, len(order), 256):
        rows.append(embed(order[start : start + 256]).astype(np.float32))
        progress(min(start + 256, len(order)), len(order))
    keys = np.array([_key(text) for text in order])
    np.savez(path, model=np.array(name), keys=keys, rows=np.concatenate(rows))
    return name


def load_vectors(folder: Path, parts: Sequence[str]) -> Vectors:
    """Load the vectors of `embed_last_messages` by the key of their text, if a part needs them."""
    if COSINE not in parts:
        return {}
    kept = np.load(folder / "vectors.npz")
    return dict(zip(kept["keys"].tolist(), kept["rows"], strict=True))


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
