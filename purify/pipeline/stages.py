"""The stages of a run: each reads the outputs of earlier stages from the run's folder, and writes its own.

Every stage declares its inputs and outputs once, and runs only if they differ from its record
(`purify.pipeline.fingerprint`). This process and Prefect's tasks call the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from purify.analysis.round_changes import RoundSummary, compare_rounds
from purify.analysis.verdicts import analyze as analyze_samples
from purify.config import PurifyConfig
from purify.embedding.blocks import RunBlocks, run_here
from purify.embedding.embedding_files import EmbeddingFiles
from purify.embedding.extractors import model_file
from purify.errors import PurifyError
from purify.models.checkpoint import FILE_NAME
from purify.pipeline import extractor_choice
from purify.pipeline.align_stage import align_run
from purify.pipeline.cleaned_tables import apply_files, baseline_table, kept_rows, run_counts
from purify.pipeline.embedding_stage import embed_manifest, own_extractor
from purify.pipeline.face_choice_stage import choose_agreeing
from purify.pipeline.fingerprint import stage_of, stage_seconds
from purify.pipeline.inversion_stage import replace_inversion
from purify.pipeline.judging_rule import judging_rule
from purify.pipeline.manifest_analysis import known_head, read_judging_inputs
from purify.pipeline.model_comparison import evaluate_models
from purify.pipeline.protocol_evaluation import evaluate_protocols, protocol_files
from purify.pipeline.refresh_manifest import refresh_manifest, take_table
from purify.pipeline.retraining import TrainingDecision
from purify.pipeline.run_inversion import NO_NETWORK, run_request
from purify.pipeline.training_stage import is_trained, round_model, training_of
from purify.pipeline.training_tables import settle_by_drift, settle_first_table, settle_table
from purify.pipeline.update_log import note_embedded
from purify.progress import QUIET, ProgressBoard
from purify.report.html import write_report
from purify.report.known_truth import truth_figures
from purify.report.reconstructions import GRID, TABLE
from purify.storage.files import open_parquet, read_table, write_table
from purify.storage.locations import Location, to_location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import train_rows
from purify.tables.schema import CLEANED, MANIFEST, VERDICTS
from purify.training.launcher import run_job


def ingest(
    run: RunFolder,
    source: str,
    config: PurifyConfig,
    board: ProgressBoard = QUIET,
    *,
    decode: bool,
    embeddings: Location | None = None,
) -> bool:
    """Source -> ``manifest.parquet``; returns whether it changed. Without `decode`, a table's images are not read.

    Images that have no usable one of the given `embeddings` get the status ``no_embedding``.
    """
    given = None if embeddings is None else EmbeddingFiles(embeddings, config.embeddings)
    if not decode:
        return take_table(run, to_location(source), config, given)
    images = [to_location(root) for root in config.ingest.images]
    return refresh_manifest(run, to_location(source), images, config, given, progress=board.stage("ingest"))


def choose_extractor(run: RunFolder, config: PurifyConfig, board: ProgressBoard = QUIET) -> PurifyConfig:
    """The manifest's images -> `config` with the extractor of this run, which ``run.json`` names with the reason."""
    choice = extractor_choice.choose_extractor(run, read_table(run.manifest, MANIFEST), config)
    board.stage("choose extractor")(1, 1, f"{choice.name}: {choice.why}")
    run.update_info(extractor=asdict(choice))
    return choice.settle(config)


def align(
    run: RunFolder, config: PurifyConfig, board: ProgressBoard = QUIET, *, run_blocks: RunBlocks | None = None
) -> bool:
    """``photos.parquet`` -> ``crops`` and ``manifest.parquet``; returns whether the manifest changed."""
    return align_run(run, config, run_blocks=run_blocks, progress=board.stage("align"))


def decide(run: RunFolder, first_models: Sequence[str], config: PurifyConfig) -> TrainingDecision:
    """Decide by the share of new images whether to train; `first_models` are trained on the manifest's images."""
    trained = all(is_trained(run, name, config) for name in first_models)
    return settle_first_table(run, config, trained=trained)


def drift(run: RunFolder, config: PurifyConfig) -> bool:
    """Decide by the angles of new images whether to train after all."""
    return settle_by_drift(run, config)


def train_round(run: RunFolder, number: int, config: PurifyConfig, board: ProgressBoard = QUIET) -> None:
    """``train.parquet`` of a round -> its checkpoint with K sub-centers per class.

    The first round is trained on all rows, a later one on the rows kept by the previous one.
    """
    name = round_model(number)
    if number > 1:
        rows = kept_rows(read_table(run.manifest, MANIFEST), run.round(number - 1).verdicts, run.given_reviews)
        settle_table(run, name, rows, config, trained=is_trained(run, name, config))
    training = training_of(run, name, config)
    with stage_of(run, training.stage, training.inputs, [training.checkpoint]) as pending:
        if pending:
            run_job(training.resumable_job, board.stage(f"train {name}"))


