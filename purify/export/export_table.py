"""Export of a table of samples in the format of another tool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from purify.errors import InputError, did_you_mean
from purify.export.export_folder import ExportFolder
from purify.export.export_job import Job, ShardLimits
from purify.export.formats import FORMATS, Format, Images, Verdicts
from purify.export.image_stream import Edit, ImageStream
from purify.export.selection import Selection, require_images, select_rows
from purify.export.verdict_columns import require_verdicts, with_verdicts
from purify.progress import Progress, silent
from purify.storage.locations import Location

#: Raised when a change of the code changes the bytes of an export.
_VERSION = 1
_HASHED_ROWS = 1 << 14


@dataclass(frozen=True)
class ExportRequest:
    """What to export, how, and where to."""

    #: A manifest, a cleaned or a removed table, or a user's table of ``path,label``.
    table: Location
    #: Name of one of `purify.export.formats.FORMATS`.
    form: str
    out: Path
    #: Verdicts on the table; default: those beside it.
    verdicts: Location | None = None
    #: Folders and tars in which the images of a table without uris are looked up.
    images: Sequence[Location] = ()
    #: Images stay as they are, byte for byte, unless this is given.
    edit: Edit | None = None
    limits: ShardLimits = field(default_factory=ShardLimits)
    #: Reading threads; 0: one per core.
    workers: int = 0


@dataclass(frozen=True)
class Exported:
    """Outcome of an export."""

    exported: int
    labels: int
    #: Status -> number of rows of the table that were left out for it.
    left_out: dict[str, int]
    #: What the user should know.
    notes: Sequence[str]


def export_table(request: ExportRequest, *, progress: Progress = silent) -> Exported:
    """Write the ok rows of a table to the folder ``request.out``; an interrupted export is continued.

    Equal requests on equal files give equal bytes, interrupted or not. InputError if the table, its images or its
    verdicts can't be used, or the folder holds something else.
    """
    if request.form not in FORMATS:
        raise InputError(f"--format {request.form}: unknown{did_you_mean(request.form, FORMATS)}")
    form = FORMATS[request.form]
    selection = _selected(request, form)
    with ExportFolder.at(request.out, _description(request, selection)) as folder:
        result = folder.result
        if result is None:
            folder.remove_partial_files()
            with ImageStream(request.edit, workers=request.workers) as stream:
                job = Job(selection, folder, stream, request.limits, progress)
                form.write(job)
            result = _figures(selection, [*selection.notes, *job.notes, *_edit_notes(request.edit)])
            folder.finish(result)
        else:
            result = {**result, "notes": [f"{request.out} is a finished export of these rows already"]}
    return Exported(**result)


def _selected(request: ExportRequest, form: Format) -> Selection:
    if request.edit is not None and form.images is Images.LISTED:
        raise InputError(f"--format {request.form} holds no images; leave out --crop and --size")
    if request.verdicts is not None and form.verdicts is Verdicts.UNUSED:
        raise InputError(f"--format {request.form} shows no verdicts; leave out --verdicts")
    selection = select_rows(request.table, request.images)
    if form.images is Images.WRITTEN:
        require_images(request.table, selection)
    if form.verdicts is Verdicts.UNUSED:
        return selection
    selection = with_verdicts(selection, request.table, request.verdicts)
    if form.verdicts is Verdicts.REQUIRED:
        require_verdicts(request.table, selection, f"--format {request.form}")
    return selection


def _description(request: ExportRequest, selection: Selection) -> dict[str, Any]:
    """What determines the bytes of the export."""
    return {
        "format": request.form,
        "version": _VERSION,
        "edit": None if request.edit is None else asdict(request.edit),
        "limits": asdict(request.limits),
        "rows": _digest(selection),
    }


def _digest(selection: Selection) -> str:
    """SHA-256 of the selected rows and of the names of the classes."""
    digest = hashlib.sha256(json.dumps(list(selection.labels)).encode())
    for batch in selection.rows.combine_chunks().to_batches(max_chunksize=_HASHED_ROWS):
        digest.update(json.dumps([column.to_pylist() for column in batch.columns]).encode())
    return digest.hexdigest()


def _figures(selection: Selection, notes: Sequence[str]) -> dict[str, Any]:
    labels = len(selection.rows["label"].unique())
    left_out = dict(sorted(selection.left_out.items()))
    if left_out:
        listed = ", ".join(f"{count} {status}" for status, count in left_out.items())
        notes = [f"{sum(left_out.values())} rows are not ok ({listed}) and were left out", *notes]
    return {"exported": len(selection.rows), "labels": labels, "left_out": left_out, "notes": list(notes)}


def _edit_notes(edit: Edit | None) -> list[str]:
    if edit is None:
        return []
    scale = "at their own scale" if edit.size is None else f"of {edit.size} pixels"
    return [f"images were cut to their central square {scale} and encoded anew as JPEG"]
