"""What the writer of a format is given, and the writing of shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from purify.export.export_folder import ExportFolder, Shard
from purify.export.image_stream import ExportedImage, ImageStream
from purify.export.selection import Selection
from purify.progress import Progress
from purify.storage.files import atomic_path


@dataclass(frozen=True)
class ShardLimits:
    """Bounds of a shard; it is closed with the image that reaches one."""

    images: int = 10_000
    bytes: int = 512 << 20


@dataclass(frozen=True)
class Part:
    """The rows of one split, or all rows if there are no splits."""

    split: str | None
    rows: pa.Table

    @property
    def name(self) -> str:
        """Name of the split; ``train`` without splits."""
        return self.split or "train"


@dataclass(frozen=True)
class Job:
    """One export. Its writer leaves finished files in `folder`, and continues those that an earlier process began."""

    selection: Selection
    folder: ExportFolder
    stream: ImageStream
    limits: ShardLimits
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def parts(self) -> list[Part]:
        """The parts of the export, in order."""
        return [Part(split, rows) for split, rows in self.selection.parts()]

    def counted(self, images: Iterator[ExportedImage], before: int) -> Iterator[ExportedImage]:
        """Pass on `images`, and report the progress; `before` rows of earlier parts are done."""
        for image in images:
            yield image
            self.progress(before + image.row + 1, len(self.selection.rows))


class ShardWriter(Protocol):
    """An open shard."""

    def add(self, image: ExportedImage) -> None:
        """Append an image."""


def write_shards(
    job: Job, *, name: Callable[[Part, int], str], open_shard: Callable[[Path], AbstractContextManager[ShardWriter]]
) -> None:
    """Write all parts as shards; `name` gives the path of a part's shard by its number, from 0."""
    before = 0
    for part in job.parts():
        done = job.folder.shards(part.name)
        start = done[-1].stop if done else 0
        images = job.counted(job.stream.images(part.rows, start), before)
        for number in count(len(done)):
            first = next(images, None)
            if first is None:
                break
            file = name(part, number)
            with atomic_path(job.folder.root / file) as temporary, open_shard(temporary) as shard:
                stop = _fill(shard, chain([first], images), job.limits)
            job.folder.add_shard(part.name, Shard(file, start, stop))
            start = stop
        before += len(part.rows)


def _fill(shard: ShardWriter, images: Iterator[ExportedImage], limits: ShardLimits) -> int:
    """Add images up to a limit; the row after the last one."""
    size = 0
    for number, image in enumerate(images, start=1):
        shard.add(image)
        size += len(image.data)
        if number >= limits.images or size >= limits.bytes:
            break
    return image.row + 1
