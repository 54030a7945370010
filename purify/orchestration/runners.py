"""Who computes the blocks of a stage: Prefect's task runners, chosen by the configuration's section ``scale``.

The blocks are done by a runner of their own, not by the flow's, whose places the trainings take. With the default,
threads and one block at a time, there is nothing to distribute, and no task run either.
"""

from __future__ import annotations

import contextvars
import importlib.util
import multiprocessing
import os
import signal
import socket
import threading
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
from purify.progress import Progress

_HOST = "127.0.0.1"
_CONNECT_SECONDS = 10
#: After this time without any worker a Dask cluster of our own gives up, instead of waiting for ever.
_LONELY = "5 minutes"
#: Runners that are packages of their own.
_PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}


def require_runner(scale: ScaleConfig) -> None:
    """Refuse a runner that can't work now, not after the training.

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
    """What runs the blocks of a stage, to be called inside a flow or task run."""
    if scale.runner == "threads" and scale.workers <= 1:
        return run_here
    return partial(_submit, scale)


@task(name="block", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run_block(name: str, block: Block, threads: int) -> None:
    """Do a block with so many compute threads; 0: as many as the worker has."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    block.run()


def _submit(scale: ScaleConfig, blocks: Sequence[Block], progress: Progress) -> None:
    """Do `blocks` by the configured runner. The first one that fails, fails all; those that are done stay done."""
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
    """The runner that `scale` names; what it starts on this machine has so many workers, and listens to it alone."""
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
    """The process pool, which reports to the run's server also what its workers tell it.

    Prefect passes that on in a new thread, which doesn't see the settings of the thread that started the runner, and
    so would start a server that outlives the run.
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
            "scheduler_kwargs": {"dashboard_address": f"{_HOST}:0"},  # its HTTP server stays: on a port of its own
            # Before a worker takes part: its loop must answer, and would not while it imports PyTorch for a block.
            "preload": ["purify.orchestration.flow"],
            "memory_limit": None,  # it would end a worker for the pixels that it holds
        }
    )


def _ray_runner(address: str | None, workers: int) -> TaskRunner[Any]:
    from prefect_ray.task_runners import RayTaskRunner

    if address is not None:
        return RayTaskRunner(address=address)
    return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Environment of the processes that are started meanwhile.

    They need this run's Prefect settings from their first import on: threads of Prefect's in a worker don't see
    those that come with a task, and would start a server, which outlives the worker.
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
    """End with the flow's process, however that ends, and on Ctrl-C without a traceback of one's own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _own_threads_afterwards() -> Iterator[None]:
    """Give this process its compute threads back: blocks in its threads change their number for all of it."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _explained(scale: ScaleConfig) -> Iterator[None]:
    """Say what to do when workers are lost; what a block itself complains of is passed on."""
    try:
        yield
    except _losses(scale) as error:
        raise PurifyError(
            f"{scale.runner}: the workers are gone or can't be reached ({type(error).__name__}: {error}); a worker that"
            " the system killed often had too little memory (fewer scale.workers, or a smaller embed.batch_size)."
            " Finished blocks are kept: run again with --resume"
        ) from error


def _losses(scale: ScaleConfig) -> tuple[type[BaseException], ...]:
    """What the runner raises when workers or the cluster are lost."""
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
