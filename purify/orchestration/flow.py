"""The main job as a Prefect flow: a noisy set in, a cleaned manifest and a retrained model out, with proof.

The flow orders the stages and shows them; it computes nothing itself. It runs against a configured Prefect
server, or a temporary one of its own (`purify.orchestration.prefect_api`).
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from prefect import State, flow
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.runtime import deployment
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from purify import __version__
from purify.config import Place, PurifyConfig
from purify.embedding.extractors import open_extractor
from purify.embedding.store import read_embeddings
from purify.errors import InputError, PurifyError
from purify.ingest.image_roots import ImageRoots
from purify.orchestration.failures import failed
from purify.orchestration.lost_runs import take_over
from purify.orchestration.rounds import purify_again
from purify.orchestration.runners import require_runner
from purify.orchestration.summary import publish_summary
from purify.orchestration.tasks import (
    analyze_task,
    apply_task,
    choose_purified_task,
    decide_task,
    drift_task,
    embed_task,
    evaluate_task,
    extractor_of,
    ingest_task,
    report_task,
    train_round_task,
    train_task,
)
from purify.pipeline import stages
from purify.pipeline.update_log import begin_update, finish_update, note_changes, note_nothing_new
from purify.storage import remote
from purify.storage.files import PARTIAL_PREFIX, local_file, read_table, sha256_file
from purify.storage.locations import Location, Url, is_url, to_location
from purify.storage.run_folder import RunFolder, fingerprint
from purify.tables.schema import MANIFEST
from purify.tables.user_tables import is_table
from purify.training.launcher import stop_running_jobs

DEFAULT_CONFIG = PurifyConfig()
#: The record of a run that is whole.
_UPDATE = "update"


def _help(title: str, description: str) -> Any:
    """What the form in the Prefect UI says of a parameter; its own title and description are overwritten there."""
    return Field(json_schema_extra={"title": title, "description": description})


@flow(name="purify", validate_parameters=True)
def purify_flow(
    source: Annotated[Place, _help("Source", "Folder, .tar, or Parquet/CSV table with path and label; in full.")],
    run_folder: Annotated[
        Place, _help("Run folder", "Folder of the run, in full. One that is there is brought up to date.")
    ],
    config: Annotated[PurifyConfig, _help("Configuration", "Everything that decides the result.")] = DEFAULT_CONFIG,
    embeddings: Annotated[
        Place | None, _help("Embeddings", "Embeddings of another extractor, instead of a first training.")
    ] = None,
) -> str | State[Any]:
    """Purify `source` into `run_folder`.

    Parameters
    ----------
    source
        Folder, ``.tar``, or Parquet/CSV table; a path, or a URL of a store.
    run_folder
        Folder of the run. One that is there is brought up to date: what is new, changed or gone in the source is
        taken in, and stages that it holds already, from the same inputs, are not done again. If it is a URL, the work
        is done in a local folder, and each finished stage published.
    config
        Everything that decides the result.
    embeddings
        Embeddings of another extractor; they replace the training and embedding of the first round.

    Returns
    -------
    str
        Path or URL of the report; or the state of a run that failed, whose message is the error's own.
    """
    log = get_run_logger()
    scheduled = deployment.get_id() is not None
    run = RunFolder.at(run_folder)
    try:
        if scheduled:
            _require_full_paths(run_folder, source, embeddings)
        require_runner(config.scale)
        with run.lock(when_busy=(lambda busy: log.warning("%s; waiting for its end", busy)) if scheduled else None):
            run.pull()
            take_over(run)
            _bring_up_to_date(run, source, config, embeddings)
            publish_summary(run, config.show)
            run.publish()
    except (PurifyError, OSError) as error:
        return failed(error)
    return run.shown(run.report)


def _require_full_paths(*paths: str | None) -> None:
    """A worker's child runs in a folder that is deleted afterwards: what a relative path names there is lost."""
    for path in paths:
        if path is not None and not is_url(path) and not Path(path).is_absolute():
            raise InputError(f"{path}: a scheduled run needs full paths, such as /data/faces; give it so")


