"""The format ``rec``: InsightFace's ``train.rec`` with ``train.idx``, ``train.lst`` and ``property``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.export.export_job import Job, Part
from purify.export.growing_files import GrowingFiles, name_finished
from purify.export.image_stream import ExportedImage
from purify.export.label_files import refuse_tabs, write_label_list
from purify.export.safe_names import safe_name
from purify.storage.files import atomic_path
from purify.storage.recordio import MOST_EXACT_POSITION, index_line, insightface_records, list_line, property_line

#: Images between two records of the progress.
_RECORDED = 4096
#: Side of the images in pixels where the table doesn't say it; the usual one.
_USUAL_SIDE = 112


def write_rec(job: Job) -> None:
    """Write ``SPLIT.rec``, ``.idx`` and ``.lst`` (``train`` without splits), ``property`` and ``labels.csv``."""
    refuse_tabs(job.selection.rows["sample_id"])
    before = 0
    for part in job.parts():
        if len(part.rows) + 1 + len(job.selection.labels) > MOST_EXACT_POSITION:
            job.notes.append(
                f"{part.name}.rec has more than 2^24 records: InsightFace's layout keeps the places of images and "
                "identities as float32, so these are rounded down; its reader misses the last few images (one up to "
                "2^25 records). Use --format webdataset or parquet where every image counts"
            )
        files = [f"{safe_name(part.name)}.{suffix}" for suffix in ("rec", "idx", "lst")]
        if job.folder.rows_done(part.name) <= len(part.rows):
            _write_part(job, part, files, before)
        name_finished(job.folder.root, files)
        before += len(part.rows)
    classes, (height, width) = len(job.selection.labels), _image_size(job)
    with atomic_path(job.folder.root / "property") as temporary:
        temporary.write_text(property_line(classes, height, width), encoding="ascii")
    write_label_list(job)


def _write_part(job: Job, part: Part, names: Sequence[str], before: int) -> None:
    """Write or continue the growing files `names` of a part; one row more than it has marks them as complete."""
    rows = part.rows.take(pa.array(np.argsort(part.rows["label_id"].to_numpy(), kind="stable")))
    rec, idx, lst = names
    done = job.folder.rows_done(part.name)
    with GrowingFiles.at(job.folder.root, names, job.folder.lengths(part.name)) as files:
        images = _Listed(job.counted(job.stream.images(rows, done), before), files, lst)
        for key, record in _records(rows, images, done, len(job.selection.labels)):
            files.append(idx, index_line(key, files.append(rec, record)).encode())
            if key and key % _RECORDED == 0 and key <= len(rows):
                job.folder.set_rows_done(part.name, key, files.saved_lengths())
        job.folder.set_rows_done(part.name, len(rows) + 1, files.saved_lengths())


class _Listed:
    """Images for the codec, each also a line of the ``.lst``."""

    def __init__(self, images: Iterator[ExportedImage], files: GrowingFiles, name: str) -> None:
        self._images = images
        self._files = files
        self._name = name

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for image in self._images:
            self._files.append(self._name, list_line(image.sample_id, image.label_id).encode())
            yield image.label_id, image.data


def _records(rows: pa.Table, images: _Listed, done: int, classes: int) -> Iterator[tuple[int, bytes]]:
    """The records that follow those of the first `done` images; the header record counts as one with the first."""
    labels = rows["label_id"].to_numpy()
    finished: Sequence[int] = labels[:done].tolist()
    counts = np.bincount(labels, minlength=classes).tolist()
    records = insightface_records(chain(((label, b"") for label in finished), images), counts)
    for key, record in records:
        if not done or key > done:
            yield key, record


def _image_size(job: Job) -> tuple[int, int]:
    """Height and width for ``property``: those of most images, after the edit if there is one."""
    edit, rows = job.stream.edit, job.selection.rows
    if edit is not None and edit.size is not None:
        return edit.size, edit.size
    sizes = rows.select(["height", "width"]).filter(pc.is_valid(rows["height"])).group_by(["height", "width"])
    counted = sorted(
        sizes.aggregate([([], "count_all")]).to_pylist(), key=lambda size: (-size["count_all"], *size.values())
    )
    if not counted:
        job.notes.append(f"the table doesn't say how large the images are; `property` says {_USUAL_SIDE} pixels")
        return _USUAL_SIDE, _USUAL_SIDE
    if len(counted) > 1:
        job.notes.append(
            f"images are of {len(counted)} sizes; trainers that expect one need --size, such as --size {_USUAL_SIDE}"
        )
    height, width = counted[0]["height"], counted[0]["width"]
    return (height, width) if edit is None else (min(height, width),) * 2
