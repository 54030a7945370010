"""Blocks of an alignment in processes of this machine: dlib holds the interpreter's lock while it searches.

``python -m purify.pipeline.align_processes FILE`` is such a process: it aligns the blocks in a file, one a line, and
reports its progress on standard output as JSON lines. It ends with its parent.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from purify.errors import PurifyError, named_error
from purify.images.loading import resolve_workers
from purify.pipeline.align_blocks import AlignBlock
from purify.processes import ChildProcess, end_with_parent, place_of, report_error, report_progress, start_child
from purify.progress import Progress, silent


def run_in_processes(blocks: Sequence[AlignBlock], progress: Progress = silent, *, workers: int = 0) -> None:
    """Run the blocks in `workers` child processes (0: one per core), and wait for them; one failure ends all.

    The error of a child is raised here; PurifyError if one was killed.
    """
    count = min(resolve_workers(workers), len(blocks))
    tally = _Tally(sum(block.rows for block in blocks), progress)
    children: list[ChildProcess] = []
    with ExitStack() as files:
        try:
            for number in range(count):
                file = files.enter_context(tempfile.TemporaryFile())
                file.write("".join(f"{block.as_json()}\n" for block in blocks[number::count]).encode())
                file.flush()
                one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
                children.append(ChildProcess(start_child(__name__, place_of(file), one_thread, files=[file])))
            failures = _wait(children, tally)
        finally:
            for child in children:
                child.stop()
                child.process.__exit__(None, None, None)  # closes its pipes
    if failures:
        raise failures[0]


class _Tally:
    """Photos done by all children."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._done, self._progress = total, 0, progress
        self._lock = threading.Lock()

    def add(self, done: int, total: int, detail: str = "") -> None:
        """Count a photo; `done` and `total` are those of its block."""
        with self._lock:
            self._done += 1
            self._progress(self._done, self._total)


def _wait(children: Sequence[ChildProcess], tally: _Tally) -> list[PurifyError]:
    """Follow the children to their ends, and stop all if one fails; the failures, the first one first."""
    failures: list[PurifyError] = []

    def listen(child: ChildProcess) -> None:
        child.follow(tally.add)
        code = child.process.wait()
        if child.failure is not None:
            failures.append(named_error(*child.failure))
        elif code and not child.stopped:
            failures.append(
                PurifyError(
                    f"a process that aligned photos ended with exit code {code} (negative: killed by that signal; 9 "
                    "often means that memory ran out: use fewer align.workers); finished photos are kept: run it again"
                )
            )
        if failures:
            for other in children:
                other.stop()

    listeners = [threading.Thread(target=listen, args=(child,), daemon=True) for child in children]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    return failures


def main(path: str) -> None:
    """Align the blocks in the file at `path`."""
    end_with_parent()
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            AlignBlock.from_json(line).run(report_progress)
    except PurifyError as error:
        report_error(error)
        os._exit(error.exit_code)
    sys.stdout.flush()
    os._exit(0)  # at once: the thread that watches the parent still reads


if __name__ == "__main__":
    main(sys.argv[1])
