"""Training tables of a run's models, kept while the data grow until the retraining rule applies."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from purify.config import PurifyConfig
from purify.pipeline.fingerprint import is_done, mark_done
from purify.pipeline.retraining import Because, TrainingDecision, TrainingState, angle_drift, decide, drifted, explain
from purify.pipeline.training_stage import training_table
from purify.pipeline.update_log import begin_update, note, note_table
from purify.storage.files import read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import ok_rows
from purify.tables.manifest_diff import changed_share, not_in, still_there
from purify.tables.schema import CLEANED, MANIFEST, VERDICTS


def settle_first_table(run: RunFolder, config: PurifyConfig, *, trained: bool) -> TrainingDecision:
    """Decide by the share of new images whether to train, and settle the table ``round-1/train.parquet``.

    Parameters
    ----------
    run
        A run with an up-to-date manifest.
    config
        Its section ``grow`` has the limits of the rule.
    trained
        Whether the models of the present table are trained.
    """
    table = run.round(1).training_table
    manifest = read_table(run.manifest, MANIFEST)
    before = read_table(table, MANIFEST) if table.exists() else None
    update, state = begin_update(run), _state(run, manifest, before, trained=trained)
    decision = decide(state, config.grow)
    goes_on = decision.because is state.unfinished
    why = update.why if goes_on else explain(decision.because, state, config.grow)
    if decision.choose:
        _choose(run, manifest, decision.because, why)
    elif not decision.train:
        new = state.new_images or 0
        share = round(new / state.images, 6)
        note(run, because=decision.because, why=why, new_since_training=new, new_share=share)
    return decision


def settle_by_drift(run: RunFolder, config: PurifyConfig) -> bool:
    """Decide by the angles of new images whether to train; True: the first training table was replaced."""
    manifest, before = read_table(run.manifest, MANIFEST), read_table(run.round(1).training_table, MANIFEST)
    new = not_in(ok_rows(manifest), ok_rows(before)).to_numpy(zero_copy_only=False)
    angles = read_table(run.round(1).verdicts, VERDICTS, columns=["angle_dominant"])["angle_dominant"].to_numpy()
    drift = angle_drift(angles, new, config.grow)
    note(run, drift_degrees=drift)
    if not drifted(drift, config.grow):
        return False
    why = f"the median angle of {new.sum()} new images is larger by {drift:.1f} degrees"
    _choose(run, manifest, Because.DRIFT, f"{why}, more than grow.drift_degrees = {config.grow.drift_degrees:g}")
    return True


def settle_table(run: RunFolder, model: str, rows: pa.Table, config: PurifyConfig, *, trained: bool) -> None:
    """Settle the training table of a later model: the present one, or `rows` (schema `CLEANED`).

    It is replaced after a training of the first round or a change of the configuration, if a larger share of rows
    than ``grow.retrain_share`` was added or removed (by reviews, too), and if an unfinished training lacks images.
    """
    table = training_table(run, model)
    inputs = {"first": run.round(1).training_table, "config": _deciding(config)}
    stage = f"table-{model}"
    if is_done(run, stage, inputs):
        before = read_table(table, CLEANED)
        worn = changed_share(before, rows) > config.grow.retrain_share
        usable = trained or still_there(before, ok_rows(read_table(run.manifest, MANIFEST)))
        if usable and not worn:
            return
    note_table(run, model)
    write_table(rows, table)
    mark_done(run, stage, inputs, [table])


def _state(run: RunFolder, manifest: pa.Table, before: pa.Table | None, *, trained: bool) -> TrainingState:
    rows, update = ok_rows(manifest), begin_update(run)
    return TrainingState(
        images=len(rows),
        new_images=None if before is None else _new_images(manifest, before),
        trained=trained,
        trainable=before is not None and still_there(ok_rows(before), rows),
        unfinished=update.because if update.trained else None,
        choosing=update.choosing,
    )


def _new_images(manifest: pa.Table, trained_on: pa.Table) -> int:
    return int(not_in(ok_rows(manifest), ok_rows(trained_on)).to_numpy(zero_copy_only=False).sum())


def _choose(run: RunFolder, manifest: pa.Table, because: Because, why: str) -> None:
    """Choose the present images for training; the reason is logged first, as it can't be derived from the new table."""
    note(run, choosing=True, trained=True, because=because, why=why, new_since_training=0, new_share=0.0)
    note_table(run, "round-1")
    write_table(manifest, run.round(1).training_table)
    note(run, choosing=False)


def _deciding(config: PurifyConfig) -> dict[str, Any]:
    """Settings that affect the selection of kept images."""
    sections = config.model_dump(mode="json", include={"seed", "model", "analyze", "rounds"})
    return sections | {"train": config.train.recipe(), "flip": config.embed.flip}
