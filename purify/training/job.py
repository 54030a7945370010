"""A training as a process of its own: several run side by side, each with its share of the cores.

The parent starts ``python -m purify.training.job JOB.json`` and reads progress as JSON lines. The child ends
itself when its parent is gone, so nothing goes on computing after a kill.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from purify.config import ModelConfig, TrainConfig
from purify.errors import CheckpointError, InputError, PurifyError, TrainingCollapsedError
from purify.manifest.loading import resolve_workers
from purify.progress import Progress, silent

_ERRORS: dict[str, type[PurifyError]] = {
    kind.__name__: kind for kind in (PurifyError, InputError, CheckpointError, TrainingCollapsedError)
}
_REPORT_SECONDS = 0.5
_running: set[subprocess.Popen[str]] = set()


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
        Compute threads.
    """

    table: str
    folder: str
    model: dict[str, Any]
    train: dict[str, Any]
    subcenters: int
    seed: int
    threads: int


def compute_threads(parallel: int) -> int:
    """Threads of each of `parallel` trainings at once on this machine."""
    return max(1, resolve_workers(0) // parallel)


def run_job(job: TrainJob, progress: Progress = silent) -> None:
    """Run `job` in a child process and wait for it.

    Raises
    ------
    PurifyError
        The child's own error, or that it was killed.
    """
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.threads)}
    with tempfile.TemporaryDirectory(prefix="purify-job-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(asdict(job)), encoding="utf-8")
        child = subprocess.Popen(
            [sys.executable, "-m", "purify.training.job", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        _running.add(child)
        try:
            failure = _follow(child, progress)
            code = child.wait()
        finally:
            _stop(child)
            _running.discard(child)
    if failure is not None:
        raise _ERRORS.get(failure["kind"], PurifyError)(failure["message"])
    if code != 0:
        raise PurifyError(
            f"the training of {job.folder} ended with exit code {code} (negative: killed by that signal; "
            "9 is often the system running out of memory); run again with --resume to go on"
        )


def stop_running_jobs() -> None:
    """End the children of this process, when the work that needs them has failed."""
    for child in list(_running):
        _stop(child)


def _stop(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.kill()
        child.wait()


def _follow(child: subprocess.Popen[str], progress: Progress) -> dict[str, str] | None:
    """Relay progress; returns the error that the child reported, if any."""
    assert child.stdout is not None
    failure = None
    for line in child.stdout:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if "error" in message:
            failure = message["error"]
        elif "done" in message:
            progress(message["done"], message["total"], message["detail"])
    return failure


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

    torch.set_num_threads(job.threads)
    train_table(
        Path(job.table),
        Path(job.folder),
        ModelConfig.model_validate(job.model),
        TrainConfig.model_validate(job.train),
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
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
