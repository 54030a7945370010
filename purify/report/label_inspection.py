"""A single label or image of a run in detail, for the notebook ``inspect_class``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.search import cosines_to, unit
from purify.arrays import Vectors
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.report.face_selection import by_ids, ordered
from purify.report.known_truth import label_truth
from purify.report.label_angles import label_numbers
from purify.report.run_tables import RunTables, run_embeddings
from purify.report.subcenter_sweep import SubcenterCount, sweep_subcenters
from purify.tables.schema import Flag

_MOST_ROWS = 5000


def label_to_look_at(run: RunTables) -> str:
    """The label most worth a look: a mixed one, else the noisiest that is no duplicate."""
    rows = run.class_report.select(["label", "n", "noise_rate", "flag"]).to_pylist()
    if not rows:
        raise InputError(f"{run.name}: has no labels to look at")
    rank = {Flag.MIXED.value: 0, Flag.WEAK_MAJORITY.value: 1, Flag.OK.value: 1}
    rows.sort(key=lambda row: (rank.get(row["flag"], 2), -(row["noise_rate"] or 0), row["label"]))
    return rows[0]["label"]


def label_row(run: RunTables, label: str) -> dict[str, object]:
    """The label's row of the class report; InputError where there is none."""
    rows = run.class_report.filter(pc.equal(run.class_report["label"], label)).to_pylist()
    if not rows:
        raise InputError(f"{run.name}: has no label {label!r}; labels are spelled as in the source")
    return rows[0]


def verdicts_of(run: RunTables, label: str) -> pa.Table:
    """Verdicts of the label's images, the nearest to the dominant sub-center first."""
    return ordered(run.verdicts.filter(pc.equal(run.verdicts["label"], label)), "angle_dominant")


def at_subcenter(verdicts: pa.Table, subcenter: int) -> pa.Table:
    """The verdicts nearest to a given sub-center of their label."""
    return verdicts.filter(pc.fill_null(pc.equal(verdicts["subcenter"], subcenter), False))


def nearest_images(folder: Path | str, run: RunTables, sample_id: str, *, most: int = 8) -> pa.Table:
    """Verdicts of the nearest images to `sample_id` by the run's embeddings; the column ``angle_to_it`` is in degrees.

    Raises
    ------
    InputError
        If the image has no verdict, or the embeddings lack a vector.
    """
    ids = run.verdicts["sample_id"].to_pylist()
    if sample_id not in ids:
        raise InputError(f"{run.name}: has no verdict on {sample_id}; give a sample_id of its verdicts.parquet")
    vectors = unit(_vectors(folder, run))
    vectors = unit(vectors - vectors.mean(axis=0))
    row = ids.index(sample_id)
    cosines = cosines_to(vectors[row : row + 1], vectors, np.arange(len(ids))[None])[0]
    cosines[row] = -np.inf
    nearest = np.argsort(-cosines, kind="stable")[: min(most, len(ids) - 1)]
    degrees = np.degrees(np.arccos(np.clip(cosines[nearest], -1, 1)))
    found = by_ids(run.verdicts, [ids[i] for i in nearest])
    return found.append_column("angle_to_it", pa.array(degrees, pa.float32()))


def subcenter_counts(folder: Path | str, run: RunTables, counts: tuple[int, ...]) -> list[SubcenterCount]:
    """`sweep_subcenters` of the run's embeddings, or of a random sample of labels in a large run."""
    vectors = _vectors(folder, run)
    numbers, truth = label_numbers(run.verdicts), label_truth(run.manifest, run.verdicts)
    rows = np.flatnonzero(_sampled(numbers))
    _, labels = np.unique(numbers[rows], return_inverse=True)
    wrong = truth.wrong[rows] if truth is not None and truth.known.all() else None
    return sweep_subcenters(vectors[rows], labels, counts, threshold=run.threshold, wrong=wrong)


def _sampled(numbers: np.ndarray) -> np.ndarray:
    """Mask of the images of random labels, at most `_MOST_ROWS` images unless the first label has more."""
    sizes = np.bincount(numbers)
    order = np.random.default_rng(0).permutation(len(sizes))
    chosen = order[np.cumsum(sizes[order]) <= max(_MOST_ROWS, sizes[order[0]])]
    return np.isin(numbers, chosen)


def _vectors(folder: Path | str, run: RunTables) -> Vectors:
    return read_embeddings(run_embeddings(folder, run), run.verdicts["sample_id"].to_pylist())
