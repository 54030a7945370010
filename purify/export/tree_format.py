"""Images as files in folders of their labels: the format ``folder``, and the images of the review tools' formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from purify.errors import InputError
from purify.export.export_job import Job, Part
from purify.export.image_stream import ExportedImage
from purify.export.safe_names import file_names, image_suffix, label_folders, safe_name
from purify.images.encoding import FILE_KINDS
from purify.storage.files import atomic_path

#: Images between two records of the progress; they are compared anew after an interruption.
_RECORDED = 1024


def write_folder(job: Job) -> None:
    """Write ``[split/]label/name`` for every image."""
    write_images(job)


def write_images(job: Job, inside: str = "") -> dict[str, list[str]]:
    """Write the images as files below the folder `inside`; the paths of each part's files, in the order of its rows.

    Without splits the labels lie right below `inside`.
    """
    before = 0
    written = {}
    for part in job.parts():
        folder = PurePosixPath(inside, safe_name(part.split) if part.split else "")
        paths = [str(folder / path) for path in _paths(job, part)]
        done = job.folder.rows_done(part.name)
        paths[:done] = [_found(job.folder.root, path) for path in paths[:done]]
        for image in job.counted(job.stream.images(part.rows, done), before):
            paths[image.row] = _with_suffix(paths[image.row], image)
            _write(job.folder.root / paths[image.row], image)
            if (image.row + 1) % _RECORDED == 0:
                job.folder.set_rows_done(part.name, image.row + 1)
        job.folder.set_rows_done(part.name, len(part.rows))
        written[part.name] = paths
        before += len(part.rows)
    _note_changes(job)
    return written


def _paths(job: Job, part: Part) -> Sequence[str]:
    rows = part.rows
    edit = job.stream.edit
    return file_names(
        rows["sample_id"].to_pylist(), rows["label"].to_pylist(), suffix=None if edit is None else edit.suffix
    )


def _with_suffix(path: str, image: ExportedImage) -> str:
    return path if image_suffix(path) else f"{path}.{image.kind}"


def _found(root: Path, path: str) -> str:
    """The path, with its suffix, of an image that an interrupted export has written."""
    if image_suffix(path):
        return path
    candidates = (f"{path}.{kind}" for kind in FILE_KINDS)
    found = next((candidate for candidate in candidates if (root / candidate).exists()), None)
    if found is None:
        raise InputError(f"{root / path}: was written before the interruption, and is gone; export to a new folder")
    return found


def _write(path: Path, image: ExportedImage) -> None:
    if path.exists():
        if path.read_bytes() == image.data:  # of an interrupted export
            return
        raise InputError(
            f"{path}: there is another image of this name, perhaps one that differs in upper and lower case only, "
            "which this file system can't tell apart; export to another one, or as parquet"
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(image.data)


def _note_changes(job: Job) -> None:
    changed = [label for label, folder in label_folders(_labels(job)).items() if label != folder]
    if changed:
        job.notes.append(
            f"{len(changed)} labels can't be the names of folders as they are, such as {changed[0]!r}: "
            "they are written in another form"
        )


def _labels(job: Job) -> list[str]:
    return sorted(job.selection.rows["label"].unique().to_pylist())
