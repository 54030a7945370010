"""Is this file what it was? Hashes of a run's files, recorded when they are written and verified when they are read.

A folder that holds `LEDGER` is watched: every file written in it by `purify.storage.files.atomic_path` gets an entry
there with the SHA-256 of its bytes. A file whose hash is another one was damaged, or changed by another program: it is
named, never used. A file without an entry, of an earlier version or laid there by a person, is taken as it is.

An entry is written before its file is replaced, with the hashes of the new file and of the former one, and then with
the new one alone: a kill at any moment leaves an entry that fits the file. Entries have a checksum of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from purify.errors import InputError

#: Name of the folder with the entries, one per file, under the file's own path.
LEDGER = ".hashes"
_SUFFIX = ".sha256"
#: Folders above a file in which a ledger is looked for: ``baselines/NAME/checkpoint`` is the deepest of a run.
_DEEPEST = 6
#: Hashes of a file that an entry admits; more than two only after kills in quick succession.
_MOST_HASHES = 8
#: A file that changes within a tick of the kernel's clock after it was hashed keeps its times.
_TICK_NS = 20_000_000
_TRIES = 5


class _Identity(NamedTuple):
    """What tells one state of a file from another without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class Damage:
    """A file that is not what it was: its name in its watched folder, and what is wrong with it."""

    name: str
    what: str


_known: dict[str, tuple[_Identity, str]] = {}


def watch(root: Path) -> None:
    """Record and verify the files of the folder `root` from now on."""
    (root / LEDGER).mkdir(parents=True, exist_ok=True)


def file_stamp(status: os.stat_result) -> str:
    """A text that differs between two states of a file, or two files that take turns at a path.

    Size and time of the last change alone would not do: two files of equal size that were unpacked together have equal
    times, and swap by a rename.
    """
    return "-".join(map(str, (status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)))


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file; not read again in this process while it is unchanged. OSError if it can't be read."""
    with path.open("rb") as file:
        began, identity = time.time_ns(), _identity(os.fstat(file.fileno()))
        known = _known.get(os.fspath(path))
        if known is not None and known[0] == identity:
            return known[1]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _identity(os.fstat(file.fileno())) == identity and identity.ctime_ns < began - _TICK_NS:
            _known[os.fspath(path)] = identity, digest
    return digest


@contextlib.contextmanager
def recorded(path: Path, content: Path, *, durable: bool = False) -> Iterator[None]:
    """Enter the hash of `content` for `path`, which it replaces in the body; nothing outside watched folders.

    With `durable` the entry survives a power failure, too.
    """
    entry = entry_of(path)
    if entry is None:
        yield
        return
    digest, inode = file_digest(content), content.stat().st_ino
    former, _ = _admitted(entry)
    _write_entry(entry, [digest, *(one for one in former if one != digest)][:_MOST_HASHES], durable=durable)
    yield
    _write_entry(entry, [digest], durable=durable)
    if (identity := _identity(path.stat())).inode == inode:  # spares the stage's record a second reading
        _known[os.fspath(path)] = identity, digest


def verify(path: Path) -> None:
    """InputError if a recorded file is not what it was; a missing file is left to its reader."""
    if (damage := find_damage(path)) is not None:
        raise InputError(f"{path}: {damage}")


def find_damage(path: Path) -> str | None:
    """What is wrong with a file, as a sentence without a full stop; None if it is what it was, or has no entry."""
    entry = entry_of(path)
    if entry is None or not entry.is_file():
        return None
    for _ in range(_TRIES):  # another process may replace the file meanwhile, and its entry with it
        admitted, whole = _admitted(entry)
        try:
            digest = file_digest(path)
        except OSError:  # missing or unreadable, which its reader reports
            return None
        if not whole or digest in admitted:
            break
        if _admitted(entry) == (admitted, whole):
            return (
                f"damaged: its bytes are not those that were written (SHA-256 {digest[:12]}, recorded "
                f"{admitted[0][:12]}). `purify run-flow --resume` makes most files of a run again. If you changed it "
                f"yourself and it shall hold, remove {entry}"
            )
    if not whole:
        return f"its recorded hash is damaged: {entry}. If the file itself is as it should be, remove that entry"
    return None


def find_all_damage(root: Path, *, but: tuple[str, ...] = ()) -> list[Damage]:
    """Damaged files in the watched folder `root`, by name, without those whose names end as in `but`."""
    found = []
    for path in recorded_files(root):
        name = path.relative_to(root).as_posix()
        if not name.endswith(but) and (what := find_damage(path)):
            found.append(Damage(name, what))
    return found


def recorded_files(root: Path) -> list[Path]:
    """The files with an entry in the watched folder `root`, missing ones too, by the names of their entries."""
    ledger = root / LEDGER
    entries = sorted(ledger.rglob(f"*{_SUFFIX}"))
    return [root / entry.relative_to(ledger).as_posix().removesuffix(_SUFFIX) for entry in entries]


def renew_damaged_entry(path: Path) -> bool:
    """Record a file anew whose entry alone is damaged; False if the entry is whole, when the file is not read."""
    entry = entry_of(path)
    if entry is None or not entry.is_file() or not path.is_file() or _admitted(entry)[1]:
        return False
    _write_entry(entry, [file_digest(path)], durable=False)
    return True


def record_found(path: Path) -> None:
    """Record a file of a watched folder that has no entry yet, as it is: one that was laid there."""
    entry = entry_of(path)
    if entry is not None and path.is_file() and not entry.exists():
        _write_entry(entry, [file_digest(path)], durable=False)


def _identity(status: os.stat_result) -> _Identity:
    return _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def entry_of(path: Path) -> Path | None:
    """Place of the entry of a file, which need not exist; None outside watched folders."""
    full = Path(os.path.abspath(path))
    for root in full.parents[:_DEEPEST]:
        if root.name == LEDGER:
            return None
        if (root / LEDGER).is_dir():
            return root / LEDGER / f"{full.relative_to(root)}{_SUFFIX}"
    return None


def _admitted(entry: Path) -> tuple[list[str], bool]:
    """Hashes that an entry admits, and whether the entry is whole; none without an entry."""
    try:
        text = entry.read_bytes()
    except FileNotFoundError:
        return [], True
    *hashes, check = text.decode("ascii", "replace").split("\n")
    return (hashes, True) if hashes and check == _check(hashes) else ([], False)


def _write_entry(entry: Path, hashes: list[str], *, durable: bool) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    new = entry.with_name(f".new-{os.getpid()}-{threading.get_ident()}")
    with new.open("w", encoding="ascii") as file:
        file.write("\n".join([*hashes, _check(hashes)]))
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(entry)


def _check(hashes: list[str]) -> str:
    return f"{zlib.crc32(''.join(hashes).encode()):08x}"
