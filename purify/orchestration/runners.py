"""Prefect's task runners for the blocks of embedding, chosen by the configuration's section ``scale``.

Blocks have their own runner, since trainings occupy that of the flow. By default (threads, one block at a time)
nothing is distributed, and no task run is created.
"""

from __future__ import annotations

import contextvars
import importlib.util
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.settings import get_current_settings
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from purify.config import ScaleConfig
from purify.embedding.blocks import Block, RunBlocks, run_here
from purify.errors import InputError, PurifyError
from purify.images.loading import resolve_workers
from purify.processes import end_with_parent
from purify.progress import Progress

_HOST = "127.0.0.1"
_CONNECT_SECONDS = 10
#: Time after which a Dask cluster of the run's own gives up without workers.
_LONELY = "5 minutes"
#: Packages of runners outside Prefect itself.
_PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}


def require_runner(scale: ScaleConfig) -> None:
    """Refuse an unusable runner before the training.

    Raises
    ------
    InputError
        If its package is not installed, or nothing listens at the cluster's address.
    """
    package = _PACKAGES.get(scale.runner)
    if package and importlib.util.find_spec(package) is None:
        raise InputError(
            f"scale.runner = {scale.runner}: it needs another package; install it with pip install"
            f' "purify[{scale.runner}]", or choose threads or processes'
        )
    if scale.address is not None:
        _require_listener(scale.address)


def _require_listener(address: str) -> None:
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"scale.address {address!r}: {error}; expected something like tcp://host:8786") from error
    if host is None or port is None:
        raise InputError(f"scale.address {address!r}: expected something like tcp://host:8786")
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"scale.address {address}: nothing answers there ({error}); start the cluster, or leave the address out"
        ) from error


def fan_out(scale: ScaleConfig) -> RunBlocks:
    """Function to run the blocks of a stage, inside a flow or task run."""
    if scale.runner == "threads" and scale.workers <= 1:
        return run_here
    return partial(_submit, scale)


@task(name="block", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run_block(name: str, block: Block, threads: int) -> None:
    """Compute a block with `threads` compute threads; 0: those of the worker."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    block.run()


def _submit(scale: ScaleConfig, blocks: Sequence[Block], progress: Progress) -> None:
    """Compute `blocks` by the configured runner. The first failure fails all; finished blocks are kept."""
    began = time.monotonic()
    total, done = sum(block.rows for block in blocks), 0
    workers = min(resolve_workers(scale.workers), len(blocks))
    threads = 0 if scale.address else max(1, resolve_workers(0) // workers)
    with _explained(scale), _own_threads_afterwards(), _worker_environment(), block_runner(scale, workers) as runner:
        futures = [runner.submit(run_block, {"name": b.name, "block": b, "threads": threads}) for b in blocks]
        for block, future in zip(blocks, futures, strict=True):
            future.result()
            done += block.rows
            progress(done, total)
    place = scale.address or f"{workers} workers of this machine"
    seconds = time.monotonic() - began
    get_run_logger().info("%d rows in %d blocks by %s, %s: %.1f s", total, len(blocks), scale.runner, place, seconds)


def block_runner(scale: ScaleConfig, workers: int) -> TaskRunner[Any]:
    """The runner named by `scale`; on this machine it starts `workers` workers, bound to the loopback interface."""
    match scale.runner:
        case "threads":
            return ThreadPoolTaskRunner(max_workers=workers)
        case "processes":
            return _ProcessRunner(max_workers=workers, initializer=_prepare_worker_process)
        case "dask":
            return _dask_runner(scale.address, workers)
        case "ray":
            return _ray_runner(scale.address, workers)


class _ProcessRunner(ProcessPoolTaskRunner):
    """A process pool that forwards its workers' messages under the settings of this run.

    Prefect forwards them in a new thread without these settings, and would start a server that outlives the run.
    """

    def __enter__(self) -> Self:
        self._settings = contextvars.copy_context()
        return super().__enter__()

    def _forward_subprocess_messages(self) -> None:
        self._settings.run(super()._forward_subprocess_messages)


def _dask_runner(address: str | None, workers: int) -> TaskRunner[Any]:
    import dask.config
    from prefect_dask.task_runners import DaskTaskRunner

    if address is not None:
        return DaskTaskRunner(address=address)
    dask.config.set({"distributed.scheduler.no-workers-timeout": _LONELY})
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": workers,
            "threads_per_worker": 1,
            "host": _HOST,
            "dashboard_address": None,
            "scheduler_kwargs": {
                "dashboard_address": f"{_HOST}:0"
            },  # its HTTP server can't be turned off: any free port
            # Before a worker joins: its event loop would not answer while it imports PyTorch for a block.
            "preload": ["purify.orchestration.flow"],
            "memory_limit": None,  # a limit would kill workers for the pixels in their memory
        }
    )


def _ray_runner(address: str | None, workers: int) -> TaskRunner[Any]:
    from prefect_ray.task_runners import RayTaskRunner

    if address is not None:
        return RayTaskRunner(address=address)
    return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Environment of the processes started inside the context.

    They need this run's Prefect settings from their first import on: Prefect's own threads in a worker don't see those
    of a task, and would start a server that outlives the worker.
    """
    wanted = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "RAY_USAGE_STATS_ENABLED": "0",
        **os.environ,
        **get_current_settings().to_environment_variables(exclude_unset=True),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _prepare_worker_process() -> None:
    """Make a worker end with the flow's process, and on Ctrl-C without its own traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()


@contextmanager
def _own_threads_afterwards() -> Iterator[None]:
    """Restore the number of compute threads, which blocks in threads change for the whole process."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _explained(scale: ScaleConfig) -> Iterator[None]:
    """Explain lost workers and the remedy; errors of a block itself pass through."""
    try:
        yield
    except _losses(scale) as error:
        raise PurifyError(
            f"{scale.runner}: the workers are gone or can't be reached ({type(error).__name__}: {error}); workers are"
            " often killed for lack of memory (use fewer scale.workers, or a smaller embed.batch_size). Finished blocks"
            " are kept: run again with --resume"
        ) from error


def _losses(scale: ScaleConfig) -> tuple[type[BaseException], ...]:
    """Errors of the runner for lost workers or clusters."""
    match scale.runner:
        case "threads":
            return ()
        case "processes":
            from concurrent.futures.process import BrokenProcessPool

            return (BrokenProcessPool,)
        case "dask":
            from distributed.client import FutureCancelledError
            from distributed.scheduler import KilledWorker, NoValidWorkerError

            return (OSError, KilledWorker, NoValidWorkerError, FutureCancelledError)
        case "ray":
            from ray.exceptions import RayError

            return (OSError, RayError)
