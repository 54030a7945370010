"""What a process that was killed while writing leaves behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

_WRITE = (
    "import os, sys; from pathlib import Path; from purify.storage.files import atomic_path\n"
    "with atomic_path(Path(sys.argv[1])) as temporary:\n"
    "    temporary.write_text('half')\n"
    "    os.kill(os.getpid(), 9)\n"
)


def left_by_a_killed_writer(folder: Path, name: str) -> Path:
    """The temporary file of `name` in `folder` whose maker was killed."""
    before = set(folder.glob(".partial-*"))
    killed = subprocess.run([sys.executable, "-c", _WRITE, str(folder / name)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = set(folder.glob(".partial-*")) - before
    return left
