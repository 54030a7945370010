"""Requests of runs: new ones, resumed ones, and updates."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from purify.config import PurifyConfig
from purify.config_files import config_from_json, load_config
from purify.config_places import with_full_places
from purify.credentials import without_credentials
from purify.errors import InputError
from purify.storage import remote
from purify.storage.files import local_file
from purify.storage.locations import Location, Url, absolute, to_location
from purify.storage.run_folder import RunFolder
from purify.storage.run_record import read_record

#: Bytes of a folder's name, of which file systems take 255.
_LONGEST = 200


@dataclass(frozen=True)
class RunRequest:
    """The parameters of a run.

    Attributes
    ----------
    source
        Folder, ``.tar`` or table; a path or URL.
    run_folder
        Folder or URL of the run.
    config
        All settings.
    embeddings
        Embeddings of another extractor, instead of a first training.
    """

    source: str
    run_folder: str
    config: PurifyConfig
    embeddings: str | None = None

    def __post_init__(self) -> None:
        for place in (self.source, self.run_folder, self.embeddings):
            try:
                without_credentials(place or "")
            except ValueError as error:
                raise InputError(str(error)) from error

    @classmethod
    def of(
        cls,
        source: str | Path | Location,
        run_folder: str | Path | Location,
        config: PurifyConfig | None = None,
        *,
        embeddings: str | Path | Location | None = None,
    ) -> Self:
        """Make a request with absolute paths, those of `config` too, valid in any working folder."""
        places = (source, run_folder, embeddings)
        full = [None if place is None else absolute(to_location(str(place))) for place in places]
        return cls(str(full[0]), str(full[1]), with_full_places(config or PurifyConfig()), full[2])

    @property
    def embeddings_at(self) -> Location | None:
        """Location of the given embeddings."""
        return None if self.embeddings is None else to_location(self.embeddings)


def run_folder(out: Location, name: str) -> Location:
    """Folder of the run `name`, as an absolute path.

    Raises
    ------
    InputError
        If `name` is not a plain name.
    """
    if (
        not name
        or Path(name).name != name
        or name == ".."
        or not name.isprintable()
        or len(os.fsencode(name)) > _LONGEST
    ):
        raise InputError(f"--name {name[:80]!r}: expected a plain folder name")
    return (out / name).resolve() if isinstance(out, Path) else out / name


def new_run_folder(out: Location, name: str) -> Location:
    """Folder of a run that does not exist yet.

    Raises
    ------
    InputError
        If `name` is not a plain name, or the run exists.
    """
    folder = run_folder(out, name)
    if RunFolder.at(folder).is_begun or (isinstance(folder, Url) and remote.list_files(folder)):
        raise InputError(
            f"{folder}: a run exists already; update it with --update, resume it with "
            f"--resume {folder}, or give another --name"
        )
    return folder


def existing_run(out: Location, name: str | None) -> Location | None:
    """Place of the run to update; None before its first start.

    Raises
    ------
    InputError
        Without a `name`.
    """
    if not name:
        raise InputError("--update needs the --name of the run: give it the same one every time")
    folder = run_folder(out, name)
    return folder if _info(folder).exists() else None


def default_name(source: str) -> str:
    """Source and time: ``faces-20260102-030405``."""
    return f"{source}-{time.strftime('%Y%m%d-%H%M%S')}"


def resumed_request(place: Location, overrides: Iterable[str] = ()) -> RunRequest:
    """The original request of the run at `place`, changed by `overrides`.

    Raises
    ------
    InputError
        If the folder is not a run, or a setting is unknown.
    """
    info = _info(place)
    if not info.exists():
        raise InputError(f"{place}: no run.json in this folder, so there is nothing to resume; start a new run")
    values = read_record(info)
    if not values.get("source"):
        raise InputError(f"{info}: names no source, so it is not the record of a run; start a new run")
    return RunRequest(
        source=values["source"],
        run_folder=absolute(place),
        config=config_from_json(values.get("config"), overrides, origin=str(info)),
        embeddings=values.get("embeddings"),
    )


def updated_request(
    place: Location,
    *,
    source: Location | None,
    embeddings: Location | None,
    config_file: Path | None,
    overrides: Sequence[str],
) -> RunRequest:
    """The request of an update: that of the run, with the newly given values.

    Raises
    ------
    InputError
        If `source` is not the run's.
    """
    before = resumed_request(place, () if config_file else overrides)
    if source is not None and absolute(source) != before.source:
        raise InputError(f"{place}: this run is of {before.source}, not of {source}; give another --name")
    return RunRequest(
        source=before.source,
        run_folder=before.run_folder,
        config=with_full_places(load_config(config_file, overrides)) if config_file else before.config,
        embeddings=absolute(embeddings) if embeddings else before.embeddings,
    )


def changed_config(config: PurifyConfig, changes: Mapping[str, Any]) -> PurifyConfig:
    """`config` with some settings replaced, such as ``{"seed": 1, "train": {"epochs": 3}}``.

    Raises
    ------
    InputError
        If a setting is unknown or its value invalid.
    """
    overrides = [f"{key}={json.dumps(value)}" for key, value in _flat(changes)]
    return config_from_json(config.model_dump(mode="json"), overrides, origin="changes")


def _flat(changes: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value


def _info(place: Location) -> Path:
    """The ``run.json`` of a run, here or fetched from its URL; it need not exist."""
    run = RunFolder.at(absolute(place))
    if not run.info.exists() and run.url is not None and remote.exists(run.url / run.info.name):
        return local_file(run.url / run.info.name)
    return run.info
