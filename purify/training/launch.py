"""Starts the processes of a training, follows them, and ends all of them when one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from purify.errors import (
    CheckpointError,
    InputError,
    PurifyError,
    RankLostError,
    TrainingCollapsedError,
)
from purify.images.loading import resolve_workers
from purify.progress import Progress, silent
from purify.training.distributed import RENDEZVOUS, is_rank
from purify.training.job import TrainJob, execute

_ERRORS: dict[str, type[PurifyError]] = {
    kind.__name__: kind for kind in (PurifyError, InputError, CheckpointError, TrainingCollapsedError, RankLostError)
}
#: How long the other ranks have to say what happened, after one has ended.
_GRACE_SECONDS = 2.0
_WATCH_SECONDS = 0.1
_running: set[_Rank] = set()


@dataclass(eq=False)
class _Rank:
    """A child process: one rank of a training."""

    number: int
    process: subprocess.Popen[str]
    error: PurifyError | None = None
    stopped: bool = False

    def follow(self, progress: Progress) -> None:
        """Relay progress until the child closes its output; keeps the error that it reports."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "error" in message:
                error = message["error"]
                self.error = _ERRORS.get(error["kind"], PurifyError)(error["message"])
            elif "done" in message:
                progress(message["done"], message["total"], message["detail"])

    def stop(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.stopped = True
            self.process.kill()
            self.process.wait()


def compute_threads(parallel: int) -> int:
    """Threads of each of `parallel` trainings at once on this machine."""
    return max(1, resolve_workers(0) // parallel)


def run_job(job: TrainJob, progress: Progress = silent) -> None:
    """Run `job` in ``train.processes`` child processes and wait for them.

    A process that a cluster's launcher (torchrun) started as one of several ranks runs its part of the job itself.

    Raises
    ------
    PurifyError
        A child's own error, or that it was killed. No child runs any more then.
    """
    if is_rank():
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        execute(
            replace(job, train={**job.train, "processes": beside}), progress if os.environ["RANK"] == "0" else silent
        )
        return
    with tempfile.TemporaryDirectory(prefix="purify-job-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(asdict(job)), encoding="utf-8")
        ranks: list[_Rank] = []
        try:
            for environment in _environments(job, folder):
                ranks.append(_start(path, environment))
            _wait(ranks, progress)
        finally:
            for rank in ranks:
                rank.stop()
                _running.discard(rank)
    if failure := _failure(job, ranks):
        raise failure


def stop_running_jobs() -> None:
    """End the children of this process, when the work that needs them has failed."""
    for rank in list(_running):
        rank.stop()


def _environments(job: TrainJob, folder: str) -> list[dict[str, str]]:
    """Environment of each process on this machine."""
    recipe = job.recipe
    shared = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.threads_per_rank)}
    size = recipe.nodes * recipe.processes
    if size == 1:
        return [shared]
    if recipe.nodes > 1:
        first = _node(recipe.nodes) * recipe.processes
        if recipe.address is None:
            raise InputError("train.nodes > 1 needs train.address=HOST:PORT, where the first machine can be reached")
        shared[RENDEZVOUS] = f"tcp://{recipe.address}"
    else:
        first = 0
        shared[RENDEZVOUS] = f"tcp://{recipe.address}" if recipe.address else f"file://{folder}/meet"
        if recipe.address is None and sys.platform == "linux":
            shared.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return [
        {**shared, "RANK": str(first + number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(size)}
        for number in range(recipe.processes)
    ]


def _node(nodes: int) -> int:
    """Number of this machine, from 0."""
    value = os.environ.get("NODE_RANK", os.environ.get("SLURM_NODEID", ""))
    if not value.isdecimal() or int(value) >= nodes:
        raise InputError(
            f"train.nodes={nodes}: set the environment variable NODE_RANK to the number of this machine, from 0 to "
            f"{nodes - 1}"
        )
    return int(value)


def _start(path: Path, environment: dict[str, str]) -> _Rank:
    process = subprocess.Popen(
        [sys.executable, "-m", "purify.training.job", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    rank = _Rank(int(environment.get("RANK", "0")), process)
    _running.add(rank)
    return rank


def _wait(ranks: Sequence[_Rank], progress: Progress) -> None:
    """Until all have ended; once one has failed, the others are ended."""
    first, *others = ranks
    threads = [threading.Thread(target=rank.follow, args=(silent,), daemon=True) for rank in others]
    threads.append(threading.Thread(target=_stop_all_after_one, args=(ranks,), daemon=True))
    for thread in threads:
        thread.start()
    first.follow(progress)
    for thread in threads:
        thread.join()


def _stop_all_after_one(ranks: Sequence[_Rank]) -> None:
    deadline = None
    while any(rank.process.poll() is None for rank in ranks):
        if deadline is None and any(rank.process.poll() for rank in ranks):
            deadline = time.monotonic() + _GRACE_SECONDS
        if deadline is not None and time.monotonic() >= deadline:
            for rank in ranks:
                rank.stop()
        time.sleep(_WATCH_SECONDS)


def _failure(job: TrainJob, ranks: Sequence[_Rank]) -> PurifyError | None:
    """The cause, where several failed: what a rank said of itself, or that it was killed, before what that led to."""
    failed = [rank for rank in ranks if rank.process.returncode != 0]
    if not failed:
        return None
    told = [rank.error for rank in failed if rank.error is not None]
    silently = [rank for rank in failed if rank.error is None and not rank.stopped]
    causes = [error for error in told if not isinstance(error, RankLostError)]
    if causes:
        return causes[0]
    if silently:
        rank = silently[0]
        which = f"rank {rank.number} of {len(ranks)} of the training" if len(ranks) > 1 else "the training"
        rest = "; all of its ranks were ended" if len(ranks) > 1 else ""
        return PurifyError(
            f"{which} of {job.folder} ended with exit code {rank.process.returncode} (negative: killed by that "
            f"signal; 9 is often the system running out of memory){rest}; run again with --resume to go on"
        )
    if told:
        return PurifyError(f"{told[0]}; all ranks here were ended; run again with --resume to go on")
    return PurifyError(f"the training of {job.folder} was ended; run again with --resume to go on")
