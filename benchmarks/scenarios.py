"""A scenario: a table of samples with truth, as both our stages and the rivals read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.vectors import LabeledVectors, centered_unit_rows
from purify.arrays import Ids, Mask
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.tables.manifest import load_manifest, load_truth, ok_rows

Names = npt.NDArray[np.object_]
#: Kind of the samples of a set as published, whose true labels nobody knows.
NATURAL = "natural"


@dataclass(frozen=True)
class Truth:
    """The true labels of N samples.

    Attributes
    ----------
    known
        Whether it is known; the other samples are judged, but not counted. None is, in a set as published.
    is_noise
        Whether the given label is wrong.
    true_index
        Class of the true label; -1: none of the given labels.
    kind
        Kind of noise of each sample; None if the table has none.
    """

    known: Mask
    is_noise: Mask
    true_index: Ids
    kind: Names | None


@dataclass(frozen=True)
class Scenario:
    """N samples of a table: `manifest` and `embeddings` for our stages, `data` for the rivals, `truth` for neither.

    `class_labels` are the C labels in the order of ``data.label_index``.
    """

    name: str
    manifest: pa.Table
    embeddings: Path
    class_labels: tuple[str, ...]
    data: LabeledVectors
    truth: Truth

    def kinds(self) -> dict[str, int]:
        """Number of samples of each kind, if the table has kinds."""
        return {} if self.truth.kind is None else dict(sorted(Counter(map(str, self.truth.kind)).items()))


def scenario_files(folder: Path) -> dict[str, Path]:
    """Name -> file of the Parquet tables in `folder`; InputError without one."""
    files = {path.stem: path for path in sorted(folder.glob("*.parquet"))}
    if not files:
        raise InputError(f"{folder}: no scenario (*.parquet with path, label, true_label) in it; give --scenarios DIR")
    return files


def read_scenario(name: str, table: Path, embeddings: Path) -> Scenario:
    """Read ``path, label, true_label`` (and ``kind``) and the embeddings of these samples.

    Raises
    ------
    InputError
        If a file is missing or damaged, lacks a column, or a sample has no embedding.
    """
    rows = ok_rows(load_manifest(table))
    vectors = read_embeddings(embeddings, rows["sample_id"].to_pylist())
    labels = np.asarray(rows["label"].to_pylist(), dtype=object)
    class_labels, index = np.unique(labels, return_inverse=True)
    data = LabeledVectors(centered_unit_rows(vectors), index.astype(np.int64), len(class_labels))
    truth = _read_truth(table, rows, class_labels)
    return Scenario(name, rows, embeddings, tuple(class_labels.tolist()), data, truth)


def class_index(names: Names, class_labels: Names) -> Ids:
    """Class of each name; -1 for one that is no label, or None."""
    position = {label: number for number, label in enumerate(class_labels)}
    return np.array([position.get(name, -1) for name in names], np.int64)


def _read_truth(table: Path, rows: pa.Table, class_labels: Names) -> Truth:
    samples = load_truth(table)
    found = samples.take(pc.index_in(rows["sample_id"].combine_chunks(), samples["sample_id"].combine_chunks()))
    true_labels = np.asarray(found["true_label"].to_pylist(), dtype=object)
    given = np.asarray(rows["label"].to_pylist(), dtype=object)
    kind = np.asarray(found["kind"].to_pylist(), dtype=object) if "kind" in found.column_names else None
    known = np.asarray(found["true_label"].is_valid().to_numpy(), bool)
    if not known.any() and not (kind is not None and (kind == NATURAL).all()):
        raise InputError(f"{table}: no true label is known; fill in the column true_label")
    return Truth(known, known & (true_labels != given), class_index(true_labels, class_labels), kind)
