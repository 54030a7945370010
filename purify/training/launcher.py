"""Launch the processes of a training, relay their progress, and end all of them when one fails.

Not torchrun: its rendezvous (``TCPStore``, PyTorch 2.13) listens on all interfaces even when told 127.0.0.1; our ranks
on one machine meet at a file, and talk over the loopback interface.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from purify.errors import PurifyError, RankLostError, named_error
from purify.processes import ChildProcess, place_of, start_child
from purify.progress import Progress, silent
from purify.training.job import TrainJob
from purify.training.rendezvous import is_rank, rank_environments

#: Time for the other ranks to report their own errors after one has failed.
_GRACE_SECONDS = 2.0
_WATCH_SECONDS = 0.1
_running: set[_RankProcess] = set()


@dataclass(eq=False)
class _RankProcess(ChildProcess):
    """A child process: one rank of a training."""

    number: int = 0

    @property
    def error(self) -> PurifyError | None:
        """The error that it has reported."""
        return None if self.failure is None else named_error(*self.failure)


def run_job(job: TrainJob, progress: Progress = silent) -> None:
    """Run `job` in ``train.processes`` child processes and wait for them.

    A process started by a cluster's launcher (torchrun) as one of several ranks trains its own share here instead.

    Raises a child's own PurifyError, or one that reports its kill; by then no child is running.
    """
    if is_rank():
        from purify.training.rank import train_rank

        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        first = os.environ["RANK"] == "0"
        return train_rank(replace(job, train={**job.train, "processes": here}), progress if first else silent)
    # Files without a name, which the children open by their descriptors: a kill of this process leaves nothing behind.
    with tempfile.TemporaryFile() as description, tempfile.TemporaryFile() as meeting:
        path, meet = place_of(description), place_of(meeting)
        job.write(path)
        ranks: list[_RankProcess] = []
        try:
            for environment in rank_environments(job.recipe, threads=job.threads_per_rank, meeting=meet):
                ranks.append(_start(path, environment, [description, meeting]))
            _wait(ranks, progress)
        finally:
            for rank in ranks:
                rank.stop()
                _running.discard(rank)
    if failure := _failure(job, ranks):
        raise failure


def stop_running_jobs() -> None:
    """End the children of this process, after the work that needs them has failed."""
    for rank in list(_running):
        rank.stop()


def _start(path: Path, environment: dict[str, str], files: Sequence[IO[bytes]]) -> _RankProcess:
    process = start_child("purify.training.rank", path, environment, files=files)
    rank = _RankProcess(process, number=int(environment.get("RANK", "0")))
    _running.add(rank)
    return rank


def _wait(ranks: Sequence[_RankProcess], progress: Progress) -> None:
    """Wait for all ranks; once one has failed, stop the others."""
    first, *others = ranks
    threads = [threading.Thread(target=rank.follow, args=(silent,), daemon=True) for rank in others]
    threads.append(threading.Thread(target=_stop_all_after_one, args=(ranks,), daemon=True))
    for thread in threads:
        thread.start()
    first.follow(progress)
    for thread in threads:
        thread.join()


def _stop_all_after_one(ranks: Sequence[_RankProcess]) -> None:
    deadline = None
    while any(rank.process.poll() is None for rank in ranks):
        if deadline is None and any(rank.process.poll() for rank in ranks):
            deadline = time.monotonic() + _GRACE_SECONDS
        if deadline is not None and time.monotonic() >= deadline:
            for rank in ranks:
                rank.stop()
        time.sleep(_WATCH_SECONDS)


def _failure(job: TrainJob, ranks: Sequence[_RankProcess]) -> PurifyError | None:
    """The root cause: a rank's own error, or a killed rank, rather than the lost rank that others report."""
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
        rest = "; all of its ranks were stopped" if len(ranks) > 1 else ""
        return PurifyError(
            f"{which} of {job.folder} ended with exit code {rank.process.returncode} (negative: killed by that "
            f"signal; 9 often means that memory ran out){rest}; resume with --resume"
        )
    if told:
        return PurifyError(f"{told[0]}; all ranks on this machine were stopped; resume with --resume")
    return PurifyError(f"the training of {job.folder} was stopped; resume with --resume")
