"""Run folders of analyses without training, for `report`, `review` and `apply`."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from purify.analysis.round_changes import first_round
from purify.analysis.verdicts import Analysis
from purify.arrays import Vectors
from purify.config import PurifyConfig
from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.pipeline.cleaned_tables import apply_files, run_counts
from purify.pipeline.judging_rule import judging_rule
from purify.pipeline.provenance import package_versions
from purify.storage.files import atomic_path, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import ok_rows


def write_judged_run(
    folder: Path, manifest: pa.Table, embeddings: Vectors, analysis: Analysis, *, config: PurifyConfig, source: str
) -> RunFolder:
    """Write the run folder of an analysis, replacing an earlier one; existing reviews are kept and applied.

    Parameters
    ----------
    folder
        Folder of the run, created if missing.
    manifest
        Schema `MANIFEST`; its N ok rows were judged.
    embeddings
        ``[N, D]``, of these rows.
    analysis
        Analysis of these rows.
    config
        Settings of the analysis.
    source
        Description or path of the labels, for ``run.json``.

    Raises
    ------
    InputError
        If the folder holds a run with trained models.
    """
    run, rows = RunFolder(folder), ok_rows(manifest)
    judged = run.round(1)
    if judged.checkpoint.exists():
        raise InputError(f"{folder}: holds a run with trained models; give another folder")
    write_table(manifest, run.manifest)
    with EmbeddingWriter(judged.embeddings, embeddings.shape[1]) as writer:
        writer.write(rows["sample_id"].to_pylist(), embeddings, rows["sha256"].to_pylist())
    write_table(analysis.verdicts, judged.verdicts)
    write_table(analysis.class_report, judged.class_report)
    run.update_info(
        source=source,
        embeddings=None,
        config=config.model_dump(mode="json"),
        seed=config.seed,
        versions=package_versions(),
        judged_by=asdict(judging_rule(analysis, config.analyze.rule)),
        rounds=[asdict(first_round(analysis.verdicts, config.rounds, trainable=False, learned=False))],
    )
    link_verdicts(run)
    apply_files(manifest, judged.verdicts, run.root, reviews=run.given_reviews)
    run.update_info(counts=run_counts(manifest, run.cleaned, run.removed, reviews=run.given_reviews))
    return run


def link_verdicts(run: RunFolder) -> None:
    """Link (or copy) ``verdicts.parquet`` and ``class_report.parquet`` of the last round into the run's folder."""
    for source in (run.verdicts, run.class_report):
        with atomic_path(run.root / source.name) as temporary:
            try:
                os.link(source, temporary)
            except OSError:  # a file system without links
                shutil.copyfile(source, temporary)
