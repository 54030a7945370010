"""A folder that is also at a URL: work is done on this machine, and what is finished is published there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from purify.storage import remote
from purify.storage.files import atomic_path, read_json, write_json
from purify.storage.locations import Url

#: Files of work that is not finished: they are of use to this machine alone.
_UNFINISHED = ("resume.safetensors",)
_SHARDS = ".shards"
#: What was last seen at the URL: name -> size and time of the local file, and version of the published one.
_STATE = ".published.json"
_RECORDS = "stages/"
_publishing = Lock()


@dataclass(frozen=True)
class Mirror:
    """The local folder of what is published at a URL.

    Single files appear whole or not at all. Records of stages follow the files that they tell of, so whoever reads
    in between finds at worst a stage that is not yet recorded, and does it again.
    """

    folder: Path
    url: Url

    @classmethod
    def of(cls, url: Url) -> Mirror:
        """The mirror of `url` in this machine's cache."""
        return cls(remote.cache_path("runs", url), url)

    def pull(self) -> None:
        """Fetch what is at the URL and not here, or has changed there since this machine last saw it."""
        with _publishing:
            state = self._state()
            for name, version in sorted(remote.list_files(self.url).items(), key=lambda item: _order(item[0])):
                path = self.folder / name
                if _is_finished(name) and not (path.exists() and state.get(name, {}).get("version") == version):
                    with atomic_path(path) as temporary:
                        remote.download(self.url / name, temporary)
                    state[name] = _seen(path, version)
            if state:  # a run that is refused now must find nothing here but its own entry
                self._keep(state)

    def publish(self) -> None:
        """Upload the finished files that have changed since they were last published or fetched."""
        with _publishing:
            state = self._state()
            for name in sorted(self._finished_files(), key=_order):
                path = self.folder / name
                known = state.get(name)
                if known is None or known != _seen(path, known["version"]):
                    seen = _seen(path, "")  # before the upload: what is written meanwhile is published next time
                    state[name] = {**seen, "version": remote.upload(path, self.url / name)}
                    self._keep(state)

    def shown(self, path: Path) -> str:
        """Where others find a file of the folder."""
        name = path.relative_to(self.folder).as_posix()
        return str(self.url if name == "." else self.url / name)

    def _finished_files(self) -> Iterator[str]:
        # The listing of records comes first: one that appears later may tell of files that were not listed.
        records = [path for path in (self.folder / _RECORDS).glob("*") if path.is_file()]
        others = [path for path in self.folder.rglob("*") if path.is_file()]
        for path in (*records, *others):
            name = path.relative_to(self.folder).as_posix()
            if _is_finished(name) and (path in records or not name.startswith(_RECORDS)):
                yield name

    def _state(self) -> dict[str, Any]:
        path = self.folder / _STATE
        state: dict[str, Any] = read_json(path) if path.exists() else {}
        return state

    def _keep(self, state: dict[str, Any]) -> None:
        write_json(self.folder / _STATE, state)


def _is_finished(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") or _SHARDS in part for part in parts)
    return not hidden and parts[-1] not in _UNFINISHED


def _order(name: str) -> tuple[bool, str]:
    return name.startswith(_RECORDS), name


def _seen(path: Path, version: str) -> dict[str, Any]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "version": version}
