"""The tasks of the flow: each runs one stage of a run folder, unless its record says that it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.reporting import progress_for
from flows.retries import STAGE_RETRIES
from flows.runners import fan_out, neighbor_search
from purify import stages
from purify.analysis.rounds import RoundSummary, compare_rounds
from purify.config import PurifyConfig
from purify.embedding.extractors import model_file
from purify.errors import PurifyError
from purify.manifest import remote
from purify.manifest.ingest import load_manifest
from purify.manifest.io import local_file, read_table, write_table
from purify.manifest.schema import MANIFEST, VERDICTS
from purify.manifest.uris import Location, Url, to_location
from purify.report.html import truth_figures, write_report
from purify.run_folder import RunFolder
from purify.training.job import TrainJob
from purify.training.launch import compute_threads, run_job

_MODEL = "model.safetensors"


def _source_state(path: str) -> Any:
    """What tells whether a source changed: size and time of a file; a folder is read anew only by a new run."""
    source = to_location(path)
    if isinstance(source, Url):
        return [str(source), "folder" if remote.is_folder(source) else remote.version(source)]
    if source.is_file():
        stat = source.stat()
        return [str(source.resolve()), stat.st_size, stat.st_mtime_ns]
    return str(source.resolve())


@task(name="ingest", cache_policy=NO_CACHE, **STAGE_RETRIES)
def ingest_task(run: RunFolder, source: str, config: PurifyConfig, *, decode: bool) -> None:
    """Source -> ``manifest.parquet``. Without `decode` the table is taken as it is: its images are not at hand."""

    def work() -> None:
        images = [to_location(root) for root in config.ingest.images]
        if decode:
            stages.ingest_source(
                to_location(source), images, run.manifest, config.ingest, progress=progress_for("ingest")
            )
        else:
            write_table(load_manifest(to_location(source)), run.manifest)

    inputs = {
        "source": _source_state(source),
        "images": [_source_state(root) for root in config.ingest.images],
        "config": config.ingest.model_dump(exclude={"workers"}),
        "decode": decode,
    }
    run.run_stage("ingest", inputs, [run.manifest], work)


@task(name="train", task_run_name="train-{name}", cache_policy=NO_CACHE, **STAGE_RETRIES)
def train_task(run: RunFolder, name: str, config: PurifyConfig) -> None:
    """Train the K = 1 model `name`: ``purified`` or a baseline."""
    _train(run, name, _training_table(run, name, config), run.model(name), config, subcenters=1)


@task(name="train-round", task_run_name="train-round-{number}", cache_policy=NO_CACHE, **STAGE_RETRIES)
def train_round_task(run: RunFolder, number: int, config: PurifyConfig) -> None:
    """Train the model of a round (K sub-centers): the first on all rows, a later one on what the last one kept."""
    folder = run.round(number)
    table = run.manifest if number == 1 else folder.training_table
    if number > 1:
        verdicts = run.round(number - 1).verdicts
        write_table(stages.kept_rows(read_table(run.manifest, MANIFEST), verdicts, run.given_reviews), table)
    _train(run, f"round-{number}", table, folder.root, config, subcenters=config.train.subcenters)


def _train(run: RunFolder, name: str, table: Path, folder: Path, config: PurifyConfig, *, subcenters: int) -> None:
    job = TrainJob(
        table=str(table),
        folder=str(folder),
        model=config.model.model_dump(),
        train=config.train.model_dump(),
        subcenters=subcenters,
        seed=config.seed,
        threads=compute_threads(config.train.parallel),
    )
    inputs = {
        "table": table,
        "model": job.model,
        "train": config.train.recipe(),
        "subcenters": job.subcenters,
        "seed": job.seed,
    }
    run.run_stage(
        f"train-{name}",
        inputs,
        [folder / "checkpoint" / _MODEL],
        lambda: run_job(job, progress_for(f"train {name}")),
    )


def _training_table(run: RunFolder, name: str, config: PurifyConfig) -> Path:
    if name == "raw":
        return run.manifest
    if name == "purified":
        return run.cleaned
    path = run.model(name) / "train.parquet"
    manifest = read_table(run.manifest, MANIFEST)
    kept = pq.read_metadata(run.cleaned).num_rows if name == "random" else 0
    write_table(stages.baseline_table(manifest, name, kept=kept, seed=config.seed), path)
    return path


@task(name="embed", cache_policy=NO_CACHE, **STAGE_RETRIES)
def embed_task(run: RunFolder, number: int, config: PurifyConfig) -> None:
    """``manifest.parquet`` + checkpoint of a round (or the extractor) -> its ``embeddings.parquet``, of all rows."""
    folder, stage = run.round(number), _stage("embed", number)
    model = extractor_of(number, config) or folder.checkpoint

    def work() -> None:
        stages.embed_manifest(
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
    where nothing of a label was kept, so from round 2 on the sub-centers are fitted to the embeddings.
    """
    folder = run.round(number)
    vectors = embeddings or folder.embeddings
    trained = embeddings is None and extractor_of(number, config) is None
    checkpoint = folder.checkpoint if number == 1 and trained else None

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
    pairs = to_location(config.evaluate.pairs)
    folders = {name: run.model(name) / "checkpoint" for name in models}

    def work() -> None:
        stages.evaluate_models(
            folders,
            pairs,
            [to_location(root) for root in images],
            read_table(run.manifest, MANIFEST),
            config,
            run.evaluation,
            progress=progress_for("evaluate"),
        )

    inputs = {
        "manifest": run.manifest,
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
