"""Blocks: units of work for any process, each with one output file.

A block is a frozen dataclass of plain values. It can be pickled, run here or on another machine with the same files,
and safely repeated after a kill. Its result depends neither on the worker nor on the number of concurrent blocks:
outputs are equal byte for byte.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from purify.errors import PurifyError
from purify.progress import Progress, silent
from purify.storage.files import atomic_path
from purify.storage.integrity import find_damage

Array = npt.NDArray[Any]


class Block(Protocol):
    """A unit of work."""

    @property
    def name(self) -> str:
        """Display name, such as ``embed 1024-2048``."""

    @property
    def rows(self) -> int:
        """Amount of work."""

    @property
    def out(self) -> str:
        """Path of its ``.npy`` file."""

    def run(self, progress: Progress = silent) -> None:
        """Do the work and write the file, atomically; `progress` counts rows."""


@runtime_checkable
class JointBlock(Block, Protocol):
    """A unit of work that takes less time together with others, as it opens something for all of them."""

    @classmethod
    def run_together(cls, blocks: Sequence[Self], progress: Progress = silent) -> None:
        """Do the work of `blocks`, which differ in their rows alone; writes the same files as `run` of each."""


#: Runs all given blocks, in any order and anywhere, and returns when they are done.
RunBlocks = Callable[[Sequence[Block], Progress], None]


def run_here(blocks: Sequence[Block], progress: Progress = silent) -> None:
    """Run the blocks in sequence in this thread, on all of its cores."""
    joint = [block for block in blocks if isinstance(block, JointBlock)]
    if joint and len(joint) == len(blocks):
        joint[0].run_together(joint, progress)
        return
    total = sum(block.rows for block in blocks)
    before = 0
    for block in blocks:
        block.run(_shifted(progress, before, total))
        before += block.rows


def run_pending(blocks: Sequence[Block], run_blocks: RunBlocks, progress: Progress = silent) -> None:
    """Run the blocks whose output is missing."""
    pending = [block for block in blocks if not _is_whole(Path(block.out))]
    total = sum(block.rows for block in blocks)
    before = total - sum(block.rows for block in pending)
    progress(before, total)
    if pending:
        run_blocks(pending, _shifted(progress, before, total))


def _shifted(progress: Progress, before: int, whole: int) -> Progress:
    """Progress of a part, reported as that of the whole."""

    def report(done: int, total: int, detail: str = "") -> None:
        progress(before + done, whole, detail)

    return report


def save_array(path: Path, array: Array) -> None:
    """Write `array` to a ``.npy`` file, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _is_whole(path: Path) -> bool:
    """Whether `path` is a complete ``.npy`` file, and in a run the one that was written."""
    try:
        if find_damage(path) is not None:
            warnings.warn(f"{path}: damaged; its block is computed again", stacklevel=2)
            return False
        return len(np.load(path, mmap_mode="r", allow_pickle=False)) >= 0
    except (OSError, ValueError, EOFError):
        return False


def load_result(path: Path) -> Array:
    """Read the array of a finished block; PurifyError if the worker wrote it to another file system."""
    if not _is_whole(path):
        raise PurifyError(
            f"{path}: a worker has finished this block, but its file is missing here; the run's folder must lie on a "
            "file system shared by this machine and all workers"
        )
    result: Array = np.load(path, allow_pickle=False)
    return result
