"""Differences between two states of a data set. Pure functions of tables."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from purify.tables.manifest import is_ok

#: Columns whose change counts as a change of the sample.
_CONTENT = ("label", "sha256", "status")


@dataclass(frozen=True)
class Changes:
    """Numbers of samples in which a manifest differs from an earlier one."""

    #: Ids in the later manifest only.
    new: int
    #: Common ids with other bytes, another label or another status.
    changed: int
    #: Ids in the earlier manifest only.
    gone: int
    #: Ids of usable images that are now gone or unusable.
    lost: int

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return self.new + self.changed + self.gone > 0


def compare_manifests(before: pa.Table, after: pa.Table) -> Changes:
    """Compare two manifests (schema `MANIFEST`) by sample id."""
    place = pc.index_in(after["sample_id"].combine_chunks(), before["sample_id"].combine_chunks())
    both = place.is_valid()
    then, now = before.take(place.drop_null()), after.filter(both)
    differs = pa.array([False] * len(now), pa.bool_())
    for name in _CONTENT:
        a, b = (pc.fill_null(table[name].combine_chunks(), "") for table in (then, now))
        differs = pc.or_(differs, pc.not_equal(a, b))
    lost = pc.and_(is_ok(then), pc.invert(is_ok(now)))
    gone = pc.invert(pc.is_in(before["sample_id"], after["sample_id"].combine_chunks()))
    return Changes(
        new=place.null_count,
        changed=_count(differs),
        gone=_count(gone),
        lost=_count(lost) + _count(pc.and_(gone, is_ok(before))),
    )


def not_in(rows: pa.Table, others: pa.Table) -> pa.ChunkedArray:
    """Mask of the `rows` without a row of the same bytes and label in `others`.

    A renamed file is the same image; without a hash, the id stands for the bytes.
    """
    return pc.invert(pc.is_in(_content_keys(rows), _content_keys(others)))


def changed_share(before: pa.Table, after: pa.Table) -> float:
    """The larger of two shares: of new rows in `after`, and of rows in `before` that are gone."""
    shares = [_count(not_in(rows, others)) / max(len(rows), 1) for rows, others in ((after, before), (before, after))]
    return max(shares)


def still_there(rows: pa.Table, manifest: pa.Table) -> bool:
    """Whether the images of all `rows` are in `manifest` with the same uri and bytes."""
    here, there = (
        pc.binary_join_element_wise(*(pc.fill_null(table[name], "") for name in ("uri", "sha256")), "\n")
        for table in (rows, manifest)
    )
    return _count(pc.invert(pc.is_in(here, there.combine_chunks()))) == 0


def _content_keys(table: pa.Table) -> pa.ChunkedArray:
    content = pc.coalesce(table["sha256"], table["sample_id"])
    return pc.binary_join_element_wise(content, table["label"], "\n").combine_chunks()


def _count(mask: pa.Array | pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0
