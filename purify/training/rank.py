"""One rank of a training: the program that `purify.training.launcher` starts, ``python -m purify.training.rank JOB``.

JOB is the file of the job, an open descriptor of the parent: nothing is left if that is killed.

It prints progress and errors as JSON lines, and ends when its parent is gone.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

from purify.errors import PurifyError
from purify.models.checkpoint import save_checkpoint
from purify.processes import end_with_parent, report_error, report_progress
from purify.progress import Progress
from purify.training.distributed import process_group, rank_device
from purify.training.job import TrainJob
from purify.training.loop import train
from purify.training.resume_file import ResumeFile
from purify.training.training_set import TrainingSet

_REPORT_SECONDS = 0.5


def train_rank(job: TrainJob, progress: Progress) -> None:
    """Train this process's share of `job`; the first rank writes ``folder/checkpoint/model.safetensors``.

    An interrupted training continues at its last resume point, ``folder/resume.safetensors``.
    """
    torch.set_num_threads(_allowed(job.threads_per_rank))
    data, folder = TrainingSet.read(Path(job.table), final=job.subcenters == 1), Path(job.folder)
    resume = ResumeFile(folder / "resume.safetensors", job.fingerprint) if job.fingerprint else None
    with process_group(rank_device()) as ranks:
        if ranks.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
        checkpoint = train(
            data,
            job.model_config,
            job.recipe,
            subcenters=job.subcenters,
            seed=job.seed,
            resume=resume,
            progress=progress,
            ranks=ranks,
        )
        if checkpoint is not None:
            save_checkpoint(folder / "checkpoint", checkpoint)
            if resume is not None:
                resume.discard()


def _allowed(threads: int) -> int:
    """As many threads as OpenMP may start: PyTorch waits for ever for those that ``OMP_THREAD_LIMIT`` forbids."""
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    return min(threads, int(limit)) if limit.isdecimal() and int(limit) else threads


class _LineProgress:
    """Progress as JSON lines on stdout, at most every half second."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _REPORT_SECONDS
            report_progress(done, total, detail)


if __name__ == "__main__":
    end_with_parent()
    try:
        train_rank(TrainJob.read(Path(sys.argv[1])), _LineProgress())
    except PurifyError as error:
        report_error(error)
        os._exit(error.exit_code)  # at once: taking down a process group may wait for a lost rank
