"""A training's specification: what a parent process hands to the processes that train."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from purify.config import ModelConfig, PurifyConfig, TrainConfig
from purify.images.loading import resolve_workers


@dataclass(frozen=True)
class TrainJob:
    """One training: the `ok` rows of a table to learn from, the folder of its checkpoint, and the recipe.

    `model` and `train` are sections of the configuration, `subcenters` is K, and `threads` its share of this machine's
    cores. `fingerprint` is the caller's hash of table, model, recipe, sub-centers and seed: training resumes only from
    a point with the same one; None: it never resumes.
    """

    table: str
    folder: str
    model: dict[str, Any]
    train: dict[str, Any]
    subcenters: int
    seed: int
    threads: int
    fingerprint: str | None = None

    @classmethod
    def of(
        cls, config: PurifyConfig, *, table: Path, folder: Path, subcenters: int, fingerprint: str | None = None
    ) -> Self:
        """The training that a configuration describes, with its share of this machine's cores."""
        return cls(
            table=str(table),
            folder=str(folder),
            model=config.model.model_dump(),
            train=config.train.model_dump(),
            subcenters=subcenters,
            seed=config.seed,
            threads=max(1, resolve_workers(0) // config.train.parallel),
            fingerprint=fingerprint,
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Load a job saved by `write`."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Save as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @property
    def model_config(self) -> ModelConfig:
        """`model`, validated."""
        return ModelConfig.model_validate(self.model)

    @property
    def recipe(self) -> TrainConfig:
        """`train`, validated."""
        return TrainConfig.model_validate(self.train)

    @property
    def threads_per_rank(self) -> int:
        """Compute threads of each process: as configured, or of its share of the cores."""
        return self.recipe.threads or max(1, self.threads // self.recipe.processes)
