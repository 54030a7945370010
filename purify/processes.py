"""Child processes: they report by lines of JSON, and end with their parent, even after SIGKILL."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_STDIN = 0


@dataclass(eq=False)
class ChildProcess:
    """A child that runs a module of ours, and what is known of its end."""

    process: subprocess.Popen[str]
    #: Name and message of the error that it has reported (`purify.errors.named_error`).
    failure: tuple[str, str] | None = None
    #: Whether it was stopped from here.
    stopped: bool = False

    def follow(self, progress: Callable[[int, int, str], object]) -> None:
        """Relay progress until the child closes its output; keep the error that it reports."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "error" in message:
                self.failure = message["error"]["kind"], message["error"]["message"]
            elif "done" in message:
                progress(message["done"], message["total"], message["detail"])

    def stop(self) -> None:
        """Kill it if it is still running."""
        if self.process.poll() is None:
            self.stopped = True
            self.process.kill()
            self.process.wait()


def start_child(
    module: str, argument: Path, environment: Mapping[str, str], *, files: Sequence[IO[bytes]] = ()
) -> subprocess.Popen[str]:
    """Start ``python -m MODULE ARGUMENT``, which inherits the open `files`, with pipes to its input and output."""
    return subprocess.Popen(
        [sys.executable, "-m", module, str(argument)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        pass_fds=[file.fileno() for file in files],
    )


def place_of(file: IO[bytes]) -> Path:
    """A path of an open file without a name, here and in a child that inherits it.

    Such files leave nothing behind when this process is killed.
    """
    return Path(f"/dev/fd/{file.fileno()}")


def report_progress(done: int, total: int, detail: str = "") -> None:
    """Report progress to the parent's `ChildProcess.follow`."""
    print(json.dumps({"done": done, "total": total, "detail": detail}), flush=True)


def report_error(error: Exception) -> None:
    """Report an error to the parent's `ChildProcess.follow`."""
    print(json.dumps({"error": {"kind": type(error).__name__, "message": str(error)}}), flush=True)


def end_with_parent(*, shutdown_seconds: float = 0.0) -> None:
    """Watch the parent in a thread, and end this process when the parent has ended.

    A child of `multiprocessing` watches its parent's sentinel. Any other child watches its standard input: a pipe
    held open by the parent, never written to, and closed by the kernel even after SIGKILL.

    Parameters
    ----------
    shutdown_seconds
        Time for an orderly end after SIGTERM; 0: end at once, with exit code 1.
    """
    threading.Thread(target=_watch, args=(shutdown_seconds,), daemon=True, name="end-with-parent").start()


def _watch(shutdown_seconds: float) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    else:
        # Not through sys.stdin: holding its lock here would make the interpreter abort at a normal exit.
        os.read(_STDIN, 1)
    if shutdown_seconds:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(shutdown_seconds)
    os._exit(1)
