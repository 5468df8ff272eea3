"""The router's file: everything a learned policy needs, as versioned JSON.

Arrays are kept as compressed half-precision numbers in base64. Reading it builds numbers and
texts only; nothing in it is executed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_optimizers.errors import ConfigurationError
from llm_optimizers.routing.calibration import Calibration
from llm_optimizers.routing.features import SHAPE_NAMES
from llm_optimizers.routing.gains import CURVES, GainModel, Projection
from llm_optimizers.routing.gate import GateReport

__all__ = ["ARTEFACT_VERSION", "RouterArtefact", "read_artefact", "refit_command"]

ARTEFACT_VERSION: Final = 1
FORMAT: Final = "llm-optimizers-router"

Floats = NDArray[np.float64]


class RouterArtefact(BaseModel):
    """A calibrated router as it is kept in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["llm-optimizers-router"] = FORMAT
    version: Literal[1] = ARTEFACT_VERSION
    created: str
    strong: str
    tolerance: float
    labels: int
    bits: Annotated[int, Field(ge=8, le=22)]
    tasks: tuple[str, ...]
    means: dict[str, float]
    reports: dict[str, GateReport]
    edges: dict[str, tuple[float, ...]]
    arrays: dict[str, str]

    @classmethod
    def of(cls, calibration: Calibration, *, created: str) -> RouterArtefact:
        """Write a calibration down; `created` is a date for the reader."""
        model = calibration.model
        projection = model.projection
        arrays = {
            "rarity.words": projection.rarity[0],
            "rarity.chars": projection.rarity[1],
            "mean": projection.mean,
            "scale": projection.scale,
            "waves": projection.waves,
            "phases": projection.phases,
            **{f"weights.{weak}": weights for weak, weights in model.weights.items()},
        }
        return cls(
            created=created,
            strong=calibration.strong,
            tolerance=calibration.tolerance,
            labels=calibration.labels,
            bits=projection.bits,
            tasks=projection.tasks,
            means=dict(model.means),
            reports=dict(calibration.reports),
            edges=dict(calibration.edges),
            arrays={name: _pack(values) for name, values in arrays.items()},
        )

    @property
    def active(self) -> tuple[str, ...]:
        """The cheap models whose gate was passed."""
        return tuple(weak for weak, report in self.reports.items() if report.passed)

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with anything in the file."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def gain_model(self) -> GainModel:
        """The scorer, ready to predict.

        Raises:
            ConfigurationError: an array is missing, damaged or of the wrong size.
        """
        buckets, shape = 2**self.bits, len(SHAPE_NAMES)
        columns = 2 * buckets + CURVES + shape + len(self.tasks)
        return GainModel(
            projection=Projection(
                bits=self.bits,
                rarity=(self._array("rarity.words", buckets), self._array("rarity.chars", buckets)),
                mean=self._array("mean", shape),
                scale=self._array("scale", shape),
                waves=self._array("waves", shape * CURVES).reshape(shape, CURVES),
                phases=self._array("phases", CURVES),
                tasks=self.tasks,
            ),
            weights={weak: self._array(f"weights.{weak}", columns) for weak in self.means},
            means=dict(self.means),
        )

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def _array(self, name: str, size: int) -> Floats:
        try:
            return _unpack(self.arrays[name], size)
        except (KeyError, ValueError, zlib.error) as error:
            raise ConfigurationError(
                f"the router file's array {name!r} is missing or damaged; {refit_command()}"
            ) from error


def read_artefact(path: str | Path) -> RouterArtefact:
    """Read a router file.

    Raises:
        ConfigurationError: no such file, not a router file, or of another version; says how to
            make it anew.
    """
    try:
        raw: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is no router file ({type(error).__name__}); {refit_command()}"
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ConfigurationError(f"{path} is no router file; {refit_command()}")
    if raw.get("version") != ARTEFACT_VERSION:
        raise ConfigurationError(
            f"{path} is of version {raw.get('version')!r}, this release reads version "
            f"{ARTEFACT_VERSION}; {refit_command(str(raw.get('strong') or ''))}"
        )
    try:
        return RouterArtefact.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) for e in error.errors()[:3])
        raise ConfigurationError(f"{path} is damaged at {fields}; {refit_command()}") from error


def refit_command(strong: str = "") -> str:
    """What to type to make a router file anew."""
    return f"refit with: llm-optimizers router fit LABELS.jsonl --strong {strong or 'MODEL'}"


def _pack(values: Floats) -> str:
    """Little-endian float16, scaled to the largest value, compressed, base64."""
    largest = float(np.abs(values).max()) or 1.0
    halves = (values.ravel() / largest).astype("<f2").tobytes()
    packed = zlib.compress(np.array([largest], dtype="<f8").tobytes() + halves, 6)
    return base64.b64encode(packed).decode("ascii")


def _unpack(text: str, size: int) -> Floats:
    """The array of `size` numbers; never inflates beyond it."""
    expected = 8 + 2 * size
    data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), expected + 1)
    if len(data) != expected:
        raise ValueError(f"{len(data)} bytes instead of {expected}")
    largest = float(np.frombuffer(data[:8], dtype="<f8")[0])
    values = np.frombuffer(data[8:], dtype="<f2").astype(np.float64) * largest
    if not np.isfinite(values).all():
        raise ValueError("numbers that are not finite")
    return values
