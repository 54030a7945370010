"""A local working folder whose finished files are published at a URL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from purify.storage import remote
from purify.storage.files import atomic_path, read_json, write_json
from purify.storage.integrity import file_stamp
from purify.storage.locations import Url
from purify.storage.own_files import ASIDE

#: Files of unfinished work, useful on this machine only.
_UNFINISHED = ("resume.safetensors",)
_SHARDS = ".shards"
#: Last state of the URL: name -> stamp of the local file, and version of the published one.
_STATE = ".published.json"
_RECORDS = "stages/"
_publishing = Lock()


@dataclass(frozen=True)
class SyncedFolder:
    """A local folder and the URL at which its finished files are published.

    Single files appear atomically. Records of stages follow the stages' files, so a reader in between finds at worst a
    stage without its record, and repeats it.
    """

    folder: Path
    url: Url

    @classmethod
    def of(cls, url: Url) -> SyncedFolder:
        """The folder of `url` in this machine's cache."""
        return cls(remote.cache_path("runs", url), url)

    def pull(self) -> None:
        """Fetch files that are missing here or have changed at the URL since the last pull or publication."""
        with _publishing:
            state = self._state()
            for name, version in sorted(remote.list_files(self.url).items(), key=lambda item: _order(item[0])):
                path = self.folder / name
                if _is_finished(name) and not (path.exists() and state.get(name, {}).get("version") == version):
                    with atomic_path(path) as temporary:
                        remote.download(self.url / name, temporary)
                    state[name] = _seen(path, version)
            if state:  # otherwise a refused run would leave a folder
                self._keep(state)

    def publish(self) -> None:
        """Upload the finished files that have changed since the last pull or publication."""
        with _publishing:
            state = self._state()
            for name in sorted(self._finished_files(), key=_order):
                path = self.folder / name
                known = state.get(name)
                if known is None or known != _seen(path, known["version"]):
                    seen = _seen(path, "")  # before the upload: later changes are published next time
                    state[name] = {**seen, "version": remote.upload(path, self.url / name)}
                    self._keep(state)

    def shown(self, path: Path) -> str:
        """The public URL of a file in the folder."""
        name = path.relative_to(self.folder).as_posix()
        return str(self.url if name == "." else self.url / name)

    def _finished_files(self) -> Iterator[str]:
        # Records are listed first: a record written later may refer to unlisted files.
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
    hidden = any(part.startswith(".") or part == ASIDE or _SHARDS in part for part in parts)
    return not hidden and parts[-1] not in _UNFINISHED


def _order(name: str) -> tuple[bool, str]:
    return name.startswith(_RECORDS), name


def _seen(path: Path, version: str) -> dict[str, Any]:
    return {"stamp": file_stamp(path.stat()), "version": version}
