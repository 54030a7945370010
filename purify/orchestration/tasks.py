"""The tasks of the flow: each runs one stage of a run folder, unless its record says that it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from purify.analysis.round_changes import RoundSummary, compare_rounds
from purify.config import PurifyConfig
from purify.embedding.extractors import model_file
from purify.errors import PurifyError
from purify.orchestration.progress import progress_for
from purify.orchestration.retries import STAGE_RETRIES
from purify.orchestration.runners import fan_out, neighbor_search
from purify.pipeline import stages
from purify.pipeline.refresh_manifest import take_in, take_in_table
from purify.pipeline.retraining import Decision
from purify.pipeline.training_tables import settle_by_drift, settle_first_table, settle_table
from purify.pipeline.update_log import note_embedded
from purify.report.html import write_report
from purify.report.known_truth import truth_figures
from purify.storage.files import local_file, read_table, write_table
from purify.storage.locations import Location, to_location
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLEANED, MANIFEST, VERDICTS
from purify.training.job import TrainJob
from purify.training.launch import compute_threads, run_job

_MODEL = "model.safetensors"
_ROUND = "round-"


@task(name="ingest", cache_policy=NO_CACHE, **STAGE_RETRIES)
def ingest_task(run: RunFolder, source: str, config: PurifyConfig, *, decode: bool) -> bool:
    """Source -> ``manifest.parquet``; whether it changed. Without `decode` a table is taken without its images."""
    if not decode:
        return take_in_table(run, to_location(source), config)
    images = [to_location(root) for root in config.ingest.images]
    return take_in(run, to_location(source), images, config, progress=progress_for("ingest"))


@task(name="decide", cache_policy=NO_CACHE, **STAGE_RETRIES)
def decide_task(run: RunFolder, first_models: Sequence[str], config: PurifyConfig) -> Decision:
    """Whether to train, by the share of new images; `first_models` are trained on the manifest's images."""
    trained = all(is_trained(run, name, config) for name in first_models)
    return settle_first_table(run, config, trained=trained)


@task(name="drift", cache_policy=NO_CACHE, **STAGE_RETRIES)
def drift_task(run: RunFolder, config: PurifyConfig) -> bool:
    """Whether to train after all, by the angles of new images."""
    return settle_by_drift(run, config)


@task(name="train", task_run_name="train-{name}", cache_policy=NO_CACHE, **STAGE_RETRIES)
def train_task(run: RunFolder, name: str, config: PurifyConfig) -> None:
    """Train the K = 1 model `name`, ``purified`` or a baseline, on its table."""
    if name in ("random", "oracle"):
        kept = pq.read_metadata(run.training_table("purified")).num_rows if name == "random" else 0
        first = read_table(run.round(1).training_table, MANIFEST)
        write_table(stages.baseline_table(first, name, kept=kept, seed=config.seed), run.training_table(name))
    _train(run, name, config)


@task(name="train-round", task_run_name="train-round-{number}", cache_policy=NO_CACHE, **STAGE_RETRIES)
def train_round_task(run: RunFolder, number: int, config: PurifyConfig) -> None:
    """Train the model of a round (K sub-centers): the first on all rows, a later one on what the last one kept."""
    name = _round_name(number)
    if number > 1:
        verdicts = run.round(number - 1).verdicts
        rows = stages.kept_rows(read_table(run.manifest, MANIFEST), verdicts, run.given_reviews)
        _settle(run, name, rows, config)
    _train(run, name, config)


@task(name="choose-purified", cache_policy=NO_CACHE, **STAGE_RETRIES)
def choose_purified_task(run: RunFolder, config: PurifyConfig) -> None:
    """``cleaned.parquet`` -> what the purified model is trained on, where it is to be trained again."""
    _settle(run, "purified", read_table(run.cleaned, CLEANED), config)


def _settle(run: RunFolder, name: str, rows: pa.Table, config: PurifyConfig) -> None:
    table, _ = _places(run, name)
    settle_table(run, name, table, rows, config, trained=is_trained(run, name, config))


