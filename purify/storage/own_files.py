"""May I remove this? Only what this very process has made, and nobody else can have seen.

Every removal of the package is here, and each asks for a proof:

- *Scratch*: a name of `scratch_path`, which nobody but its maker uses. It tells the maker's machine, boot and process,
  so that what a killed process left can be told from what a running one is writing.
- *Made here*: a file noted by `note_made`, as long as it is still that file.
- *Work*: a folder with a marker, claimed by `claim_work`, and in it only the names that its owner expects.

All else is left where it is. A damaged file of a run is moved aside, never removed. The one exception is `erase`, for
what a person has asked to forget.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from purify.storage.integrity import LEDGER, entry_of

#: Beginning of the names of temporary files and folders.
PARTIAL_PREFIX = ".partial-"
#: Folder of a run with damaged files that were made again.
ASIDE = "damaged"
_SCRATCH = re.compile(r"\.partial-(?P<host>[0-9a-f]{8})(?P<boot>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}-")
#: Bytes of a name that fit behind the rest of a temporary one.
_LONGEST_NAME = 128
_WORK_MARKER = ".purify-work"
_made: dict[str, tuple[int, int]] = {}


def scratch_path(path: Path) -> Path:
    """A new temporary path beside `path`, with its suffix."""
    host, boot = _machine()
    name = path.name if len(os.fsencode(path.name)) <= _LONGEST_NAME else path.suffix
    return path.with_name(f"{PARTIAL_PREFIX}{host}{boot}-{os.getpid()}-{secrets.token_hex(4)}-{name}")


def is_scratch(name: str) -> bool:
    """Whether a file or folder of that name is a temporary one, of whichever process."""
    return _SCRATCH.match(name) is not None


def discard_scratch(path: Path) -> None:
    """Remove a temporary file or folder of this process, if it is still there."""
    match = _SCRATCH.match(path.name)
    if match is None or (match["host"], match["boot"], int(match["pid"])) != (*_machine(), os.getpid()):
        raise ValueError(f"{path}: not a temporary file of this process")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove the temporary files in `folders` whose makers are dead; those of other machines are left."""
    for folder in folders:
        for path in folder.glob(f"{PARTIAL_PREFIX}*"):
            if _is_abandoned(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)


def folders_in(root: Path) -> list[Path]:
    """`root` and all folders in it; links are not followed."""
    return [Path(folder) for folder, _, _ in os.walk(root)]


def note_made(path: Path) -> None:
    """Note that this process has made the file or folder at `path`, for `remove_made`."""
    status = path.lstat()
    _made[os.path.abspath(path)] = status.st_dev, status.st_ino


def is_made(path: Path) -> bool:
    """Whether the file or folder at `path` is one that this process has noted as made."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return _made.get(os.path.abspath(path)) == (status.st_dev, status.st_ino)


def remove_made(path: Path) -> bool:
    """Remove a file, or an empty folder, that this process has made; whether it did."""
    if not is_made(path):
        return False
    try:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    except OSError:  # gone, or a folder that holds files of others
        return False
    del _made[os.path.abspath(path)]
    _drop_record(path)
    return True


def claim_work(folder: Path) -> None:
    """Make a folder of intermediate results, which a later process may take over; a present one is taken over."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
        (folder / _WORK_MARKER).touch()


def remove_work(folder: Path, expected: re.Pattern[str]) -> None:
    """Remove a claimed folder of intermediate results: files with `expected` names, and the folder if it is empty."""
    if folder.is_symlink() or not (folder / _WORK_MARKER).is_file():
        return
    remove_abandoned([folder])
    for path in folder.iterdir():
        if expected.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
            _drop_record(path)
    if [path.name for path in folder.iterdir()] == [_WORK_MARKER]:
        (folder / _WORK_MARKER).unlink()
        if (entry := entry_of(folder / _WORK_MARKER)) is not None:
            with contextlib.suppress(OSError):  # it has no entries, or not only its own
                entry.parent.rmdir()
        folder.rmdir()


def erase(path: Path) -> None:
    """Remove a file with traces of somebody who is to be forgotten, by the user's explicit order."""
    path.unlink(missing_ok=True)
    _drop_record(path)


def unwatch(root: Path) -> None:
    """Remove the ledger of a folder (`purify.storage.integrity.watch`) if it is empty."""
    with contextlib.suppress(OSError):
        (root / LEDGER).rmdir()


def move_aside(root: Path, name: str) -> Path:
    """Move a file of the folder `root` into its folder `ASIDE`, under a new name; the place where it is now."""
    aside = root / ASIDE
    aside.mkdir(exist_ok=True)
    flat, number = name.replace("/", "~"), 1
    while (kept := aside / (f"{flat}.{number}")).exists():
        number += 1
    (root / name).rename(kept)
    _drop_record(root / name)
    return kept


def _drop_record(path: Path) -> None:
    if (entry := entry_of(path)) is not None:
        entry.unlink(missing_ok=True)


def _is_abandoned(name: str) -> bool:
    match = _SCRATCH.match(name)
    if match is None or match["host"] != _machine()[0]:
        return False
    return match["boot"] != _machine()[1] or not _is_running(int(match["pid"]))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@lru_cache(maxsize=1)
def _machine() -> tuple[str, str]:
    """Short hashes of this machine (a container is one of its own), and of its present boot."""
    with contextlib.suppress(OSError):
        processes = os.readlink("/proc/self/ns/pid")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return _short(socket.gethostname() + processes), _short(boot)
    return _short(socket.gethostname()), _short("")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
