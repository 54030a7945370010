"""Selection of the faces for the contact sheets: tables of verdicts in, smaller ones out."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.report.label_angles import label_numbers
from purify.tables.schema import Decision

#: Maximum images of one label on a sheet while other labels have images to show.
_MOST_OF_A_LABEL = 3
#: Images kept with a lower probability are doubtful rather than hard.
_SURELY_KEPT = 0.5


def surest_removed(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Dropped samples, the lowest ``p_clean`` first."""
    return _chosen(verdicts, _is(verdicts, Decision.DROP), _p_clean(verdicts), most)


def least_sure_relabeled(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Relabeled samples, the least probable new label first."""
    return _chosen(verdicts, _is(verdicts, Decision.RELABEL), verdicts["p_other"].to_numpy(), most)


def hardest_kept(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Samples kept as probably right, the farthest from the dominant sub-center first."""
    kept = _is(verdicts, Decision.KEEP) & (_p_clean(verdicts) >= _SURELY_KEPT)
    return _chosen(verdicts, kept, -verdicts["angle_dominant"].to_numpy(), most)


def borderline(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Samples of any decision, ``p_clean`` nearest to one half first."""
    return _chosen(verdicts, np.ones(len(verdicts), bool), np.abs(_p_clean(verdicts) - 0.5), most)


def least_sure_review(verdicts: pa.Table, *, most: int) -> pa.Table:
    """Samples left to a person, ``p_clean`` nearest to one half first."""
    return _chosen(verdicts, _is(verdicts, Decision.REVIEW), np.abs(_p_clean(verdicts) - 0.5), most)


def at_angles(verdicts: pa.Table, edges: npt.NDArray[np.float64], *, most: int) -> list[pa.Table]:
    """Up to `most` verdicts between successive `edges`, evenly spaced in the order of their angles."""
    angle = verdicts["angle_dominant"].to_numpy()
    order = np.argsort(angle, kind="stable")
    start = np.searchsorted(angle[order], edges)
    tables = []
    for low, high in pairwise(start.tolist()):
        tables.append(verdicts.take(pa.array(order[low:high][evenly_spaced(high - low, most)])))
    return tables


def evenly_spaced(count: int, most: int) -> npt.NDArray[np.int64]:
    """Up to `most` places among `count`, both ends included."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def ordered(verdicts: pa.Table, column: str) -> pa.Table:
    """The verdicts by rising values of a column; ties by sample id."""
    return verdicts.sort_by([(column, "ascending"), ("sample_id", "ascending")])


def of_pair(verdicts: pa.Table, label: str, other: str, *, most: int) -> pa.Table:
    """Verdicts against images of `label` that name `other`, the least probable `label` first."""
    mask = pc.and_(pc.equal(verdicts["label"], label), pc.fill_null(pc.equal(verdicts["other_label"], other), False))
    mask = pc.and_(mask, pc.not_equal(verdicts["decision"], Decision.KEEP.value))
    return ordered(verdicts.filter(mask), "p_clean").slice(0, most)


def by_ids(verdicts: pa.Table, sample_ids: list[str]) -> pa.Table:
    """Verdicts of the `sample_ids`, in their order; ids without a verdict are left out."""
    place = pc.index_in(pa.array(sample_ids, pa.string()), verdicts["sample_id"].combine_chunks())
    return verdicts.take(place.drop_null())


def _chosen(verdicts: pa.Table, mask: npt.NDArray[np.bool_], key: npt.NDArray[np.floating], most: int) -> pa.Table:
    """The `most` masked rows with the lowest key, few of each label; ties by sample id."""
    rows = np.flatnonzero(mask)
    rank = key[rows]
    if len(rows) > most:  # compare ids only among possible members of the first `most`
        enough = min(len(rows) - 1, most * 20)
        rows = rows[rank <= np.partition(np.nan_to_num(rank, nan=np.inf), enough)[enough]]
    ids = verdicts["sample_id"].take(pa.array(rows)).to_pylist()
    labels = label_numbers(verdicts)
    seen: Counter[int] = Counter()
    early: list[int] = []
    late: list[int] = []
    for _, _, row in sorted(zip(key[rows].tolist(), ids, rows.tolist(), strict=True)):
        seen[labels[row]] += 1
        (early if seen[labels[row]] <= _MOST_OF_A_LABEL else late).append(row)
    return verdicts.take(pa.array((early + late)[:most], pa.int64()))


def _is(verdicts: pa.Table, decision: Decision) -> npt.NDArray[np.bool_]:
    return verdicts["decision"].to_numpy() == decision.value


def _p_clean(verdicts: pa.Table) -> npt.NDArray[np.float64]:
    return verdicts["p_clean"].to_numpy().astype(np.float64)