def _bring_up_to_date(run: RunFolder, source: str, config: PurifyConfig, embeddings: str | None) -> None:
    given = to_location(embeddings) if embeddings else None
    images = image_roots(source, config, given_embeddings=given is not None)
    _remove_partial_files(run)
    finished = run.stage_done(_UPDATE, _made_from(run, source, config, given))
    if not finished:
        _start(run, source, config, embeddings)
    changed = ingest_task(run, source, config, decode=bool(images))
    if finished and not changed:
        note_nothing_new(run)
        return
    if finished:
        _start(run, source, config, embeddings)
    if config.apply.reviews is not None:
        stages.adopt_reviews(to_location(config.apply.reviews), run.reviews)
    made_from = _made_from(run, source, config, given)  # reviews that come later are for the next update
    with trainings_at_once(config.train.parallel):
        try:
            _purify(run, config, given, images)
        finally:
            stop_running_jobs()  # before the places are closed, which waits for those at work
    finish_update(run)
    run.mark_done(_UPDATE, made_from, _results(run))


def _purify(run: RunFolder, config: PurifyConfig, embeddings: Location | None, images: list[str]) -> None:
    begin_update(run)
    _check_inputs(run, config, embeddings, images)
    models = models_to_compare(run, config, images)
    early = [] if embeddings else [name for name in models if name in ("raw", "oracle")]
    trained = embeddings is None and extractor_of(1, config) is None
    of_first_table = [*(["round-1"] if trained else []), *(name for name in models if name != "purified")]
    decision = decide_task(run, of_first_table, config)
    trainings = _first_round(run, early, config, embeddings)
    if trained and not decision.train and drift_task(run, config):
        _wait(trainings)
        trainings = _first_round(run, early, config, embeddings)
    purify_again(run, config, images=images)
    apply_task(run)
    report_task(run)
    if "purified" in models:
        choose_purified_task(run, config)
    trainings += [train_task.submit(run, name, config) for name in models if name not in early]
    _wait(trainings)
    if models and config.evaluate.pairs:
        evaluate_task(run, models, config, images=images)
    note_changes(run)
    report_task(run)


def _first_round(
    run: RunFolder, early: Sequence[str], config: PurifyConfig, embeddings: Location | None
) -> list[PrefectFuture[None]]:
    """Verdicts of round 1, and the trainings that went on beside its own."""
    trainings: list[PrefectFuture[None]] = []
    if embeddings is None:
        first = None if extractor_of(1, config) else train_round_task.submit(run, 1, config)
        trainings = [train_task.submit(run, name, config) for name in early]
        if first is not None:
            first.result()
        embed_task(run, 1, config)
    analyze_task(run, 1, config, embeddings=embeddings)
    return trainings


def _wait(trainings: list[PrefectFuture[None]]) -> None:
    """Until all are done; raises what one of them raised."""
    wait(trainings)
    for training in trainings:
        training.result()


def _made_from(run: RunFolder, source: str, config: PurifyConfig, embeddings: Location | None) -> dict[str, str]:
    """Hash of what a run is made from as it is now, besides the files of its source."""
    given = (config.extractor.file, config.evaluate.pairs, config.apply.reviews)
    files = [embeddings, *(place and to_location(place) for place in given)]
    inputs = {
        "source": source,
        "config": config.model_dump(mode="json", exclude={"scale", "show"}),
        "reviews": run.given_reviews,
        **{f"file {number}": file and local_file(file) for number, file in enumerate(files)},
    }
    return {"all": fingerprint(inputs)}


