"""What the models are trained on, on the files of a run, without the flow; cut off at every point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from purify.config import PurifyConfig
from purify.pipeline import training_tables
from purify.pipeline.retraining import Because
from purify.pipeline.training_tables import settle_by_drift, settle_first_table, settle_table
from purify.pipeline.update_log import begin_update, finish_update, note_changes, read_update
from purify.storage.files import read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLEANED, MANIFEST, VERDICTS

CONFIG = PurifyConfig.model_validate({"grow": {"retrain_share": 0.25, "drift_degrees": 5, "drift_images": 2}})


def _manifest(names: Sequence[str]) -> pa.Table:
    rows = [{"sample_id": n, "uri": f"file:///{n}", "label": n[0], "sha256": n, "status": "ok"} for n in names]
    return pa.Table.from_pylist(rows, schema=MANIFEST)


def _take_in(run: RunFolder, names: Sequence[str]) -> None:
    begin_update(run)
    write_table(_manifest(names), run.manifest)


def _judge(run: RunFolder, names: Sequence[str], angles: Sequence[float]) -> None:
    rows = [
        {"sample_id": n, "label": n[0], "angle_dominant": a, "decision": "keep", "reason": "near_dominant", "rule": "r"}
        for n, a in zip(names, angles, strict=True)
    ]
    write_table(pa.Table.from_pylist(rows, schema=VERDICTS), run.round(1).verdicts)


def _finish(run: RunFolder) -> None:
    note_changes(run)
    finish_update(run)


def _table(run: RunFolder) -> list[str]:
    names: list[str] = read_table(run.round(1).training_table, MANIFEST)["sample_id"].to_pylist()
    return names


OLD = [f"{label}{k}" for label in "ab" for k in range(6)]
NEW = ["a6", "b6"]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A finished first run."""
    run = RunFolder(tmp_path / "run")
    _take_in(run, OLD)
    decision = settle_first_table(run, CONFIG, trained=False)
    assert (decision.because, _table(run)) == (Because.FIRST_TRAINING, OLD)
    _finish(run)
    return run


def test_few_new_images_keep_the_table(run: RunFolder) -> None:
    _take_in(run, OLD + NEW)
    assert not settle_first_table(run, CONFIG, trained=True).train
    assert _table(run) == OLD
    _finish(run)
    update = read_update(run)
    assert update is not None
    assert (update.update, update.new, update.new_since_training, update.because) == (2, 2, 2, Because.FEW_NEW)
    assert update.new_share == pytest.approx(2 / 14, abs=1e-6)
    assert update.trained_on == {"round-1": 1}
    _take_in(run, [*OLD, *NEW, "a7", "b7"])
    settle_first_table(run, CONFIG, trained=True)
    assert read_update(run).new_since_training == 4  # type: ignore[union-attr]


def test_many_new_images_are_a_new_table(run: RunFolder) -> None:
    names = [*OLD, *(f"c{k}" for k in range(5))]
    _take_in(run, names)
    assert settle_first_table(run, CONFIG, trained=True).because is Because.NEW_SHARE
    assert _table(run) == names
    again = settle_first_table(run, CONFIG, trained=False)
    assert (again.because, again.choose) == (Because.NEW_SHARE, False)


@pytest.mark.parametrize(("angle", "drifts"), [(54.0, False), (56.0, True)])
def test_drift_is_a_new_table(run: RunFolder, angle: float, drifts: bool) -> None:
    names = OLD + NEW
    _take_in(run, names)
    settle_first_table(run, CONFIG, trained=True)
    _judge(run, names, [50.0] * len(OLD) + [angle] * len(NEW))
    assert settle_by_drift(run, CONFIG) is drifts
    assert _table(run) == (names if drifts else OLD)
    update = read_update(run)
    assert update is not None
    assert update.drift_degrees == angle - 50
    assert update.because is (Because.DRIFT if drifts else Because.FEW_NEW)
    if drifts:
        assert update.why.startswith("the median angle of 2 new images is larger by 6.0 degrees")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("because", [Because.DRIFT, Because.CONFIGURATION, Because.NEW_SHARE])
def test_cut_off_while_it_chose_it_chooses_again(
    because: Because, after: bool, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after the table was written: the same table, for the same reason."""
    names = OLD + (NEW if because is not Because.NEW_SHARE else [f"c{k}" for k in range(5)])

    def choose() -> None:
        settle_first_table(run, CONFIG, trained=because is not Because.CONFIGURATION)
        if because is Because.DRIFT:
            settle_by_drift(run, CONFIG)

    def cut_off(table: pa.Table, path: Path) -> None:
        if after:
            write_table(table, path)
        raise KeyboardInterrupt

    _take_in(run, names)
    _judge(run, names, [50.0] * len(OLD) + [60.0] * (len(names) - len(OLD)))
    with monkeypatch.context() as patch:
        patch.setattr(training_tables, "write_table", cut_off)
        with pytest.raises(KeyboardInterrupt):
            choose()
    assert settle_first_table(run, CONFIG, trained=False).train
    assert _table(run) == names
    update = read_update(run)
    assert update is not None
    assert (update.because, update.trained, update.choosing) == (because, True, False)
    assert update.why


def test_a_training_whose_images_have_left_is_chosen_anew(run: RunFolder) -> None:
    _take_in(run, OLD[1:])
    assert not settle_first_table(run, CONFIG, trained=True).train
    assert settle_first_table(run, CONFIG, trained=False).because is Because.IMAGES_GONE
    assert _table(run) == OLD[1:]


def _settle(run: RunFolder, names: Sequence[str], config: PurifyConfig = CONFIG, *, trained: bool = True) -> list[str]:
    rows = _manifest(names).append_column("label_id", pa.array([0] * len(names), pa.int32()))
    rows = rows.append_column("given_label", rows["label"]).cast(CLEANED)
    table = run.training_table("purified")
    settle_table(run, "purified", rows, config, trained=trained)
    settled: list[str] = read_table(table, CLEANED)["sample_id"].to_pylist()
    return settled


def test_the_purified_table_is_kept_with_the_first_one(run: RunFolder) -> None:
    kept = OLD[:8]
    assert _settle(run, kept) == kept
    assert _settle(run, [*kept[1:], "a6"]) == kept
    assert _settle(run, kept[3:]) == kept[3:], "more than a quarter was removed, as by reviews"
    assert _settle(run, kept[3:] + NEW) == kept[3:] + NEW, "more than a quarter is new"
    stricter = CONFIG.model_copy(update={"analyze": CONFIG.analyze.model_copy(update={"rule": "official"})})
    assert _settle(run, [*kept[3:], "a6"], stricter) == [*kept[3:], "a6"]


def test_a_new_first_table_is_a_new_purified_one(run: RunFolder) -> None:
    assert _settle(run, OLD[:8]) == OLD[:8]
    _take_in(run, [*OLD, *(f"c{k}" for k in range(5))])
    settle_first_table(run, CONFIG, trained=True)
    assert _settle(run, OLD[:9]) == OLD[:9]


def test_an_untrained_purified_table_whose_images_left_is_chosen_anew(run: RunFolder) -> None:
    assert _settle(run, OLD) == OLD
    _take_in(run, OLD[1:])
    assert _settle(run, OLD[1:]) == OLD
    assert _settle(run, OLD[1:], trained=False) == OLD[1:]
