"""The whole pipeline in plain Python: a noisy set in; a cleaned set, a retrained model and its gain out."""

from __future__ import annotations

from pathlib import Path

from purify.config import PurifyConfig
from purify.embedding.embedding_files import EmbeddingFiles
from purify.errors import InputError
from purify.pipeline.checks import check_inputs, image_roots, plan_models, require_known_images
from purify.pipeline.cleaned_tables import adopt_reviews
from purify.pipeline.damage import mend
from purify.pipeline.fingerprint import fingerprint, is_done, mark_done
from purify.pipeline.judged_run import link_verdicts
from purify.pipeline.provenance import note_start
from purify.pipeline.request import RunRequest
from purify.pipeline.results import Run, read_run
from purify.pipeline.rounds import purify_again
from purify.pipeline.steps import Steps, Submit, threads, wait_for_all
from purify.pipeline.update_log import begin_update, finish_update, note_changes, note_nothing_new, read_update
from purify.progress import QUIET, ProgressBoard, progress_board
from purify.storage.files import local_file
from purify.storage.locations import to_location
from purify.storage.run_folder import RunFolder
from purify.training.launcher import stop_running_jobs

#: Stage name in the record of a finished run.
_UPDATE = "update"


def run(
    source: str | Path,
    out: str | Path,
    config: PurifyConfig | None = None,
    *,
    embeddings: str | Path | None = None,
    submit: Submit | None = None,
    progress: bool = True,
) -> Run:
    """Purify `source` into the run folder `out`, in this process, without Prefect.

    An existing run is brought up to date: finished stages are kept, an interrupted one is resumed, and changes of the
    source are taken in. The files are equal, byte for byte, to those of ``purify run-flow``.

    Parameters
    ----------
    source
        Folder ``label/image``, ``.tar`` of one, or Parquet/CSV table; a path, or a URL of a store.
    out
        Folder or URL of this run.
    config
        All settings, as read by `purify.config_files.load_config`; None: the defaults.
    embeddings
        Embeddings of another extractor (Parquet), instead of a first training.
    submit
        Starts concurrent stages: called with a stage and its arguments, it returns an object with ``result()``.
        None: ``config.train.parallel`` threads.
    progress
        Show progress on stderr.

    Returns
    -------
    Run
        The tables and figures of the run.

    Raises
    ------
    InputError
        If the input can't be used, or another process is at work on this run.
    PurifyError
        If a stage fails; finished work is kept, and the next call resumes it.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd, purify
    >>> from purify.config import PurifyConfig
    >>> rng, folder = np.random.default_rng(0), tempfile.mkdtemp()
    >>> people = np.repeat(rng.normal(size=(4, 32)), 10, axis=0)
    >>> ids = [f"{name}/{i}.jpg" for name in "abcd" for i in range(10)]
    >>> labels = [name for name in "abcd" for _ in range(10)]
    >>> labels[0] = "b"  # a wrong one
    >>> pd.DataFrame({"path": ids, "label": labels}).to_csv(f"{folder}/faces.csv", index=False)
    >>> vectors = list((people + 0.2 * rng.normal(size=people.shape)).astype("float32"))
    >>> pd.DataFrame({"path": ids, "embedding": vectors}).to_parquet(f"{folder}/embeddings.parquet")
    >>> result = purify.run(
    ...     f"{folder}/faces.csv", f"{folder}/run", embeddings=f"{folder}/embeddings.parquet", progress=False
    ... )
    >>> len(result.cleaned), result.removed["sample_id"].tolist()
    (40, [])
    """
    request = RunRequest.of(source, out, config, embeddings=embeddings)
    folder = RunFolder.at(request.run_folder)
    if request.config.scale.runner != "threads":
        raise InputError(
            f"scale.runner = {request.config.scale.runner}: a cluster's tasks need the flow (`purify run-flow`); "
            "purify.run computes in this process"
        )
    with folder.lock(), progress_board(quiet=not progress) as board, threads(request.config.train.parallel) as pool:
        folder.pull()
        bring_up_to_date(folder, request, submit or pool, board=board)
        folder.publish()
    return read_run(folder)


