"""The router file: a fitted router as versioned JSON.

Arrays are compressed and base64-encoded. Reading a file builds numbers and texts only; nothing
in it is executed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_optimizers.connections.paths import file_path, replacing
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.learning.activation import ActivationReport
from llm_optimizers.routing.learning.calibration import Calibration
from llm_optimizers.routing.learning.features import SHAPE_NAMES
from llm_optimizers.routing.learning.gains import CURVES, MAX_DEPTH, GainModel, Head, Projection
from llm_optimizers.routing.learning.topics import Topics
from llm_optimizers.routing.learning.trees import Forest

__all__ = ["ARTEFACT_VERSION", "RouterArtefact", "read_artefact", "refit_command"]

ARTEFACT_VERSION: Final = 1
FORMAT: Final = "llm-optimizers-router"

Floats = NDArray[np.float64]

_FOREST = ("roots", "feature", "cut", "left", "value")


class RouterArtefact(BaseModel):
    """A calibrated router as stored in a file.

    `tasks` are the task tags that labels had; `untagged` says whether some had none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["llm-optimizers-router"] = FORMAT
    version: Literal[1] = ARTEFACT_VERSION
    created: str
    strong: str
    tolerance: float
    labels: int
    bits: Annotated[int, Field(ge=8, le=22)]
    tasks: tuple[str, ...]
    untagged: bool = True
    means: dict[str, float]
    forest_shares: dict[str, float]
    reports: dict[str, ActivationReport]
    edges: dict[str, tuple[float, ...]]
    arrays: dict[str, str]

    @classmethod
    def of(cls, calibration: Calibration, *, created: str) -> RouterArtefact:
        """Make an artefact from a calibration; `created` is a date for the reader."""
        model = calibration.model
        projection = model.projection
        arrays: dict[str, NDArray[Any]] = {
            "rarity.words": projection.rarity[0],
            "rarity.chars": projection.rarity[1],
            "mean": projection.mean,
            "scale": projection.scale,
            "waves": projection.waves,
            "phases": projection.phases,
            "topics.vocabulary": projection.topics.vocabulary,
            "topics.axes": projection.topics.axes,
        }
        for weak, head in model.heads.items():
            arrays[f"{weak}.weights"] = head.weights
            for name in _FOREST:
                arrays[f"{weak}.forest.{name}"] = getattr(head.forest, name)
        return cls(
            created=created,
            strong=calibration.strong,
            tolerance=calibration.tolerance,
            labels=calibration.labels,
            bits=projection.bits,
            tasks=projection.tasks,
            untagged=calibration.untagged,
            means={weak: head.mean for weak, head in model.heads.items()},
            forest_shares={weak: head.forest_share for weak, head in model.heads.items()},
            reports=dict(calibration.reports),
            edges=dict(calibration.edges),
            arrays={name: _encode_array(values) for name, values in arrays.items()},
        )

    @property
    def active(self) -> tuple[str, ...]:
        """The cheap models that passed the activation test."""
        return tuple(weak for weak, report in self.reports.items() if report.passed)

    @property
    def digest(self) -> str:
        """Twelve hex digits of a hash of the file's content."""
        return hashlib.sha256(self._json().encode()).hexdigest()[:12]

    def has_labels_of(self, task: str) -> bool:
        """Whether labels of the task were measured; "" stands for requests without a tag."""
        return task in self.tasks if task else self.untagged

    def gain_model(self) -> GainModel:
        """Return the gain model, ready to predict.

        Raises:
            ConfigurationError: an array is missing, damaged or of the wrong size.
        """
        projection = self._projection()
        columns = 2 ** (self.bits + 1) + CURVES + len(SHAPE_NAMES) + len(self.tasks)
        features = projection.topics.axes.shape[1] + len(SHAPE_NAMES) + len(self.tasks)
        return GainModel(
            projection=projection,
            heads={
                weak: Head(
                    mean=mean,
                    weights=self._floats(f"{weak}.weights", (columns,)),
                    forest=self._forest(weak, features),
                    forest_share=self.forest_shares.get(weak, 0.0),
                )
                for weak, mean in self.means.items()
            },
        )

    def _projection(self) -> Projection:
        buckets, shape = 2**self.bits, len(SHAPE_NAMES)
        vocabulary = self._integers("topics.vocabulary", buckets)
        return Projection(
            bits=self.bits,
            rarity=(
                self._floats("rarity.words", (buckets,)),
                self._floats("rarity.chars", (buckets,)),
            ),
            mean=self._floats("mean", (shape,)),
            scale=self._floats("scale", (shape,)),
            waves=self._floats("waves", (shape, CURVES)),
            phases=self._floats("phases", (CURVES,)),
            topics=Topics(vocabulary=vocabulary, axes=self._axes(len(vocabulary))),
            tasks=self.tasks,
        )

    def _axes(self, words: int) -> Floats:
        if not words:
            return np.zeros((0, 0))
        return self._floats("topics.axes", (words, -1))

    def _forest(self, weak: str, features: int) -> Forest:
        value = self._floats(f"{weak}.forest.value", (-1,))
        nodes = len(value)
        forest = Forest(
            roots=self._integers(f"{weak}.forest.roots", nodes),
            feature=self._integers(f"{weak}.forest.feature", features, low=-1),
            cut=self._floats(f"{weak}.forest.cut", (nodes,)),
            left=self._integers(f"{weak}.forest.left", nodes),
            value=value,
            depth=MAX_DEPTH,
        )
        if len(forest.feature) != nodes or len(forest.left) != nodes or not len(forest.roots):
            raise _damaged(f"{weak}.forest")
        inner = forest.feature >= 0
        if inner.any() and int(forest.left[inner].max()) + 1 >= nodes:
            raise _damaged(f"{weak}.forest.left")
        return forest

    def _floats(self, name: str, shape: tuple[int, ...]) -> Floats:
        """Return an array of finite numbers in this shape; -1 stands for any size."""
        values = self._array(name).astype(np.float64)
        if not np.isfinite(values).all():
            raise _damaged(name)
        try:
            return values.reshape(shape)
        except ValueError as error:
            raise _damaged(name) from error

    def _integers(self, name: str, end: int, *, low: int = 0) -> NDArray[np.int64]:
        """Return an array of integers that are at least `low` and below `end`."""
        values = self._array(name).astype(np.int64)
        if len(values) and (int(values.min()) < low or int(values.max()) >= end):
            raise _damaged(name)
        return values

    def _array(self, name: str) -> NDArray[Any]:
        try:
            return _decode_array(self.arrays[name])
        except (KeyError, ValueError, zlib.error) as error:
            raise _damaged(name) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, which replaces one at the same path.

        Raises:
            ConfigurationError: the path can be no file's.
            StoreError: the file cannot be written; the former one is still there.
        """
        with replacing(file_path("path", path)) as file:
            file.write(self._json(indent=1) + "\n")

    def _json(self, indent: int | None = None) -> str:
        return self.model_dump_json(indent=indent, by_alias=True)


def read_artefact(path: str | os.PathLike[str]) -> RouterArtefact:
    """Read a router file.

    Raises:
        ConfigurationError: no such file, not a router file, or of another version; says how to
            refit it.
    """
    path = file_path("path", path)
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is not a router file ({type(error).__name__}); {refit_command()}"
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ConfigurationError(f"{path} is not a router file; {refit_command()}")
    if raw.get("version") != ARTEFACT_VERSION:
        raise ConfigurationError(
            f"{path} has version {raw.get('version')!r}, this release reads version "
            f"{ARTEFACT_VERSION}; {refit_command(str(raw.get('strong') or ''))}"
        )
    try:
        return RouterArtefact.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors()[:3])
        raise ConfigurationError(f"{path} is damaged at {fields}; {refit_command()}") from error


def refit_command(strong: str = "") -> str:
    """Return the advice with the command that fits a router file again."""
    return f"refit with: llm-optimizers router fit LABELS.jsonl --strong {strong or 'MODEL'}"


def _damaged(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"the router file's {name!r} is missing or damaged; {refit_command()}"
    )


MAX_BYTES = 64 * 2**20
"""The largest array that is read, so that a forged file cannot fill the memory."""
_KINDS = {"f2": "<f2", "f4": "<f4", "i4": "<i4"}


def _encode_array(values: NDArray[Any]) -> str:
    """Encode integers as int32, other numbers as float16 where that is precise enough.

    The text is the type, a colon, and the zlib-compressed values in base64.
    """
    flat = values.ravel()
    if np.issubdtype(flat.dtype, np.integer):
        kind = "i4"
    else:
        largest = float(np.abs(flat).max()) if len(flat) else 0.0
        # Half precision loses digits below 2**-14: small weights are kept in single precision.
        kind = "f2" if 0.5 < largest < 60_000 and len(flat) > 1_000 else "f4"
    data = zlib.compress(flat.astype(_KINDS[kind]).tobytes(), 6)
    return f"{kind}:{base64.b64encode(data).decode('ascii')}"


def _decode_array(text: str) -> NDArray[Any]:
    """Return the values of an encoded array, in one dimension.

    Raises:
        ValueError: the text is not an encoded array, or is too large.
        zlib.error: its data is damaged.
    """
    kind, _, encoded = text.partition(":")
    if kind not in _KINDS:
        raise ValueError(f"unknown array type {kind!r}")
    inflater = zlib.decompressobj()
    data = inflater.decompress(base64.b64decode(encoded, validate=True), MAX_BYTES)
    if not inflater.eof:
        raise ValueError("the array is cut short or too large")
    return np.frombuffer(data, dtype=_KINDS[kind])
