"""The folder of a run: the place of each file, its lock, and ``run.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purify.errors import InputError
from purify.storage.files import write_json
from purify.storage.integrity import LEDGER, watch
from purify.storage.locations import Location, Url, to_location
from purify.storage.locks import held
from purify.storage.own_files import folders_in, is_made, note_made, remove_abandoned, remove_made, unwatch
from purify.storage.run_record import RUN_FORMAT, read_record
from purify.storage.sync import SyncedFolder

#: Name of a run's lock file.
LOCK = ".lock"
_INFO = "run.json"
#: Folders of a run below its own: ``baselines/NAME/checkpoint``.
_DEEPEST = 4


class _Place:
    """Path of a file or folder, relative to the root of its owner."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RoundFolder | RunFolder, owner: type) -> Path:
        return folder.root / self._name


@dataclass(frozen=True)
class RoundFolder:
    """Paths of one round of a run."""

    root: Path

    #: In round 1 the manifest at the last training, in later rounds the rows kept by the previous round.
    training_table = _Place("train.parquet")
    #: Folder of the sub-center model.
    checkpoint = _Place("checkpoint")
    embeddings = _Place("embeddings.parquet")
    verdicts = _Place("verdicts.parquet")
    class_report = _Place("class_report.parquet")
    #: Samples with another outcome than in the previous round; missing in round 1.
    changes = _Place("changes.parquet")


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run: the working folder `root`, and the `url` for finished stages if the run is on a store."""

    root: Path
    url: Url | None = None

    #: Configuration, seeds, versions, timings, counts.
    info = _Place(_INFO)
    manifest = _Place("manifest.parquet")
    #: The photos of the source, a row each, where the manifest is of their faces; missing without alignment.
    photos = _Place("photos.parquet")
    #: Folder of the faces cropped from photos.
    crops = _Place("crops")
    #: Stamps, hashes and facts of the source's images at the last reading.
    readings = _Place("growth/readings.parquet")
    #: The manifest before the last update; missing in the first run.
    manifest_before = _Place("growth/manifest.parquet")
    cleaned = _Place("cleaned.parquet")
    removed = _Place("removed.parquet")
    labels = _Place("labels.parquet")
    #: Human decisions; missing before the first review.
    reviews = _Place("reviews.parquet")
    evaluation = _Place("evaluation.json")
    protocols = _Place("protocols.json")
    report = _Place("report.html")
    #: Faces made from a network of the run; missing unless ``invert.enabled``.
    inversions = _Place("inversions")

    @classmethod
    def at(cls, place: str | Location) -> RunFolder:
        """The run at a path or URL; the working folder of a URL is in this machine's cache."""
        location = to_location(place) if isinstance(place, str) else place
        if isinstance(location, Url):
            return cls(SyncedFolder.of(location).folder, location)
        return cls(location)

    @property
    def last_round(self) -> RoundFolder:
        """Last finished round in ``run.json``, which holds the run's verdicts; round 1 if none is finished."""
        finished = self.read_info().get("rounds") or [{"round": 1}]
        return self.round(finished[-1]["round"])

    @property
    def embeddings(self) -> Path:
        """Embeddings of the last round."""
        return self.last_round.embeddings

    @property
    def verdicts(self) -> Path:
        """Verdicts of the last round."""
        return self.last_round.verdicts

    @property
    def class_report(self) -> Path:
        """Class report of the last round."""
        return self.last_round.class_report

    @property
    def given_reviews(self) -> Path | None:
        """``reviews.parquet`` if it exists."""
        return self.reviews if self.reviews.exists() else None

    def round(self, number: int) -> RoundFolder:
        """Folder of a round, from 1: checkpoint, embeddings, verdicts, class report."""
        return RoundFolder(self.root / f"round-{number}")

    def model(self, name: str) -> Path:
        """Folder of a K = 1 model: ``purified``, the product, or a baseline for comparison."""
        return self.root / "retrain" if name == "purified" else self.root / "baselines" / name

    def training_table(self, name: str) -> Path:
        """``train.parquet`` of a K = 1 model; ``raw`` shares that of round 1."""
        return self.round(1).training_table if name == "raw" else self.model(name) / "train.parquet"

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds more than what locks and watches it."""
        return self.root.exists() and any(path.name not in (LOCK, LEDGER) for path in self.root.iterdir())

    def read_info(self) -> dict[str, Any]:
        """``run.json``, or nothing before it is written; InputError if it can't be the record of a run."""
        return read_record(self.info) if self.info.exists() else {}

    def required(self, name: str) -> dict[str, Any]:
        """An entry of ``run.json`` that every finished run has; InputError without it."""
        entry: dict[str, Any] | None = self.read_info().get(name)
        if entry is None:
            raise InputError(f"{self.info}: no entry {name!r}: the run isn't finished; continue it with --resume")
        return entry

    def pull(self) -> None:
        """Fetch files of this run published by other machines."""
        if self.url is not None:
            SyncedFolder(self.root, self.url).pull()

    def publish(self) -> None:
        """Upload finished files that are not yet published."""
        if self.url is not None:
            SyncedFolder(self.root, self.url).publish()

    def shown(self, path: Path) -> str:
        """Public location of a file of the run: its path, or its URL."""
        return str(path) if self.url is None else SyncedFolder(self.root, self.url).shown(path)

    @contextmanager
    def lock(self, *, when_busy: Callable[[str], object] | None = None) -> Iterator[None]:
        """Lock the run for this process; the kernel releases the lock when the process dies.

        A new run whose input is refused before it has a manifest leaves no folder behind. If another process holds
        the lock, `when_busy` is called with a message before the wait for its release; without `when_busy`, InputError.
        """
        new = not self.root.exists()
        with held(self.root / LOCK, _busy(self.root), when_busy=when_busy):
            remove_abandoned(folders_in(self.root))
            fresh = not self.is_begun
            if new and fresh:
                note_made(self.root)
            watch(self.root)
            try:
                yield
            except InputError:
                if fresh and not self.manifest.exists():
                    self._withdraw()
                raise
            # Trainings of a killed process end a moment later than it does, and may have been writing at the start.
            remove_abandoned(folders_in(self.root))

    def _withdraw(self) -> None:
        """Remove what this process has made of a run refused before it had a manifest, and its empty folder."""
        remove_made(self.info)
        unwatch(self.root)
        remove_made(self.root / LOCK)
        remove_made(self.root)

    def update_info(self, **entries: Any) -> None:
        """Merge `entries` into ``run.json`` (one level deep for mappings)."""
        own, info = not self.info.exists() or is_made(self.info), self.read_info()
        for key, value in entries.items():
            mergeable = isinstance(value, Mapping) and isinstance(info.get(key), dict)
            info[key] = {**info[key], **value} if mergeable else value
        write_json(self.info, {"format": RUN_FORMAT, **info})
        if own:
            note_made(self.info)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock the run that `folder` is, or lies in, for a command that writes single files there; others need no lock.

    InputError if another process is at work on that run: it would go on with files that it didn't write.
    """
    full = folder.absolute()
    root = next((place for place in (full, *full.parents[:_DEEPEST]) if (place / _INFO).is_file()), None)
    if root is None:
        yield
        return
    with held(root / LOCK, _busy(root)):
        remove_abandoned(folders_in(root))
        yield


def _busy(root: Path) -> str:
    return f"{root}: another purify process is at work on this run"
