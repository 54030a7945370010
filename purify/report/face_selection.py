"""Which faces the contact sheets show: tables of verdicts in, fewer of them out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.report.label_angles import label_numbers
from purify.tables.schema import Decision

Rows = npt.NDArray[np.int64]

#: Images of one label on a sheet, as long as there are others to show.
_MOST_OF_A_LABEL = 3
#: Kept with less than this probability is kept by hesitation, not although it is hard.
_SURELY_KEPT = 0.5


def surest_removed(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Verdicts that drop a sample, the lowest ``p_clean`` first."""
    return _chosen(verdicts, _is(verdicts, Decision.DROP), _p_clean(verdicts), most)


def least_sure_relabeled(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Verdicts that give a sample another label, the least probable one first."""
    return _chosen(verdicts, _is(verdicts, Decision.RELABEL), verdicts["p_other"].to_numpy(), most)


def hardest_kept(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Verdicts that keep a sample as probably right, the farthest from the dominant sub-center first."""
    kept = _is(verdicts, Decision.KEEP) & (_p_clean(verdicts) >= _SURELY_KEPT)
    return _chosen(verdicts, kept, -verdicts["angle_dominant"].to_numpy(), most)


def borderline(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Verdicts of any decision, those whose ``p_clean`` is nearest to one half first."""
    return _chosen(verdicts, np.ones(len(verdicts), bool), np.abs(_p_clean(verdicts) - 0.5), most)


def least_sure_review(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Verdicts that leave a sample to a person, those whose ``p_clean`` is nearest to one half first."""
    return _chosen(verdicts, _is(verdicts, Decision.REVIEW), np.abs(_p_clean(verdicts) - 0.5), most)


def at_angles(verdicts: pa.Table, edges: npt.NDArray[np.float64], *, most: int) -> list[pa.Table]:
    """`most` verdicts with an angle between each two of the `edges`, evenly spaced by their angle."""
    angle = verdicts["angle_dominant"].to_numpy()
    order = np.argsort(angle, kind="stable")
    start = np.searchsorted(angle[order], edges)
    tables = []
    for low, high in pairwise(start.tolist()):
        inside = order[low:high]
        if len(inside) > most:
            inside = inside[np.linspace(0, len(inside) - 1, most).round().astype(int)]
        tables.append(verdicts.take(pa.array(inside)))
    return tables


def of_pair(verdicts: pa.Table, label: str, other: str, *, most: int) -> pa.Table:
    """Verdicts that don't keep an image of `label` and see `other` in it, the most probable first."""
    mask = pc.and_(pc.equal(verdicts["label"], label), pc.fill_null(pc.equal(verdicts["other_label"], other), False))
    mask = pc.and_(mask, pc.not_equal(verdicts["decision"], Decision.KEEP.value))
    order = [("p_clean", "ascending"), ("sample_id", "ascending")]
    return verdicts.filter(mask).sort_by(order).slice(0, most)


def by_ids(verdicts: pa.Table, sample_ids: list[str]) -> pa.Table:
    """The verdicts of the `sample_ids`, in their order; ids without one are left out."""
    place = pc.index_in(pa.array(sample_ids, pa.string()), verdicts["sample_id"].combine_chunks())
    return verdicts.take(place.drop_null())


def _chosen(verdicts: pa.Table, mask: npt.NDArray[np.bool_], key: npt.NDArray[np.floating], most: int) -> pa.Table:
    """The `most` masked rows with the lowest key, few of each label; ties by sample id."""
    rows = np.flatnonzero(mask)
    rank = key[rows]
    if len(rows) > most:  # only what can be among the first is compared by its id
        enough = min(len(rows) - 1, most * 20)
        rows = rows[rank <= np.partition(np.nan_to_num(rank, nan=np.inf), enough)[enough]]
    ids = verdicts["sample_id"].take(pa.array(rows)).to_pylist()
    order = np.array(sorted(range(len(rows)), key=lambda i: (key[rows[i]], ids[i])), np.int64)
    rows = rows[order] if len(order) else rows
    labels = label_numbers(verdicts)[rows]
    seen: dict[int, int] = {}
    early: list[int] = []
    late: list[int] = []
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        seen[label] = seen.get(label, 0) + 1
        (early if seen[label] <= _MOST_OF_A_LABEL else late).append(row)
    chosen = (early + late)[:most]
    return verdicts.take(pa.array(chosen, pa.int64()))


def _is(verdicts: pa.Table, decision: Decision) -> npt.NDArray[np.bool_]:
    return verdicts["decision"].to_numpy() == decision.value


def _p_clean(verdicts: pa.Table) -> npt.NDArray[np.float64]:
    return verdicts["p_clean"].to_numpy().astype(np.float64)
