"""What an export holds: the usable rows of a table, with the number of each label, splits and, if known, verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.report.shown_images import with_images
from purify.storage.files import open_parquet, read_columns
from purify.storage.locations import Location
from purify.tables.manifest import is_ok, load_manifest
from purify.tables.schema import VERDICTS

#: Split of rows that name none, where others do.
DEFAULT_SPLIT = "train"
#: Class numbers up to here are exact in the float32 of a RecordIO header.
_MOST_LABELS = 1 << 24
_JUDGED = ("decision", "new_label", "reason", "rule", "p_clean", "other_label", "p_other")
#: Columns of a verdict that exports carry.
EVIDENCE = pa.schema([VERDICTS.field(name).with_nullable(True) for name in _JUDGED])
#: Columns of a selection.
SELECTED = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("sample_id", "uri", "label", "given_label", "split", "sha256")),
        *(pa.field(name, pa.int64()) for name in ("label_id", "width", "height")),
        *EVIDENCE,
    ]
)


@dataclass(frozen=True)
class Selection:
    """The rows of an export, in the order of the table."""

    #: Schema `SELECTED`.
    rows: pa.Table
    #: Name of each class, by its number.
    labels: Sequence[str]
    #: Status -> number of rows left out for it.
    left_out: Mapping[str, int]
    #: What the user should know.
    notes: Sequence[str] = field(default=())

    def parts(self) -> Iterator[tuple[str | None, pa.Table]]:
        """Each split and its rows, in the order of their names; a single part called None without splits."""
        for split in sorted(self.rows["split"].unique().to_pylist(), key=lambda name: name or ""):
            yield split, self.rows if split is None else self.rows.filter(pc.equal(self.rows["split"], split))

    def noting(self, *notes: str) -> Selection:
        """The same with further notes; empty ones are left out."""
        return replace(self, notes=(*self.notes, *filter(None, notes)))


def select_rows(table: Location, images: Sequence[Location] = ()) -> Selection:
    """The ok rows of a manifest, a cleaned or a removed table, or a user's table with `images` as its roots.

    Numbers of labels are those of the column ``label_id``, else the places of the sorted labels (by size, if all are
    numbers).

    Raises
    ------
    InputError
        If the table can't be read, has no ok row, or its ``label_id`` doesn't number the labels.
    """
    manifest = with_images(load_manifest(table), images)
    ok = is_ok(manifest)
    if not pc.any(ok).as_py():
        raise InputError(f"{table}: no row is ok, so there is nothing to export")
    left_out = manifest["status"].filter(pc.invert(ok)).value_counts().to_pylist()
    wanted = [name for name in SELECTED.names if name not in ("sample_id", "uri", "label", "sha256")]
    further = {name: column.filter(ok) for name, column in _columns_of(table, wanted).items()}
    known = {name: manifest[name].filter(ok) for name in SELECTED.names if name in manifest.column_names} | further
    labels, label_id = _numbered(table, known["label"], further.get("label_id"))
    split, note = _splits(known.get("split"))
    known |= {"label_id": label_id, "split": split}
    rows = pa.table([_column(known.get(item.name), item.type, len(label_id)) for item in SELECTED], schema=SELECTED)
    return Selection(rows, labels, {entry["values"]: entry["counts"] for entry in left_out}).noting(note)


def _columns_of(table: Location, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """Those of the columns `names` that a Parquet file has."""
    if table.suffix.lower() != ".parquet":
        return {}
    with open_parquet(table) as file:
        present = [name for name in names if name in file.schema_arrow.names]
        found = read_columns(table, file, present)
    return {name: found[name] for name in present}


def _column(values: pa.ChunkedArray | None, kind: pa.DataType, length: int) -> pa.ChunkedArray | pa.Array:
    return pa.nulls(length, kind) if values is None else values.cast(kind)


def _numbered(
    table: Location, labels: pa.ChunkedArray, given: pa.ChunkedArray | None
) -> tuple[list[str], pa.ChunkedArray | pa.Array]:
    """Names by number, and the number of each row."""
    if given is None:
        names = _in_order(labels.unique().to_pylist())
        return names, pc.index_in(labels, pa.array(names, pa.string())).cast(pa.int64())
    if not pa.types.is_integer(given.type) or given.null_count:
        raise InputError(f"{table}: column 'label_id' must hold a whole number in every row; drop it or fill it in")
    pairs = pa.table({"label": labels, "label_id": given}).group_by(["label", "label_id"]).aggregate([])
    names_of = dict(zip(pairs["label_id"].to_pylist(), pairs["label"].to_pylist(), strict=True))
    if not len(pairs) == len(names_of) == len(labels.unique()):
        raise InputError(f"{table}: column 'label_id' gives a label two numbers, or two labels one; drop it or mend it")
    if min(names_of) < 0 or max(names_of) >= _MOST_LABELS:
        raise InputError(f"{table}: column 'label_id' holds {min(names_of)} to {max(names_of)}; expected 0 to 2^24 - 1")
    return [names_of.get(number, f"(unused {number})") for number in range(max(names_of) + 1)], given


def _in_order(labels: list[str]) -> list[str]:
    """Labels sorted; those that all are numbers by size, so that class numbers without a gap stay the same."""
    numbers = all(label.isascii() and label.isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label) if numbers else 0, label))


def _splits(split: pa.ChunkedArray | None) -> tuple[pa.ChunkedArray | None, str]:
    if split is None or split.null_count in (0, len(split)):
        return split, ""
    note = f"{split.null_count} rows without a split are exported as {DEFAULT_SPLIT!r}"
    return pc.fill_null(split.cast(pa.string()), DEFAULT_SPLIT), note


def require_images(table: Location, selection: Selection) -> None:
    """InputError if a row of the selection names no image."""
    if missing := selection.rows["uri"].null_count:
        first = selection.rows.filter(selection.rows["uri"].is_null())["sample_id"][0]
        raise InputError(
            f"{table}: {missing} rows have no image (uri), such as {first}; give their folder or tar by --images, "
            "or run `purify ingest` on the table"
        )
