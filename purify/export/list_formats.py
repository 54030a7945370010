"""Formats that list the samples and hold no images: ``csv``, im2rec's ``lst``, and cleanlab's label issues."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.export.export_job import Job
from purify.export.label_files import refuse_tabs, write_csv, write_label_list
from purify.export.safe_names import safe_name
from purify.storage.files import atomic_path
from purify.tables.class_names import FILE_NAME, HEADER
from purify.tables.schema import Decision

_BATCH = 4096
_ISSUE = ("sample_id", "given_label", "predicted_label", "label_quality", "is_label_issue", "decision", "reason")


def write_samples_csv(job: Job) -> None:
    """Write ``samples.csv``: ``path,label`` and the further columns that hold anything."""
    rows = job.selection.rows
    names = [name for name in rows.column_names if rows[name].null_count < len(rows)]
    header = ["path" if name == "sample_id" else name for name in names]
    order = ["path", "label", "label_id", *(name for name in header if name not in ("path", "label", "label_id"))]
    columns = rows.select(names).rename_columns(header).select(order)
    write_csv(job.folder.root / "samples.csv", order, _counted(job, columns))


def write_lst(job: Job) -> None:
    r"""Write ``SPLIT.lst`` (number, number of the label, path, separated by tabs), and ``labels.csv``."""
    refuse_tabs(job.selection.rows["sample_id"])
    before = 0
    for part in job.parts():
        with (
            atomic_path(job.folder.root / f"{safe_name(part.name)}.lst") as temporary,
            temporary.open("w", encoding="utf-8", newline="") as stream,
        ):
            for number, row in enumerate(_counted(job, part.rows.select(["label_id", "sample_id"]), before)):
                stream.write(f"{number}\t{row[0]}\t{row[1]}\n")
        before += len(part.rows)
    write_label_list(job)


def write_cleanlab(job: Job) -> None:
    """Write ``label_issues.csv`` and ``labels.csv``.

    The columns are those of the frame that cleanlab's ``CleanLearning.find_label_issues`` returns and its
    ``fit(label_issues=...)`` takes: a row for each sample, labels as numbers, ``label_quality`` in [0, 1] (``p_clean``;
    1 without one).
    """
    rows = job.selection.rows
    given = pc.coalesce(rows["given_label"], rows["label"])
    likelier = pc.fill_null(pc.greater(rows["p_other"], rows["p_clean"]), False)
    predicted = pc.coalesce(rows["new_label"], pc.if_else(likelier, rows["other_label"], given), given)
    names = sorted({*given.unique().to_pylist(), *predicted.unique().to_pylist()})
    issue = pc.is_in(rows["decision"], pa.array([Decision.DROP.value, Decision.RELABEL.value]))
    table = pa.table(
        [
            rows["sample_id"],
            *(pc.index_in(labels, pa.array(names, pa.string())) for labels in (given, predicted)),
            pc.fill_null(rows["p_clean"], np.float32(1)),
            pc.if_else(issue, "True", "False"),
            rows["decision"],
            rows["reason"],
        ],
        names=list(_ISSUE),
    )
    write_csv(job.folder.root / "label_issues.csv", _ISSUE, _counted(job, table))
    write_csv(job.folder.root / FILE_NAME, HEADER, enumerate(names))


def _counted(job: Job, table: pa.Table, before: int = 0) -> Iterator[tuple[object, ...]]:
    """The rows of `table`, with the progress of the export, of which `before` rows are done."""
    for batch in table.to_batches(max_chunksize=_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        before += len(batch)
        job.progress(before, len(job.selection.rows))
