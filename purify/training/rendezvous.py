"""Environment variables by which the ranks of a training find each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from purify.config import TrainConfig
from purify.errors import InputError

#: Meeting point of our own ranks, a ``file://`` or ``tcp://`` address. A cluster's launcher (torchrun) sets MASTER_ADDR
#: and MASTER_PORT instead.
RENDEZVOUS = "PURIFY_RENDEZVOUS"
#: Settings of glibc for keeping freed memory; the user's own come first. By default the activations of a step go back
#: to the system and are faulted in again, page by page, in the next: 10 to 40 % of the time of a step on a CPU.
_KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}


def is_rank(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started as one of several ranks, by `purify.training.launcher`, torchrun or the like."""
    return "RANK" in environment and int(environment.get("WORLD_SIZE", "1")) > 1


def rank_environments(recipe: TrainConfig, *, threads: int, meeting: Path) -> list[dict[str, str]]:
    """Environment of each process on this machine; ranks of one machine meet at the file `meeting`.

    Raises InputError if there are several machines, and the number of this one or the address of the first is missing.
    """
    shared = {**_KEEP_FREED_MEMORY, **os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(threads)}
    size = recipe.nodes * recipe.processes
    if size == 1:
        return [shared]
    first = 0
    if recipe.nodes > 1:
        first = _node(recipe.nodes) * recipe.processes
        if recipe.address is None:
            raise InputError("train.nodes > 1 needs train.address=HOST:PORT, where the first machine can be reached")
    elif recipe.address is None and sys.platform == "linux":
        shared.setdefault("GLOO_SOCKET_IFNAME", "lo")
    shared[RENDEZVOUS] = f"tcp://{recipe.address}" if recipe.address else f"file://{meeting}"
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
