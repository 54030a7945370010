"""Manifests: loading from a file or a user's table, and their usable rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.storage.files import cast_table, open_parquet, read_columns
from purify.storage.locations import Location
from purify.tables.schema import MANIFEST, Status
from purify.tables.user_tables import first_row, read_samples, require_filled

_SAMPLE_COLUMNS = ("sample_id", "label", "true_label", "split")


def ok_rows(manifest: pa.Table) -> pa.Table:
    """The rows of a manifest with a usable image."""
    return manifest.filter(is_ok(manifest))


def train_rows(table: pa.Table) -> pa.Table:
    """The rows of a manifest, or of a cleaned table, on which a final model is trained.

    All, or those of the split ``train`` (and of none) if there are others too: ``val`` and ``test`` are for evaluation.
    """
    split = table["split"]
    if "train" not in split.unique().to_pylist():
        return table
    return table.filter(pc.fill_null(pc.equal(split, "train"), True))


def is_ok(manifest: pa.Table) -> pa.ChunkedArray:
    """Whether each row of a manifest has a usable image."""
    return pc.equal(manifest["status"], Status.OK.value)


def load_manifest(path: Location, columns: Mapping[str, str] = MappingProxyType({})) -> pa.Table:
    """Load a manifest, or a user's table of ``path,label`` as one (all rows ok, no uri).

    `columns` tells which of the table have other names in the file. InputError, which names the row, if the file is
    missing or damaged, lacks a column, or has an unknown status, a duplicate id, or an ok row with an empty label.
    """
    further = _further_columns(path)
    samples = read_samples(path, optional=("true_label", "split"), empty_labels=bool(further), columns=columns)
    columns = {name: further.get(name, pa.nulls(len(samples))) for name in MANIFEST.names}
    columns |= {name: samples[name] for name in samples.column_names}
    if "status" not in further:
        columns["status"] = pa.repeat(Status.OK.value, len(samples))
    manifest = cast_table(path, pa.table(columns), MANIFEST)
    known = pc.is_in(manifest["status"], pa.array([status.value for status in Status]))
    if row := first_row(pc.invert(known)):
        raise InputError(f"{path}: row {row}: unknown status; expected one of {', '.join(Status)}")
    required = pc.if_else(is_ok(manifest), manifest["label"], "-")
    require_filled(path, required, "label", "give it a label or leave the row out")
    return manifest


def load_truth(path: Location) -> pa.Table:
    """Load ``sample_id`` and ``true_label`` (null: unknown; empty: no class) from a table of samples.

    A benchmark's ``kind`` of noise is read too, if present. InputError as in `load_manifest`; the column
    ``true_label`` is required, ``label`` is not.
    """
    return read_samples(path, required=("true_label",), optional=("kind",))


def is_manifest(path: Location) -> bool:
    """Whether a table is a manifest, or a copy of one: ``uri`` and ``status`` distinguish it from a user's table."""
    if path.suffix.lower() != ".parquet":
        return False
    with open_parquet(path) as file:
        return {"uri", "status"} <= set(file.schema_arrow.names)


def _further_columns(path: Location) -> dict[str, pa.ChunkedArray]:
    """The columns of a manifest that a user's table lacks."""
    if not is_manifest(path):
        return {}
    with open_parquet(path) as file:
        present = file.schema_arrow.names
        names = [name for name in MANIFEST.names if name in present and name not in _SAMPLE_COLUMNS]
        table = read_columns(path, file, names)
    return {name: table[name] for name in names}
