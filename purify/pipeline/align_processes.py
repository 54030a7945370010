"""Blocks of an alignment in processes of this machine: dlib holds the interpreter's lock while it searches.

``python -m purify.pipeline.align_processes FILE`` is such a process: it aligns the blocks in a file, one a line, and
reports its progress on standard output as JSON lines. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from purify import errors
from purify.errors import PurifyError
from purify.images.loading import resolve_workers
from purify.pipeline.align_blocks import AlignBlock
from purify.processes import end_with_parent
from purify.progress import Progress, silent


def run_in_processes(blocks: Sequence[AlignBlock], progress: Progress = silent, *, workers: int = 0) -> None:
    """Run the blocks in `workers` child processes (0: one per core), and wait for them; one failure ends all.

    The error of a child is raised here; PurifyError if one was killed.
    """
    count = min(resolve_workers(workers), len(blocks))
    total = sum(block.rows for block in blocks)
    with tempfile.TemporaryDirectory(prefix="purify-align-") as folder:
        children: list[_Child] = []
        board = _Tally(total, progress)
        try:
            for number in range(count):
                path = Path(folder) / f"{number}.jsonl"
                lines = [f"{block.as_json()}\n" for block in blocks[number::count]]
                path.write_text("".join(lines), encoding="utf-8")
                children.append(_Child(path, board, children))
            for child in children:
                child.wait()
        finally:
            for child in children:
                child.stop()
    for child in children:
        if child.error is not None:
            raise child.error


class _Tally:
    """Photos done by all children."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._done, self._progress = total, 0, progress
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self._done += 1
            self._progress(self._done, self._total)


class _Child:
    """A process with some of the blocks, and the thread that listens to it."""

    def __init__(self, path: Path, tally: _Tally, siblings: Sequence[_Child]) -> None:
        self.error: PurifyError | None = None
        self._siblings = siblings
        self._tally = tally
        self._stopped = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "purify.pipeline.align_processes", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait(self) -> None:
        """Wait for its end."""
        self._listener.join()

    def stop(self) -> None:
        """Kill it if it is still running."""
        if self._process.poll() is None:
            self._stopped = True
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "error" in message:
                kind = getattr(errors, message["error"], PurifyError)
                self.error = kind(message["message"])
            else:
                self._tally.add()
        code = self._process.wait()
        if code and self.error is None and not self._stopped:
            self.error = PurifyError(
                f"a process that aligned photos ended with exit code {code} (negative: killed by that signal; 9 often "
                "means that memory ran out: use fewer align.workers); finished photos are kept: run it again"
            )
        if self.error is not None:
            for other in self._siblings:
                if other is not self:
                    other.kill()

    def kill(self) -> None:
        """End it after the failure of another."""
        self._stopped = True
        self._process.kill()


def main(path: str) -> None:
    """Align the blocks in the file at `path`."""
    end_with_parent()

    def report(done: int, total: int, detail: str = "") -> None:
        print(json.dumps({"done": done}), flush=True)

    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            AlignBlock.from_json(line).run(report)
    except PurifyError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)  # at once: the thread that watches the parent still reads


if __name__ == "__main__":
    main(sys.argv[1])
