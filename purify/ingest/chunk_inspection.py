"""Inspection of some images, each read, hashed and decoded once, as rows of Arrow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from purify.images.decoding import inspect_image
from purify.images.defects import Defect, describe_os_error
from purify.images.pixel_budget import LargeImageError
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import INSPECTIONS, Status

_STATUS = {Defect.TOO_SMALL: Status.TOO_SMALL, Defect.NO_LABEL: Status.NO_LABEL}
#: Columns of an inspection beside the place of the image.
FACTS = pa.schema([field for field in INSPECTIONS if field.name not in ("uri", "stamp")])
#: Facts, and whether the image was decoded for them; ``status`` is null where that is yet to be done.
CHUNK = FACTS.set(FACTS.get_field_index("status"), pa.field("status", pa.string())).append(
    pa.field("decoded", pa.bool_(), nullable=False)
)


class Limits(NamedTuple):
    """Least length of the shorter side, and most pixels of an image that is decoded."""

    min_size: int
    max_pixels: int


class _Facts(NamedTuple):
    """Facts of one image, as in the manifest."""

    width: int | None
    height: int | None
    status: str | None
    status_reason: str | None
    sha256: str | None = None
    decoded: bool = False


_LARGE = _Facts(None, None, None, None)


class ChunkInspector:
    """Inspects images in any number of threads; known bytes are not decoded again.

    `known` has the schema `INSPECTIONS`.
    """

    def __init__(self, reader: ImageByteReader, limits: Limits, known: pa.Table) -> None:
        self._reader = reader
        self._limits = limits
        self._known = known
        self._lock = Lock()

    def inspect(self, uris: Sequence[str | None], problems: Sequence[str | None]) -> pa.RecordBatch:
        """Facts (schema `CHUNK`) of images at `uris`; null: the image has one of the `problems` and can't be read."""
        contents = self._reader.read_many([uri for uri in uris if uri is not None])
        facts = [
            _unread(problem) if uri is None else self._facts(next(contents))
            for uri, problem in zip(uris, problems, strict=True)
        ]
        columns = dict(zip(_Facts._fields, zip(*facts, strict=True), strict=True))
        return pa.record_batch([pa.array(columns[name], CHUNK.field(name).type) for name in CHUNK.names], schema=CHUNK)

    def complete(
        self, done: pa.RecordBatch | None, uris: Sequence[str | None], problems: Sequence[str | None]
    ) -> pa.RecordBatch:
        """The facts that another process has `done`, and those of images that it has left."""
        if done is None:
            return self.inspect(uris, problems)
        is_done = done.column("status").is_valid().to_numpy(zero_copy_only=False)
        if is_done.all():
            return done
        left = np.flatnonzero(~is_done).tolist()
        rest = self.inspect([uris[row] for row in left], [problems[row] for row in left])
        order = np.argsort(np.concatenate([np.flatnonzero(is_done), left]))
        return pa.concat_batches([done.filter(pa.array(is_done)), rest]).take(pa.array(order))

    @cached_property
    def _known_by_digest(self) -> Mapping[str, tuple[int | None, int | None, str, str | None]]:
        return {
            row["sha256"]: (row["width"], row["height"], row["status"], row["status_reason"])
            for batch in self._known.to_batches()
            for row in batch.to_pylist()
        }

    def _facts(self, content: bytes | OSError) -> _Facts:
        if isinstance(content, OSError):
            refusal = describe_os_error(content)
            return _Facts(None, None, _status(refusal.defect), str(refusal))
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:  # the first thread makes it, if any image is read at all
            known = self._known_by_digest.get(digest)
        if known is not None:
            return _Facts(*known, digest)
        try:
            found = inspect_image(content, min_size=self._limits.min_size, max_pixels=self._limits.max_pixels)
        except LargeImageError:
            return _LARGE
        return _Facts(found.width, found.height, _status(found.defect), found.reason, digest, decoded=True)


def _unread(problem: str | None) -> _Facts:
    problem = problem or Defect.MISSING
    return _Facts(None, None, _status(Defect(problem.partition(":")[0])), problem)


def _status(defect: Defect | None) -> str:
    return Status.OK.value if defect is None else _STATUS.get(defect, Status.UNREADABLE).value