def is_trained(run: RunFolder, name: str, config: PurifyConfig) -> bool:
    """Whether a model is there, trained by this recipe on the table that lies beside it."""
    table, _ = _places(run, name)
    return table.exists() and run.stage_done(f"train-{name}", _training_inputs(table, _job(run, name, config), config))


def _train(run: RunFolder, name: str, config: PurifyConfig) -> None:
    job, (table, folder) = _job(run, name, config), _places(run, name)
    run.run_stage(
        f"train-{name}",
        _training_inputs(table, job, config),
        [folder / "checkpoint" / _MODEL],
        lambda: run_job(job, progress_for(f"train {name}")),
    )


def _job(run: RunFolder, name: str, config: PurifyConfig) -> TrainJob:
    table, folder = _places(run, name)
    return TrainJob(
        table=str(table),
        folder=str(folder),
        model=config.model.model_dump(),
        train=config.train.model_dump(),
        subcenters=config.train.subcenters if _is_round(name) else 1,
        seed=config.seed,
        threads=compute_threads(config.train.parallel),
    )


def _training_inputs(table: Path, job: TrainJob, config: PurifyConfig) -> dict[str, Any]:
    return {
        "table": table,
        "model": job.model,
        "train": config.train.recipe(),
        "subcenters": job.subcenters,
        "seed": job.seed,
    }


def _places(run: RunFolder, name: str) -> tuple[Path, Path]:
    """Table and folder of a training, by the name of the model."""
    if _is_round(name):
        folder = run.round(int(name.removeprefix(_ROUND)))
        return folder.training_table, folder.root
    return run.training_table(name), run.model(name)


def _is_round(name: str) -> bool:
    return name.startswith(_ROUND)


def _round_name(number: int) -> str:
    return f"{_ROUND}{number}"


@task(name="embed", cache_policy=NO_CACHE, **STAGE_RETRIES)
def embed_task(run: RunFolder, number: int, config: PurifyConfig) -> None:
    """``manifest.parquet`` + checkpoint of a round (or the extractor) -> its ``embeddings.parquet``, of all rows."""
    folder, stage = run.round(number), _stage("embed", number)
    model = extractor_of(number, config) or folder.checkpoint

    def work() -> None:
        embedded = stages.embed_manifest(
            read_table(run.manifest, MANIFEST),
            model,
            folder.embeddings,
            config.embed,
            extractor_config=config.extractor,
            precision=config.train.precision,
            workers=config.train.workers,
            run_blocks=fan_out(config.scale),
            progress=progress_for(stage),
        )
        note_embedded(run, stage, embedded)

    inputs = {
        "manifest": run.manifest,
        "checkpoint": model_file(model),
        "config": config.embed.model_dump(),
        "extractor": config.extractor.model_dump(exclude={"file"}),
        "precision": config.train.precision,
    }
    run.run_stage(stage, inputs, [folder.embeddings], work)


def extractor_of(number: int, config: PurifyConfig) -> Path | None:
    """The user's own model that embeds in a round: in the first one, if there is one."""
    return local_file(to_location(config.extractor.file)) if number == 1 and config.extractor.file else None


@task(name="analyze", cache_policy=NO_CACHE, **STAGE_RETRIES)
def analyze_task(run: RunFolder, number: int, config: PurifyConfig, *, embeddings: Location | None) -> None:
    """Embeddings + sub-centers -> ``verdicts.parquet`` and ``class_report.parquet`` of a round.

    All rows are judged under their given labels in every round. A later round's head may lack some of these,
    where nothing of a label was kept, so from round 2 on the sub-centers are fitted to the embeddings; and in round 1
    where labels came since its training.
    """
    folder = run.round(number)
    vectors = embeddings or folder.embeddings
    trained = embeddings is None and extractor_of(number, config) is None
    checkpoint = folder.checkpoint if number == 1 and trained else None
    if checkpoint and not stages.knows_labels(checkpoint, read_table(run.manifest, MANIFEST)):
        checkpoint = None

    def work() -> None:
        analysis = stages.analyze_manifest(
            read_table(run.manifest, MANIFEST),
            vectors,
            config,
            checkpoint_folder=checkpoint,
            search=neighbor_search(config.scale, folder.verdicts),
        )
        write_table(analysis.verdicts, folder.verdicts)
        write_table(analysis.class_report, folder.class_report)

    inputs = {
        "manifest": run.manifest,
        "embeddings": vectors,
        "checkpoint": checkpoint / _MODEL if checkpoint else "projection",
        "config": config.analyze.model_dump(),
        "subcenters": config.train.subcenters,
        "seed": config.seed,
    }
    run.run_stage(_stage("analyze", number), inputs, [folder.verdicts, folder.class_report], work)


