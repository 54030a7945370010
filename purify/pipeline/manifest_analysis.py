"""Analysis of a manifest: its labels, the embeddings in a file, and the sub-centers that judge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from purify.analysis.rules.registry import get_rule
from purify.analysis.search import unit
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import Analysis, analyze
from purify.arrays import StoredVectors, Vectors
from purify.config import PurifyConfig
from purify.embedding.embedding_files import EmbeddingFiles
from purify.embedding.store import StoredEmbeddings
from purify.models.checkpoint import Checkpoint, load_checkpoint, restrict_labels
from purify.storage.files import read_table
from purify.storage.locations import Location
from purify.tables.manifest import ok_rows
from purify.tables.schema import MANIFEST


@dataclass(frozen=True)
class JudgingInputs:
    """The ok rows of a manifest as arguments of `purify.analysis.verdicts.analyze`."""

    sample_ids: pa.ChunkedArray
    labels: pa.ChunkedArray
    embeddings: Vectors | StoredVectors
    class_labels: Sequence[str]
    space: SubcenterSpace | None
    digests: pa.ChunkedArray
    photos: pa.ChunkedArray
    subcenters: int


def read_judging_inputs(
    manifest: pa.Table,
    embeddings: Location | EmbeddingFiles,
    config: PurifyConfig,
    *,
    checkpoint_folder: Path | None = None,
    later_round: bool = False,
) -> JudgingInputs:
    """Read embeddings of the ok rows, and the sub-centers.

    With a checkpoint, the sub-centers are those of its head. That of a `later_round` was trained on the rows kept
    before, so it needs not know all labels: the mean of its images stands in for one. Without a checkpoint, the
    embeddings may be of any extractor: sub-centers follow from the verdicts, or are fitted where a rule needs them.

    Raises
    ------
    CheckpointError
        If the checkpoint lacks a label of the manifest. Further labels of it are ignored.
    InputError
        If the rule is unknown, or the file lacks embeddings.
    """
    get_rule(config.analyze.rule)
    rows = ok_rows(manifest)
    sample_ids, labels = rows["sample_id"], rows["label"]
    origin = (rows["sha256"], rows["photo_uri"])
    stored = StoredEmbeddings(embeddings, sample_ids)
    names = sorted(labels.unique().to_pylist())
    subcenters = config.train.subcenters
    if checkpoint_folder is not None:
        checkpoint = load_checkpoint(checkpoint_folder)
        wanted = set(names).intersection(checkpoint.labels) if later_round else names
        vectors = stored.in_memory()
        known = restrict_labels(checkpoint, wanted, manifest="the manifest")
        return JudgingInputs(
            sample_ids, labels, vectors, *_head_space(known, labels.to_pylist(), vectors), *origin, subcenters
        )
    return JudgingInputs(sample_ids, labels, stored, names, None, *origin, subcenters)


def _head_space(checkpoint: Checkpoint, labels: Sequence[str], vectors: Vectors) -> tuple[list[str], SubcenterSpace]:
    """Labels and sub-centers of a trained head; then those that it lacks, each with the mean direction of its rows."""
    unknown = sorted(set(labels).difference(checkpoint.labels))
    head = checkpoint.head_weight.numpy()
    given = np.asarray(labels, dtype=object)
    means = [unit(vectors[given == label]).mean(axis=0) for label in unknown]
    further = np.reshape(means, (len(unknown), 1, head.shape[2])).repeat(head.shape[1], axis=1).astype(head.dtype)
    learned = np.arange(len(head) + len(unknown)) < len(head)
    return [*checkpoint.labels, *unknown], SubcenterSpace(vectors, np.concatenate([head, further]), learned)


def known_head(checkpoint_folder: Path, manifest: Path) -> Path | None:
    """The checkpoint's folder, if its head has sub-centers of every label of the ok rows; else None."""
    labels = set(ok_rows(read_table(manifest, MANIFEST))["label"].unique().to_pylist())
    return checkpoint_folder if labels <= set(load_checkpoint(checkpoint_folder).labels) else None


def analyze_manifest(
    manifest: pa.Table,
    embeddings: Location | EmbeddingFiles,
    config: PurifyConfig,
    *,
    checkpoint_folder: Path | None = None,
    later_round: bool = False,
) -> Analysis:
    """Verdicts and class report of the ok rows; the parameters are those of `read_judging_inputs`."""
    given = read_judging_inputs(
        manifest, embeddings, config, checkpoint_folder=checkpoint_folder, later_round=later_round
    )
    return analyze(config=config.analyze, seed=config.seed, **vars(given))
