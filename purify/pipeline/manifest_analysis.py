"""Manifest, embeddings and checkpoint as the arrays that the analysis judges by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from purify.analysis.projection import fit_subcenters
from purify.analysis.verdicts import Analysis, JudgingInputs, analyze
from purify.config import PurifyConfig
from purify.embedding.store import read_embeddings
from purify.models.checkpoint import load_checkpoint, restrict_labels
from purify.storage.files import read_table
from purify.storage.locations import Location
from purify.tables.manifest import ok_rows
from purify.tables.schema import MANIFEST


def read_judging_inputs(
    manifest: pa.Table, embeddings: Location, config: PurifyConfig, *, checkpoint_folder: Path | None = None
) -> JudgingInputs:
    """What `purify.analysis.verdicts.analyze` takes, of the ok rows.

    With a checkpoint, its head's sub-centers judge the embeddings. Without one, the embeddings are any
    extractor's, and a sub-center head on a light projection is fitted to them here.

    Raises
    ------
    CheckpointError
        If the checkpoint lacks a label of the manifest. Its other labels don't count.
    """
    rows = ok_rows(manifest)
    sample_ids, labels = rows["sample_id"].to_pylist(), rows["label"].to_pylist()
    originals = read_embeddings(embeddings, sample_ids)
    if checkpoint_folder is not None:
        checkpoint = restrict_labels(load_checkpoint(checkpoint_folder), labels, manifest="the manifest")
        return JudgingInputs(
            sample_ids, labels, originals, originals, checkpoint.labels, checkpoint.head_weight.numpy()
        )
    names, index = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    projected, subcenters = fit_subcenters(
        originals, index.astype(np.int64), classes=len(names), subcenters=config.train.subcenters, seed=config.seed
    )
    return JudgingInputs(sample_ids, labels, originals, projected, tuple(names.tolist()), subcenters)


def known_head(checkpoint_folder: Path, manifest: Path) -> Path | None:
    """The checkpoint's folder, if its head has sub-centers of every label of the ok rows."""
    labels = set(ok_rows(read_table(manifest, MANIFEST))["label"].unique().to_pylist())
    return checkpoint_folder if labels <= set(load_checkpoint(checkpoint_folder).labels) else None


def analyze_manifest(
    manifest: pa.Table, embeddings: Location, config: PurifyConfig, *, checkpoint_folder: Path | None = None
) -> Analysis:
    """Verdicts and class report of the ok rows; the parameters are those of `read_judging_inputs`."""
    given = read_judging_inputs(manifest, embeddings, config, checkpoint_folder=checkpoint_folder)
    return analyze(given, config.analyze, seed=config.seed)
