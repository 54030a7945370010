"""Manifest + verdicts (+ reviews) -> cleaned, removed and label tables. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from purify.errors import InputError
from purify.tables.decisions import check_decisions
from purify.tables.manifest import ok_rows
from purify.tables.reviews import override_verdicts
from purify.tables.schema import CLEANED, LABELS, REMOVED, Decision
from purify.tables.user_tables import first_repeated, first_row

_KEPT = pa.array([Decision.KEEP.value, Decision.RELABEL.value])


@dataclass(frozen=True)
class Purified:
    """The split of a manifest: each ``ok`` row is in `cleaned` or in `removed`, in the manifest's order."""

    #: Schema `CLEANED`: ``label`` is the final one, ``given_label`` that of the manifest, ``label_id`` the index of
    #: ``label`` among the sorted final labels.
    cleaned: pa.Table
    #: Schema `REMOVED`: dropped rows and rows for review, with the evidence of their verdicts.
    removed: pa.Table
    #: Schema `LABELS`, sorted: every given or final label with its number of given ok images (``n``) and of final
    #: images (``n_kept``). ``new_label`` is the label itself; it and ``label_id`` are null without final images.
    labels: pa.Table


def apply_verdicts(manifest: pa.Table, verdicts: pa.Table, reviews: pa.Table | None = None) -> Purified:
    """Split `manifest` (schema `MANIFEST`) by `verdicts` (schema `VERDICTS`, one for each ok row, any order).

    A review (schema `REVIEWS`) overrides the verdict on its sample; reviews of other samples have no effect.
    InputError if a verdict is missing, duplicated, on a row that is not ok, or on another label; or if a verdict or a
    review is invalid.
    """
    rows = ok_rows(manifest)
    verdicts = _aligned(rows, verdicts)
    check_decisions("verdicts", verdicts)
    if reviews is not None:
        verdicts = override_verdicts(verdicts, reviews)
    final = final_labels(verdicts)
    kept = final.is_valid()
    final = final.filter(kept)
    names = sorted(final.unique().to_pylist())
    label_id = pc.index_in(final, pa.array(names, pa.string()))
    cleaned = rows.filter(kept)
    return Purified(
        cleaned=_table(cleaned, {"label": final, "label_id": label_id, "given_label": cleaned["label"]}, CLEANED),
        removed=_removed(rows, verdicts, pc.invert(kept)),
        labels=_labels(manifest["label"], rows["label"], final, names),
    )


def final_labels(verdicts: pa.Table) -> pa.ChunkedArray:
    """The final label of each verdict (schema `VERDICTS`); null for a removed sample."""
    relabeled = pc.equal(verdicts["decision"], Decision.RELABEL.value)
    final = pc.if_else(relabeled, verdicts["new_label"], verdicts["label"])
    return pc.if_else(pc.is_in(verdicts["decision"], _KEPT), final, pa.scalar(None, pa.string()))


def judged_rows(manifest: pa.Table, verdicts: pa.Table) -> pa.Table:
    """Manifest rows of the verdicts, in the verdicts' order; nulls for a verdict without a row."""
    position = pc.index_in(verdicts["sample_id"].combine_chunks(), manifest["sample_id"].combine_chunks())
    return manifest.take(position)


def _aligned(rows: pa.Table, verdicts: pa.Table) -> pa.Table:
    """The verdicts in the order of the rows."""
    ids, judged = rows["sample_id"].combine_chunks(), verdicts["sample_id"].combine_chunks()
    if (twice := first_repeated(judged)) is not None:
        raise InputError(f"verdicts: {twice} is judged twice; leave one of the rows out")
    if row := first_row(pc.invert(pc.is_in(judged, ids))):
        raise InputError(
            f"verdicts: row {row}: {judged[row - 1]} is not an ok row of the manifest; give the analyzed manifest"
        )
    position = pc.index_in(ids, judged)
    if position.null_count:
        raise InputError(
            f"verdicts: {position.null_count} ok rows of the manifest have none, such as "
            f"{ids.filter(position.is_null())[0]}; analyze it again"
        )
    aligned = verdicts.take(position)
    if row := first_row(pc.not_equal(aligned["label"], rows["label"])):
        raise InputError(
            f"verdicts: {ids[row - 1]} was judged as {aligned['label'][row - 1]}, but its label in the manifest is "
            f"{rows['label'][row - 1]}; analyze the manifest again"
        )
    return aligned


def _removed(rows: pa.Table, verdicts: pa.Table, gone: pa.ChunkedArray) -> pa.Table:
    evidence = {name: verdicts[name].filter(gone) for name in REMOVED.names if name not in rows.column_names}
    return _table(rows.filter(gone), evidence, REMOVED)


def _labels(given: pa.ChunkedArray, of_ok: pa.ChunkedArray, final: pa.ChunkedArray, names: list[str]) -> pa.Table:
    n, n_kept = _counts(of_ok), _counts(final)
    label_id = {name: index for index, name in enumerate(names)}
    labels = sorted(filter(None, {*given.unique().to_pylist(), *names}))  # images without a label have an empty one
    return pa.table(
        {
            "label": labels,
            "new_label": [label if label in label_id else None for label in labels],
            "label_id": [label_id.get(label) for label in labels],
            "n": [n.get(label, 0) for label in labels],
            "n_kept": [n_kept.get(label, 0) for label in labels],
        },
        schema=LABELS,
    )


def _counts(labels: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in labels.value_counts().to_pylist()}


def _table(rows: pa.Table, columns: dict[str, pa.ChunkedArray], schema: pa.Schema) -> pa.Table:
    """`rows` with `columns` added or replaced, as `schema`."""
    return pa.table([columns[name] if name in columns else rows[name] for name in schema.names], schema=schema)
