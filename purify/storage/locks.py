"""A file that one process at a time holds; the kernel releases it when the process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from purify.errors import InputError
from purify.storage.own_files import note_made


@contextmanager
def held(path: Path, busy: str, *, when_busy: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold the lock file `path`, made if it is missing, while the context is open.

    If another process holds it, `when_busy` is called with the message `busy` before the wait for its release; without
    `when_busy`, InputError. The holder may remove the file by `purify.storage.own_files.remove_made` if it made it.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if when_busy is None:
                    raise InputError(f"{busy}; wait for its end") from error
                when_busy(busy)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_file_at(file.fileno(), path):
                continue  # its holder removed it meanwhile
            if new:
                note_made(path)
            yield
            return


def _is_file_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
