"""Tables in text beside exports whose samples carry numbers: names of the labels, and lists of samples."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.export.export_job import Job
from purify.storage.files import atomic_path
from purify.tables.class_names import FILE_NAME, HEADER


def write_label_list(job: Job) -> None:
    """Write ``labels.csv`` with every class, in order; `purify.tables.class_names` reads it."""
    write_csv(job.folder.root / FILE_NAME, HEADER, enumerate(job.selection.labels))


def refuse_tabs(sample_ids: pa.ChunkedArray) -> None:
    """InputError if an id can't stand in a list whose columns are separated by tabs."""
    odd = sample_ids.filter(pc.match_substring_regex(sample_ids, r"[\t\r\n]"))
    if len(odd):
        raise InputError(
            f"{len(odd)} paths hold a tab or a line break, such as {odd[0].as_py()!r}, which a .lst can't; "
            "export as csv, webdataset or parquet"
        )


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV in UTF-8; None becomes an empty value."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
