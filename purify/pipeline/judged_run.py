"""The run folder of an analysis that trained nothing: what `report`, `review` and `apply` read."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from purify import __version__
from purify.analysis.round_changes import first_round
from purify.analysis.verdicts import Analysis
from purify.arrays import Vectors
from purify.config import PurifyConfig
from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.pipeline.judging_rule import judging_rule
from purify.storage.files import write_table
from purify.storage.run_folder import RunFolder
from purify.tables.apply import apply_verdicts
from purify.tables.reviews import count_reviews, read_reviews
from purify.tables.schema import Status

_PACKAGES = ("numpy", "pyarrow", "faiss-cpu")


def write_judged_run(
    folder: Path,
    manifest: pa.Table,
    analysis: Analysis,
    *,
    config: PurifyConfig,
    source: str,
    embeddings: Vectors | None = None,
    embeddings_file: str | None = None,
    input_hashes: Mapping[str, str] | None = None,
) -> RunFolder:
    """Write the run folder of an analysis; reviews that the folder has stay, and are applied.

    Besides the files of a run it gets ``verdicts.parquet`` and ``class_report.parquet`` at its top.

    Parameters
    ----------
    folder
        Is made if it is missing. An earlier analysis in it is replaced.
    manifest
        Schema `MANIFEST`; its ok rows were judged.
    analysis
        Of these rows.
    config
        Settings of the analysis.
    source
        Description or path of the labels, for ``run.json``.
    embeddings
        ``[N, D]`` of the ok rows, to be kept in the run; None: `embeddings_file` says where they are.
    embeddings_file
        Path or URL of the embeddings.
    input_hashes
        Path -> SHA-256 of the inputs.

    Raises
    ------
    InputError
        If the folder holds a run that trained models.
    """
    run = RunFolder(folder)
    if run.round(1).checkpoint.exists():
        raise InputError(f"{folder}: holds a run with trained models; give another folder")
    judged, rows = run.round(1), manifest.filter(pc.equal(manifest["status"], Status.OK.value))
    write_table(manifest, run.manifest)
    if embeddings is not None:
        with EmbeddingWriter(judged.embeddings, embeddings.shape[1]) as writer:
            writer.write(rows["sample_id"].to_pylist(), embeddings, rows["sha256"].to_pylist())
    for name in ("verdicts", "class_report"):
        for path in (folder / f"{name}.parquet", getattr(judged, name)):
            write_table(getattr(analysis, name), path)
    counts = _apply(run, manifest, analysis.verdicts)
    run.update_info(
        source=source,
        embeddings=embeddings_file,
        config=config.model_dump(mode="json"),
        seed=config.seed,
        versions=_versions(),
        input_hashes=dict(input_hashes or {}),
        judged_by=asdict(judging_rule(analysis, config.analyze.rule)),
        rounds=[asdict(first_round(analysis.verdicts, config.rounds, trainable=False))],
        counts=counts,
    )
    return run


def _apply(run: RunFolder, manifest: pa.Table, verdicts: pa.Table) -> dict[str, int]:
    """Write the cleaned, removed and label tables; returns the counts of their rows."""
    reviews = None if run.given_reviews is None else read_reviews(run.given_reviews)
    purified = apply_verdicts(manifest, verdicts, reviews)
    for name in ("cleaned", "removed", "labels"):
        write_table(getattr(purified, name), getattr(run, name))
    counts = {"rows": len(manifest), "ok": len(verdicts), "not_ok": len(manifest) - len(verdicts)}
    counts |= {"cleaned": len(purified.cleaned), "removed": len(purified.removed)}
    return counts if reviews is None else counts | count_reviews(reviews, verdicts["sample_id"])


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in _PACKAGES}
    return {"purify": __version__, "python": platform.python_version(), **packages}
