"""Work that is cut into blocks: pieces that any process can do, each of which leaves one file.

A block is a frozen dataclass of plain values. It can be pickled, done here or on another machine that sees the same
files, and done again after a kill without harm. What computes a block must not depend on who does it, nor on how many
blocks there are at once: then the results are equal, byte for byte, wherever they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from purify.errors import PurifyError
from purify.progress import Progress, silent
from purify.storage.files import atomic_path

Array = npt.NDArray[Any]


class Block(Protocol):
    """A piece of work."""

    @property
    def name(self) -> str:
        """What people read of it, such as ``embed 1024-2048``."""

    @property
    def rows(self) -> int:
        """How much work it is."""

    @property
    def out(self) -> str:
        """The ``.npy`` file that it leaves."""

    def run(self, progress: Progress = silent) -> None:
        """Do it and write its file, atomically; `progress` counts its rows."""


#: Does all of the blocks, in any order and wherever it likes, and returns when they are done.
RunBlocks = Callable[[Sequence[Block], Progress], None]


def run_here(blocks: Sequence[Block], progress: Progress = silent) -> None:
    """Do the blocks one after the other in this thread, with all of its cores."""
    total = sum(block.rows for block in blocks)
    before = 0
    for block in blocks:
        block.run(_shifted(progress, before, total))
        before += block.rows


def run_pending(blocks: Sequence[Block], run_blocks: RunBlocks, progress: Progress = silent) -> None:
    """Have those of the blocks done whose file is not there yet."""
    pending = [block for block in blocks if not _is_whole(Path(block.out))]
    total = sum(block.rows for block in blocks)
    before = total - sum(block.rows for block in pending)
    progress(before, total)
    if pending:
        run_blocks(pending, _shifted(progress, before, total))


def _shifted(progress: Progress, before: int, whole: int) -> Progress:
    """Progress of a part of the work, shown as that of the whole."""

    def report(done: int, total: int, detail: str = "") -> None:
        progress(before + done, whole, detail)

    return report


def save_array(path: Path, array: Array) -> None:
    """Write `array` to a ``.npy`` file, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _is_whole(path: Path) -> bool:
    """Whether `path` is a ``.npy`` file of the length that it says it has."""
    try:
        return len(np.load(path, mmap_mode="r", allow_pickle=False)) >= 0
    except (OSError, ValueError, EOFError):
        return False


def load_result(path: Path) -> Array:
    """The array that a finished block left.

    Raises
    ------
    PurifyError
        If it is not here, because the worker's file system is another one.
    """
    if not _is_whole(path):
        raise PurifyError(
            f"{path}: a worker has done this block, but its file is not here; the run's folder must lie on a file "
            "system that this machine and all workers share"
        )
    result: Array = np.load(path, allow_pickle=False)
    return result
