"""The tables of a run in memory, for the report and the notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from purify.analysis.rules.registry import gives_probabilities
from purify.config_files import config_from_json
from purify.embedding.embedding_files import EmbeddingFiles
from purify.storage.files import read_table
from purify.storage.locations import to_location
from purify.storage.run_folder import RunFolder
from purify.storage.run_record import read_evaluation, read_protocols
from purify.tables.reviews import override_verdicts, read_reviews
from purify.tables.schema import CLASS_REPORT, MANIFEST, VERDICTS


@dataclass(frozen=True)
class RunTables:
    """The tables of a run's last round, verdicts with the run's reviews applied.

    `name` is that of the folder, `info` is ``run.json`` (empty without one), `evaluation` is ``evaluation.json``,
    `protocols` is ``protocols.json``.
    """

    name: str
    manifest: pa.Table
    verdicts: pa.Table
    class_report: pa.Table
    info: Mapping[str, Any]
    evaluation: Mapping[str, Any] | None
    protocols: Mapping[str, Any] | None = None

    @property
    def threshold(self) -> float:
        """The fixed angle of the rules `official` and `paper`, in degrees."""
        return float(self.info.get("config", {}).get("analyze", {}).get("threshold", 75.0))

    @property
    def rule(self) -> str:
        """Name and version of the rule behind the verdicts; empty without verdicts."""
        return self.verdicts["rule"][0].as_py() if len(self.verdicts) else ""

    @property
    def calibrated(self) -> bool:
        """Whether ``p_clean`` is a probability; under the fixed angles it is a score."""
        judged = self._judged
        return bool(judged["probabilities"]) if judged else gives_probabilities(self.rule)

    @property
    def weak(self) -> str:
        """Why the verdicts can't be trusted, as a sentence without a full stop; empty if nothing speaks against it."""
        return self._judged.get("weak") or ""

    @property
    def noise_bounds(self) -> Sequence[float] | None:
        """What the interval of the noise estimate has to hold where the verdicts can't be trusted."""
        return self._judged.get("noise_bounds")

    @property
    def _judged(self) -> Mapping[str, Any]:
        """The entry ``judged_by``, if it is of these verdicts."""
        judged = self.info.get("judged_by") or {}
        return judged if judged.get("rule") == self.rule else {}

    @property
    def source_warnings(self) -> Sequence[str]:
        """Warnings from reading the source, as sentences without a full stop."""
        return self.info.get("source_warnings") or ()

    @property
    def pairs_warning(self) -> str:
        """What makes the measured gain doubtful, as a sentence without a full stop; empty if nothing does."""
        pairs: Mapping[str, Any] = (self.evaluation or {}).get("pairs", {})
        return pairs.get("warning") or ""


def run_embeddings(folder: Path | str, run: RunTables) -> EmbeddingFiles:
    """The embeddings of the last round, or those given to the run."""
    path, given = RunFolder(Path(folder)).embeddings, run.info.get("embeddings")
    if path.exists() or not given:
        return EmbeddingFiles(path)
    settings = {"embeddings": run.info.get("config", {}).get("embeddings", {})}
    return EmbeddingFiles(to_location(given), config_from_json(settings, origin=f"{folder}/run.json").embeddings)


def read_run(folder: Path | str, *, round_number: int | None = None) -> RunTables:
    """Read the run in `folder` after its last round, or after `round_number`.

    Raises
    ------
    InputError
        If the folder holds no manifest, verdicts or class report, or a damaged one.
    """
    run = RunFolder(Path(folder))
    judged = run.last_round if round_number is None else run.round(round_number)
    name = run.root.resolve().name
    verdicts = read_table(judged.verdicts, VERDICTS)
    if run.given_reviews is not None:
        verdicts = override_verdicts(verdicts, read_reviews(run.given_reviews))
    return RunTables(
        name=name if round_number is None else f"{name}, round {round_number}",
        manifest=read_table(run.manifest, MANIFEST),
        verdicts=verdicts,
        class_report=read_table(judged.class_report, CLASS_REPORT),
        info=run.read_info(),
        evaluation=read_evaluation(run.evaluation) if run.evaluation.exists() else None,
        protocols=read_protocols(run.protocols) if run.protocols.exists() else None,
    )
