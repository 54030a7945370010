"""Judging of given embeddings into a run folder, without training; application of a run's reviews."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from purify.config import PurifyConfig
from purify.embedding.embedding_files import EmbeddingFiles
from purify.errors import InputError
from purify.models.checkpoint import FILE_NAME, load_checkpoint
from purify.pipeline import stages
from purify.pipeline.damage import require_whole
from purify.pipeline.embedded_rows import mark_unembedded
from purify.pipeline.judged_run import link_verdicts
from purify.pipeline.request import RunRequest
from purify.pipeline.retraining import Because, TrainingDecision
from purify.pipeline.run import bring_up_to_date
from purify.pipeline.steps import Steps
from purify.progress import ProgressBoard, progress_board
from purify.storage.locations import Location, to_location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import load_manifest


def judging_config(config: PurifyConfig) -> PurifyConfig:
    """`config` without any training, also on resuming the run, unless it sets ``retrain.enabled`` itself."""
    return config if "enabled" in config.retrain.model_fields_set else _without_training(config)


def judge_into_run(
    source: str | Path | Location,
    out: str | Path | Location,
    config: PurifyConfig,
    *,
    embeddings: str | Path | Location,
    progress: bool = True,
) -> RunFolder:
    """Judge a manifest by given embeddings into the run folder `out`: verdicts and cleaned tables, no training.

    The run is that of `purify.pipeline.run.run` up to the cleaned tables; ``purify run-flow --resume`` continues it
    with the further stages of `config`. A run judged before is judged again; its reviews hold.

    Parameters
    ----------
    source
        Manifest, or a table with ``path`` and ``label``. Its images are read if ``ingest.images`` are given.
    out
        Folder or URL of the run.
    config
        All settings.
    embeddings
        A file or folder as in `purify.embedding.embedding_files`, read as ``config.embeddings`` says.
    progress
        Show progress on stderr.

    Raises
    ------
    InputError
        If the input can't be used, or `out` holds a run with trained models.
    """
    request = RunRequest.of(source, out, config, embeddings=embeddings)
    run = RunFolder.at(request.run_folder)
    _check(request)
    with run.lock(), progress_board(quiet=not progress) as board:
        run.pull()
        _refuse_trained(run)
        judging = replace(request, config=_without_training(config))
        bring_up_to_date(run, judging, _train_nothing, steps=_STEPS, board=board)
        run.update_info(config=config.model_dump(mode="json"))
        link_verdicts(run)
        run.publish()
    return run


def apply_to_run(place: str | Path | Location) -> RunFolder:
    """Verdicts and reviews of the run at `place` -> its cleaned tables.

    Raises
    ------
    InputError
        If it holds no manifest with verdicts.
    """
    run = RunFolder.at(place if isinstance(place, Location) else to_location(str(place)))
    if run.url is None and not run.manifest.exists():
        raise InputError(f"{place}: no run with verdicts in this folder; give a RUN, or --verdicts and --out")
    with run.lock():
        run.pull()
        damage = require_whole(run, remade=[run.cleaned, run.removed, run.labels])
        if damage or run.read_info().get("damage"):
            run.update_info(damage=damage)
        stages.apply(run)
        run.publish()
    return run


def judged_files(place: Location) -> tuple[Path, Path, Path | None]:
    """Manifest, verdicts and, if there are any, reviews of the run at `place`; InputError if it has no verdicts."""
    run = RunFolder.at(place)
    run.pull()
    if not run.manifest.exists() or not run.verdicts.exists():
        raise InputError(f"{place}: no run with verdicts in this folder; give a RUN, or --verdicts and --out")
    return run.manifest, run.verdicts, run.given_reviews


def _without_training(config: PurifyConfig) -> PurifyConfig:
    return config.changed(retrain={"enabled": False}, rounds={"most": 1})


def _check(request: RunRequest) -> None:
    """Refuse unusable inputs before any file is written."""
    if request.config.analyze.checkpoint is not None and not _checkpoint_file(request.config).is_file():
        load_checkpoint(_checkpoint_file(request.config).parent)
    if not request.config.ingest.images and request.embeddings_at is not None:
        manifest = load_manifest(to_location(request.source), request.config.ingest.columns)
        given = EmbeddingFiles(request.embeddings_at, request.config.embeddings)
        mark_unembedded(manifest, given, most_missing=request.config.embeddings.most_missing)


def _checkpoint_file(config: PurifyConfig) -> Path:
    return Path(str(config.analyze.checkpoint)) / FILE_NAME


def _refuse_trained(run: RunFolder) -> None:
    if not run.info.exists():
        return
    info = run.read_info()
    trained = any(run.root.rglob(FILE_NAME)) or run.evaluation.exists()
    if trained or (info.get("source") and not info.get("embeddings")):
        raise InputError(f"{run.root}: this folder holds a run with trained models; give another --out")


def _ingest(
    run: RunFolder,
    source: str,
    config: PurifyConfig,
    board: ProgressBoard,
    *,
    decode: bool,
    embeddings: Location | None,
) -> bool:
    """Ingest without a limit on lost images: any table may replace the one judged before."""
    any_table = config.changed(grow={"most_lost": 1.0})
    return stages.ingest(run, source, any_table, board, decode=decode, embeddings=embeddings)


def _decide(*_: Any) -> TrainingDecision:
    return TrainingDecision(Because.FEW_NEW, train=False, choose=False)


def _report(run: RunFolder) -> Path:
    """Note the figures; update an existing page, but leave a new one to ``purify report``."""
    if run.report.exists():
        return stages.report(run)
    stages.note_figures(run)
    return run.report


def _train_nothing(*_: Any) -> NoReturn:
    raise RuntimeError("a judged run trains nothing")


_STEPS = Steps(ingest=_ingest, decide=_decide, report=_report)
