"""Splits of a source: all rows are judged, final models are trained on the train split."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from purify.storage.files import read_table, write_table
from purify.tables.schema import CLEANED, MANIFEST
from purify.training.training_set import TrainingSet


def _table(splits: list[str | None]) -> pa.Table:
    rows = [
        {
            "sample_id": f"{number}",
            "uri": f"file:///{number}",
            "label": "ab"[number % 2],
            "split": split,
            "status": "ok",
        }
        for number, split in enumerate(splits)
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST)


def test_a_final_model_learns_from_the_train_split_and_a_judging_one_from_all(tmp_path: Path) -> None:
    write_table(_table(["train", "train", "val", "test", None]), tmp_path / "m.parquet")
    assert TrainingSet.read(tmp_path / "m.parquet", final=True).sample_ids == ["0", "1", "4"]
    assert TrainingSet.read(tmp_path / "m.parquet").sample_ids == ["0", "1", "2", "3", "4"]
    write_table(_table(["test", "test"]), tmp_path / "one.parquet")
    assert TrainingSet.read(tmp_path / "one.parquet", final=True).sample_ids == ["0", "1"]


def test_tables_of_an_earlier_version_have_no_splits(tmp_path: Path) -> None:
    table = _table([None, None])
    write_table(table.drop_columns(["split"]), tmp_path / "m.parquet")
    assert read_table(tmp_path / "m.parquet", MANIFEST).equals(table)
    cleaned = table.append_column("label_id", pa.array([0, 1], pa.int32())).append_column("given_label", table["label"])
    write_table(cleaned.drop_columns(["split"]).replace_schema_metadata(CLEANED.metadata), tmp_path / "c.parquet")
    assert read_table(tmp_path / "c.parquet", CLEANED)["split"].null_count == 2
    assert TrainingSet.read(tmp_path / "c.parquet", final=True).labels == ("a", "b")