def bring_up_to_date(
    run: RunFolder, request: RunRequest, submit: Submit, *, steps: Steps | None = None, board: ProgressBoard = QUIET
) -> None:
    """Run all stages that are not done, in order; the caller holds the run's lock.

    Parameters
    ----------
    run
        Folder of the run.
    request
        Source and configuration.
    submit
        Starts concurrent trainings.
    steps
        Implementations of the stages; None: functions of this process.
    board
        Shows the progress of each stage.
    """
    steps, config, embeddings = steps or Steps(), request.config, request.embeddings_at
    images = image_roots(request.source, config, given_embeddings=embeddings is not None)
    linked = (run.root / run.verdicts.name).exists()
    if not _take_in(run, request, steps, board, decode=bool(images)):
        return
    made_from = _made_from(run, request)  # later reviews are for the next update
    begin_update(run)
    config = steps.choose_extractor(run, config, board) if embeddings is None else config
    check_inputs(run, config, embeddings, images, board)
    plan = plan_models(run, config, embeddings, images)
    try:
        decision = steps.decide(run, plan.first, config)
        for settled in (decision.train, True):  # the second time for new images that no longer fit the model
            first = submit(steps.train_round, run, 1, config, board) if plan.learns else None
            trainings = [submit(steps.train_model, run, name, config, board) for name in plan.early]
            if first is not None:
                first.result()
            if embeddings is None:
                steps.embed(run, 1, config, board)
            steps.analyze(run, 1, config, embeddings=embeddings)
            if settled or not plan.learns or not steps.drift(run, config):
                break
            wait_for_all(trainings)
        if config.align.enabled and embeddings is None and steps.choose_faces(run, config, board):
            steps.embed(run, 1, config, board)
            steps.analyze(run, 1, config)
        purify_again(run, config, steps, board, images=images, learned=plan.learns)
        steps.apply(run)
        if trainings or plan.late or plan.compared or config.invert.enabled:  # the findings, before what takes long
            steps.report(run)
        if "purified" in plan.compared:
            steps.choose_purified(run, config)
        trainings += [submit(steps.train_model, run, name, config, board) for name in plan.late]
        wait_for_all(trainings)
    finally:
        stop_running_jobs()  # before the pool of `submit` is closed, which waits for its work
    if plan.compared and config.evaluate.compares:
        steps.evaluate(run, plan.compared, config, board, images=images)
    if config.invert.enabled:
        steps.invert(run, config, board)
    note_changes(run)
    steps.report(run)
    if linked:  # copies or links from `purify analyze`
        link_verdicts(run)
    mark_done(run, _UPDATE, made_from, _results(run))
    finish_update(run)


def _take_in(run: RunFolder, request: RunRequest, steps: Steps, board: ProgressBoard, *, decode: bool) -> bool:
    """Ingest the source and the given reviews; whether anything is to be done about them."""
    config = request.config
    require_known_images(run, config)
    damage = mend(run)
    finished = not damage and is_done(run, _UPDATE, _made_from(run, request))
    if not finished:
        note_start(run, request)
    elif (update := read_update(run)) is not None and not update.finished:  # killed before the last write
        finish_update(run)
    if damage or run.read_info().get("damage"):
        run.update_info(damage=damage)
    changed = steps.ingest(run, request.source, config, board, decode=decode, embeddings=request.embeddings_at)
    if config.align.enabled:
        changed = steps.align(run, config, board)
    if finished and not changed:
        note_nothing_new(run)
        return False
    if finished:
        note_start(run, request)
    if config.apply.reviews is not None:
        adopt_reviews(to_location(config.apply.reviews), run.reviews)
    return True


def _made_from(run: RunFolder, request: RunRequest) -> dict[str, str]:
    """Fingerprint of the inputs of a run, besides the files of its source."""
    config = request.config
    given = (config.extractor.file, config.evaluate.pairs, config.apply.reviews)
    files = [place and to_location(place) for place in given]
    vectors = request.embeddings_at and EmbeddingFiles(request.embeddings_at, config.embeddings)
    inputs = {
        "source": request.source,
        "config": config.model_dump(mode="json", exclude={"scale", "show"}),
        "reviews": run.given_reviews,
        **(vectors.inputs() if vectors else {}),
        **{f"file {number}": file and local_file(file) for number, file in enumerate(files, start=1)},
    }
    return {"all": fingerprint(inputs)}


def _results(run: RunFolder) -> list[Path]:
    """Result files of a finished run; unless they are unchanged, a later update runs again."""
    last = run.last_round
    tables = [run.manifest, run.cleaned, run.removed, run.labels, run.evaluation, run.protocols, run.report]
    results = [*tables, last.verdicts, last.class_report, last.embeddings, *run.root.rglob("model.safetensors")]
    return [path for path in results if path.exists()]
