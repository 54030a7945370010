"""Child processes that end with their parent, even after SIGKILL."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

_STDIN = 0


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
