"""A training as processes of its own: several run side by side, each with its share of the cores.

The parent (`purify.training.launch`) starts ``python -m purify.training.job JOB.json`` for each rank, and reads
progress as JSON lines. A child ends itself when its parent is gone, so nothing goes on computing after a kill.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purify.config import ModelConfig, TrainConfig
from purify.errors import PurifyError
from purify.progress import Progress, silent

_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class TrainJob:
    """One training: the table to learn from, where the checkpoint goes, and the recipe.

    Attributes
    ----------
    table
        Parquet with ``sample_id``, ``uri``, ``label`` (and ``status``; only ``ok`` rows are used).
    folder
        Gets ``checkpoint/model.safetensors``.
    model, train
        The configuration's sections.
    subcenters
        K.
    seed
        Of every draw.
    threads
        Compute threads, of all its processes on this machine together.
    """

    table: str
    folder: str
    model: dict[str, Any]
    train: dict[str, Any]
    subcenters: int
    seed: int
    threads: int

    @property
    def recipe(self) -> TrainConfig:
        """The section of the configuration."""
        return TrainConfig.model_validate(self.train)

    @property
    def threads_per_rank(self) -> int:
        """Compute threads of each process."""
        return max(1, self.threads // self.recipe.processes)


class _LineProgress:
    """Progress as JSON lines on stdout, at most every half second."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _REPORT_SECONDS
            print(json.dumps({"done": done, "total": total, "detail": detail}), flush=True)


def _end_with_parent() -> None:
    """End when standard input closes: the kernel closes the parent's end of the pipe however the parent ends."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # not a buffered read: its lock would be held at exit
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def execute(job: TrainJob, progress: Progress = silent) -> None:
    """Run `job` in this process."""
    import torch

    from purify.training.stage import train_table

    torch.set_num_threads(job.threads_per_rank)
    train_table(
        Path(job.table),
        Path(job.folder),
        ModelConfig.model_validate(job.model),
        job.recipe,
        subcenters=job.subcenters,
        seed=job.seed,
        progress=progress,
    )


def main() -> int:
    """Entry point of the child."""
    _end_with_parent()
    job = TrainJob(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    try:
        execute(job, _LineProgress())
    except PurifyError as error:
        print(json.dumps({"error": {"kind": type(error).__name__, "message": str(error)}}), flush=True)
        # At once: a process group that lost a rank may wait for it when it is taken down.
        os._exit(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