def train_model(run: RunFolder, name: str, config: PurifyConfig, board: ProgressBoard = QUIET) -> None:
    """``train.parquet`` of a K = 1 model, ``purified`` or a baseline, -> its checkpoint."""
    if name in ("random", "oracle"):
        kept = _rows_of(run.training_table("purified")) if name == "random" else 0
        first = train_rows(read_table(run.round(1).training_table, MANIFEST))
        write_table(baseline_table(first, name, kept=kept, seed=config.seed), run.training_table(name))
    training = training_of(run, name, config)
    with stage_of(run, training.stage, training.inputs, [training.checkpoint]) as pending:
        if pending:
            run_job(training.resumable_job, board.stage(f"train {name}"))


def choose_purified(run: RunFolder, config: PurifyConfig) -> None:
    """``cleaned.parquet`` -> the purified model's ``train.parquet``, if that model is to be trained again."""
    rows = train_rows(read_table(run.cleaned, CLEANED))
    settle_table(run, "purified", rows, config, trained=is_trained(run, "purified", config))


def embed(
    run: RunFolder,
    number: int,
    config: PurifyConfig,
    board: ProgressBoard = QUIET,
    *,
    run_blocks: RunBlocks = run_here,
) -> None:
    """``manifest.parquet`` + checkpoint of a round (or the extractor) -> its ``embeddings.parquet``, of all rows."""
    folder, stage = run.round(number), _stage("embed", number)
    model = own_extractor(number, config) or folder.checkpoint
    inputs = {
        "manifest": run.manifest,
        "checkpoint": model_file(model),
        "config": config.embed.model_dump(),
        "extractor": config.extractor.model_dump(exclude={"name"}),
        "precision": config.train.precision,
    }
    with stage_of(run, stage, inputs, [folder.embeddings]) as pending:
        if pending:
            manifest, progress = read_table(run.manifest, MANIFEST), board.stage(stage)
            embedded = embed_manifest(
                manifest, model, folder.embeddings, config, run_blocks=run_blocks, progress=progress
            )
            note_embedded(run, stage, embedded)


def analyze(run: RunFolder, number: int, config: PurifyConfig, *, embeddings: Location | None = None) -> None:
    """Embeddings + sub-centers -> ``verdicts.parquet`` and ``class_report.parquet`` of a round.

    All rows are judged under their given labels in every round. In round 1, the sub-centers are those of
    ``analyze.checkpoint``, or of the round's checkpoint if it made the embeddings and knows all labels; otherwise they
    are fitted to the embeddings. In later rounds they are those of the round's checkpoint, with the means of the
    labels that the round before removed altogether, and the rule knows which rows the round was not trained on.
    """
    folder = run.round(number)
    vectors = EmbeddingFiles(embeddings, config.embeddings) if embeddings else EmbeddingFiles(folder.embeddings)
    checkpoint = _judging_checkpoint(run, number, config, given_embeddings=embeddings is not None)
    inputs = {
        "manifest": run.manifest,
        **vectors.inputs(),
        "checkpoint": checkpoint / FILE_NAME if checkpoint else "projection",
        "config": config.analyze.model_dump(exclude={"checkpoint"}),
        "subcenters": config.train.subcenters,
        "seed": config.seed,
    }
    with stage_of(run, _stage("analyze", number), inputs, [folder.verdicts, folder.class_report]) as pending:
        if pending:
            manifest = read_table(run.manifest, MANIFEST)
            given = read_judging_inputs(manifest, vectors, config, checkpoint_folder=checkpoint, later_round=number > 1)
            analysis = analyze_samples(config=config.analyze, seed=config.seed, **vars(given))
            write_table(analysis.verdicts, folder.verdicts)
            write_table(analysis.class_report, folder.class_report)
            before = run.read_info().get("judged_by") if number > 1 else None
            run.update_info(judged_by=asdict(judging_rule(analysis, config.analyze.rule, before=before)))


def compare(run: RunFolder, number: int, config: PurifyConfig) -> RoundSummary:
    """Verdicts of a round and of the previous one -> ``changes.parquet``; returns a summary with the stop decision."""
    before, verdicts = run.round(number - 1).verdicts, run.round(number).verdicts
    changes = run.round(number).changes
    comparison = compare_rounds(number, read_table(before, VERDICTS), read_table(verdicts, VERDICTS), config.rounds)
    inputs = {"before": before, "verdicts": verdicts}
    with stage_of(run, _stage("compare", number), inputs, [changes]) as pending:
        if pending:
            write_table(comparison.changes, changes)
    return comparison.summary


def choose_faces(
    run: RunFolder, config: PurifyConfig, board: ProgressBoard = QUIET, *, run_blocks: RunBlocks = run_here
) -> bool:
    """Verdicts on aligned photos -> the faces that agree with their labels; returns whether the manifest changed."""
    return choose_agreeing(run, config, run_blocks=run_blocks, progress=board.stage("choose faces"))