def _results(run: RunFolder) -> list[Path]:
    """Files of a finished run that a later update may find nothing to do on."""
    last = run.last_round
    tables = [run.manifest, run.cleaned, run.removed, run.labels, run.evaluation, run.report]
    results = [*tables, last.verdicts, last.class_report, last.embeddings, *run.root.rglob("model.safetensors")]
    return [path for path in results if path.exists()]


def image_roots(source: str, config: PurifyConfig, *, given_embeddings: bool) -> list[str]:
    """Where images are looked up: the configured roots, else the source itself or the folder of the table.

    Empty for a table with given embeddings and no roots: it is judged without its images.
    """
    if config.ingest.images:
        return list(config.ingest.images)
    place = to_location(source)
    if not is_table(place) or (isinstance(place, Path) and place.is_dir()):
        return [source]
    return [] if given_embeddings else [str(place.parent)]


def models_to_compare(run: RunFolder, config: PurifyConfig, images: list[str]) -> list[str]:
    """The K = 1 models to train: the purified one, and with pairs to measure on, the baselines."""
    if not config.retrain.enabled or not images:
        return []
    if config.evaluate.pairs is None:
        return ["purified"]
    truth = stages.has_truth(read_table(run.manifest, MANIFEST))
    return ["purified", *(name for name in config.evaluate.baselines if name != "oracle" or truth)]


def _check_inputs(run: RunFolder, config: PurifyConfig, embeddings: Location | None, images: list[str]) -> None:
    """Refuse bad pairs, embeddings and extractors now, not after the training."""
    manifest = read_table(run.manifest, MANIFEST)
    if embeddings is not None and config.extractor.file is not None:
        raise InputError("both --embeddings and extractor.file are given; leave one out")
    if embeddings is not None:
        read_embeddings(embeddings, stages.ok_rows(manifest)["sample_id"].to_pylist())
    elif (file := extractor_of(1, config)) is not None:
        open_extractor(file, config.extractor, precision=config.train.precision, flip=config.embed.flip)
    if config.evaluate.pairs and images:
        roots = ImageRoots([to_location(root) for root in images])
        stages.usable_pairs(to_location(config.evaluate.pairs), roots, manifest, config.evaluate)


def _remove_partial_files(run: RunFolder) -> None:
    """They were left by a process that was killed while it wrote."""
    for partial in run.root.rglob(f"{PARTIAL_PREFIX}*"):
        partial.unlink()


def _start(run: RunFolder, source: str, config: PurifyConfig, embeddings: str | None) -> None:
    optional = (embeddings, config.extractor.file, config.evaluate.pairs, config.apply.reviews)
    files = (source, *optional, *config.ingest.images)
    inputs = [to_location(p) for p in files if p]
    run.update_info(
        source=source,
        embeddings=embeddings,
        config=config.model_dump(mode="json"),
        seed=config.seed,
        versions=_versions(),
        git_revision=_git_revision(),
        input_hashes={str(place): digest for place in inputs if (digest := _input_hash(place))},
    )


def _input_hash(place: Location) -> str | None:
    """SHA-256 of a file; on a store, what it says of its version, since it need not be read whole; None of a folder."""
    if isinstance(place, Url):
        return None if remote.is_folder(place) else f"version {remote.version(place)}"
    return sha256_file(place) if place.is_file() else None


def _versions() -> dict[str, Any]:
    packages = ("torch", "numpy", "pyarrow", "prefect", "Pillow")
    return {
        "purify": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _git_revision() -> str | None:
    """Revision of the checkout that runs, if it is one."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


@contextmanager
def trainings_at_once(count: int) -> Iterator[None]:
    """Give the running flow so many places for its trainings.

    Not by ``purify_flow.with_options``: a deployment's flow is loaded before its parameters are known.
    """
    context = FlowRunContext.get()
    if context is None:
        raise RuntimeError("to be called in a flow run")
    runner: Any = ThreadPoolTaskRunner(max_workers=count)
    with runner, context.model_copy(update={"task_runner": runner}):
        yield
