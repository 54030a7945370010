"""The folder of an export: what is finished in it, so that the same command continues after an interruption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from purify.errors import InputError
from purify.storage.files import read_json, write_json
from purify.storage.locks import held
from purify.storage.own_files import folders_in, is_scratch, remove_abandoned, remove_made

#: Hidden, so that no reader of the export takes it for data.
RECORD = ".purify-export.json"
_LOCK = ".purify-export.lock"


@dataclass(frozen=True)
class Shard:
    """A finished file of an export: its path in the folder, and the rows of its part that it holds."""

    file: str
    start: int
    stop: int


class ExportFolder:
    """The folder `root` of one export; made by `at`."""

    def __init__(self, root: Path, record: dict[str, Any]) -> None:
        self.root = root
        self._record = record

    @classmethod
    @contextmanager
    def at(cls, root: Path, of: Mapping[str, Any]) -> Iterator[ExportFolder]:
        """Hold the folder `root` for the export described by `of`, begun or not, while the context is open.

        `of` is what determines the bytes of the export. InputError if the folder holds anything else, or if another
        process writes to it.
        """
        if not (root / RECORD).exists() and any(path.name != _LOCK for path in _seen(root)):
            raise InputError(f"{root}: not empty, and not an export; give a new folder")
        with held(root / _LOCK, f"{root}: another process is exporting to it"):
            try:
                yield cls(root, _begun(root, of))
            finally:
                remove_made(root / _LOCK)

    @property
    def result(self) -> dict[str, Any] | None:
        """Figures of the finished export; None if it isn't finished."""
        return self._record.get("result")

    def remove_partial_files(self) -> None:
        """Remove what an interrupted export has left half written."""
        remove_abandoned(folders_in(self.root))

    def shards(self, part: str) -> list[Shard]:
        """Finished shards of a part, in order."""
        return [Shard(**entry) for entry in self._part(part).get("shards", [])]

    def add_shard(self, part: str, shard: Shard) -> None:
        """Record a finished shard."""
        self._part(part).setdefault("shards", []).append(asdict(shard))
        self._save()

    def rows_done(self, part: str) -> int:
        """Number of rows of a part that are finished, for exports without shards."""
        return self._part(part).get("rows", 0)

    def lengths(self, part: str) -> dict[str, int]:
        """Length in bytes of each growing file of a part, at the last record."""
        return dict(self._part(part).get("lengths", {}))

    def set_rows_done(self, part: str, rows: int, lengths: Mapping[str, int] | None = None) -> None:
        """Record that the first `rows` rows of a part are finished, and fill `lengths` of its growing files."""
        self._part(part).update({"rows": rows} | ({"lengths": dict(lengths)} if lengths else {}))
        self._save()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Record the end of the export with its figures."""
        self._record["result"] = dict(result)
        self._save()

    def _part(self, name: str) -> dict[str, Any]:
        return self._record["parts"].setdefault(name, {})

    def _save(self) -> None:
        write_json(self.root / RECORD, self._record)


def _seen(root: Path) -> list[Path]:
    """What is in a folder, but for what an export that was killed at its first write has left."""
    return [path for path in root.iterdir() if not is_scratch(path.name)] if root.is_dir() else []


def _begun(root: Path, of: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the export that was begun in `root`, or of a new one."""
    path = root / RECORD
    if not path.exists():
        write_json(path, {"of": dict(of), "parts": {}})
    record = read_json(path)
    if not isinstance(record, dict) or record.get("of") != dict(of):
        raise InputError(f"{root}: holds an export of other rows, or with other options; give a new folder")
    return record