@task(name="compare", task_run_name="compare-round-{number}", cache_policy=NO_CACHE, **STAGE_RETRIES)
def compare_task(run: RunFolder, number: int, config: PurifyConfig) -> RoundSummary:
    """Verdicts of a round and of the one before -> its ``changes.parquet``, and whether it is the last."""
    before, verdicts = run.round(number - 1).verdicts, run.round(number).verdicts
    changes = run.round(number).changes
    comparison = compare_rounds(number, read_table(before, VERDICTS), read_table(verdicts, VERDICTS), config.rounds)
    run.run_stage(
        _stage("compare", number),
        {"before": before, "verdicts": verdicts},
        [changes],
        lambda: write_table(comparison.changes, changes),
    )
    return comparison.summary


def _stage(name: str, number: int) -> str:
    """Name of a stage in a round: round 1 has the plain ones."""
    return name if number == 1 else f"{name}-round-{number}"


@task(name="apply", cache_policy=NO_CACHE, **STAGE_RETRIES)
def apply_task(run: RunFolder) -> None:
    """Verdicts, and the reviews of the run -> ``cleaned``, ``removed`` and ``labels`` tables."""
    manifest, reviews = read_table(run.manifest, MANIFEST), run.given_reviews
    run.run_stage(
        "apply",
        {"manifest": run.manifest, "verdicts": run.verdicts} | ({"reviews": reviews} if reviews else {}),
        [run.cleaned, run.removed, run.labels],
        lambda: stages.apply_files(manifest, run.verdicts, run.root, reviews=reviews),
    )
    run.update_info(counts=stages.run_counts(manifest, run.cleaned, run.removed, reviews=reviews))


@task(name="evaluate", cache_policy=NO_CACHE, **STAGE_RETRIES)
def evaluate_task(run: RunFolder, models: Sequence[str], config: PurifyConfig, *, images: Sequence[str]) -> None:
    """Checkpoints + pairs -> ``evaluation.json``."""
    if config.evaluate.pairs is None:
        raise PurifyError("evaluate needs a pairs file")
    pairs, first = to_location(config.evaluate.pairs), run.round(1).training_table
    folders = {name: run.model(name) / "checkpoint" for name in models}

    def work() -> None:
        stages.evaluate_models(
            folders,
            pairs,
            [to_location(root) for root in images],
            read_table(first, MANIFEST),
            config,
            run.evaluation,
            progress=progress_for("evaluate"),
        )

    inputs = {
        "manifest": first,  # what the models have seen; they don't know of what came since
        "pairs": pairs,
        **{f"model-{name}": folder / _MODEL for name, folder in folders.items()},
        "config": config.evaluate.model_dump(),
        "seed": config.seed,
    }
    run.run_stage("evaluate", inputs, [run.evaluation], work)


@task(name="report", cache_policy=NO_CACHE, **STAGE_RETRIES)
def report_task(run: RunFolder) -> None:
    """The run folder -> ``report.html``; always written anew."""
    run.update_info(
        stages=run.stage_seconds(),
        truth=truth_figures(read_table(run.manifest, MANIFEST), read_table(run.verdicts, VERDICTS)) or {},
    )
    write_report(run.root)