def apply(run: RunFolder) -> None:
    """Verdicts, and the reviews of the run -> ``cleaned``, ``removed`` and ``labels`` tables."""
    manifest, reviews = read_table(run.manifest, MANIFEST), run.given_reviews
    inputs = {"manifest": run.manifest, "verdicts": run.verdicts} | ({"reviews": reviews} if reviews else {})
    with stage_of(run, "apply", inputs, [run.cleaned, run.removed, run.labels]) as pending:
        if pending:
            apply_files(manifest, run.verdicts, run.root, reviews=reviews)
    run.update_info(counts=run_counts(manifest, run.cleaned, run.removed, reviews=reviews))


def evaluate(
    run: RunFolder,
    models: Sequence[str],
    config: PurifyConfig,
    board: ProgressBoard = QUIET,
    *,
    images: Sequence[str],
) -> None:
    """Checkpoints + pairs -> ``evaluation.json``; checkpoints + files of protocols -> ``protocols.json``."""
    if not config.evaluate.compares:
        raise PurifyError("evaluate needs a pairs file, or a protocol and its files")
    if config.evaluate.protocols:
        _evaluate_protocols(run, models, config, board, images=images)
    if config.evaluate.pairs is None:
        return
    pairs, first = to_location(config.evaluate.pairs), run.round(1).training_table
    folders = {name: run.model(name) / "checkpoint" for name in models}
    inputs = {
        "manifest": first,  # images that the models have seen, without later ones
        "pairs": pairs,
        **{f"model-{name}": folder / FILE_NAME for name, folder in folders.items()},
        "config": config.evaluate.model_dump(exclude={"protocols", "data"}),
        "overlap": to_location(config.evaluate.overlap) / "people.parquet" if config.evaluate.overlap else None,
        "seed": config.seed,
        **({"align": config.align.model_dump(mode="json", exclude={"workers"})} if config.align.enabled else {}),
    }
    with stage_of(run, "evaluate", inputs, [run.evaluation]) as pending:
        if pending:
            roots = [to_location(root) for root in images]
            manifest, progress = train_rows(read_table(first, MANIFEST)), board.stage("evaluate")
            evaluate_models(folders, pairs, roots, manifest, config, run.evaluation, progress=progress)


def _evaluate_protocols(
    run: RunFolder, models: Sequence[str], config: PurifyConfig, board: ProgressBoard, *, images: Sequence[str]
) -> None:
    first, names = run.round(1).training_table, config.evaluate.protocols
    folders = {name: run.model(name) / "checkpoint" for name in models}
    places = [to_location(place) for place in config.evaluate.data]
    inputs = {
        "manifest": first,
        **{f"file-{number}": file for number, file in enumerate(protocol_files(names, places))},
        **{f"model-{name}": folder / FILE_NAME for name, folder in folders.items()},
        "config": config.evaluate.model_dump(exclude={"data"}),
        "seed": config.seed,
    }
    with stage_of(run, "protocols", inputs, [run.protocols]) as pending:
        if pending:
            evaluate_protocols(
                folders,
                names,
                places,
                config,
                run.protocols,
                images=[to_location(root) for root in images],
                manifest=train_rows(read_table(first, MANIFEST)),
                progress=board.stage("protocols"),
            )


def invert(run: RunFolder, config: PurifyConfig, board: ProgressBoard = QUIET) -> None:
    """A network of the run -> ``inversions``: the faces behind the sub-centers of the labels most worth a look."""
    number = run.read_info().get("rounds", [{"round": 1}])[-1]["round"]
    judging = _judging_checkpoint(run, number, config, given_embeddings=not run.round(number).embeddings.exists())
    request = run_request(run, judging, config)
    run.update_info(inversions={"skipped": NO_NETWORK if request is None else None})
    if request is None:
        return
    inputs = {"request": request.key(config), "version of labels": run.verdicts}
    outputs = [run.inversions / TABLE, run.inversions / GRID]
    with stage_of(run, "invert", inputs, outputs) as pending:
        if pending:
            replace_inversion(request, run.inversions, config, progress=board.stage("invert"))


def report(run: RunFolder) -> Path:
    """The run folder -> ``report.html``; always written anew."""
    note_figures(run)
    return write_report(run.root)


def note_figures(run: RunFolder) -> None:
    """Enter the seconds of the stages and the figures against the truth in ``run.json``."""
    manifest, verdicts = read_table(run.manifest, MANIFEST), read_table(run.verdicts, VERDICTS)
    truth = truth_figures(manifest, verdicts) or {}
    run.update_info(stages=stage_seconds(run), truth=truth)


def _rows_of(table: Path) -> int:
    with open_parquet(table) as file:
        return file.metadata.num_rows


def _judging_checkpoint(run: RunFolder, number: int, config: PurifyConfig, *, given_embeddings: bool) -> Path | None:
    """Folder of the checkpoint whose sub-centers judge a round; None: they are fitted to the embeddings."""
    if number > 1:
        return run.round(number).checkpoint
    if config.analyze.checkpoint is not None:
        return Path(config.analyze.checkpoint)
    trained = not given_embeddings and own_extractor(number, config) is None
    return known_head(run.round(number).checkpoint, run.manifest) if trained else None


def _stage(name: str, number: int) -> str:
    """Name of a stage in a round: without a suffix in round 1."""
    return name if number == 1 else f"{name}-round-{number}"
