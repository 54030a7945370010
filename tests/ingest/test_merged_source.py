"""Several sources in one manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.ingest.merged_source import prefixes
from purify.storage.locations import Url

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture
def sources(tmp_path: Path, write_tree: Write, write_tar: Write, encode: Encode) -> list[Path]:
    web = write_tree(tmp_path / "web", {"train/Ann/1.png": encode(seed=1), "val/Bo/1.png": encode(seed=2)})
    tar = write_tar(tmp_path / "old.tar", {"Ann/1.png": encode(seed=3), "x.png": encode(seed=4)})
    (tmp_path / "t.csv").write_text("path,label,true_label\nweb/train/Ann/1.png,Ann,Bo\nweb/val/Bo/1.png,Bo,\n")
    return [web, tar, tmp_path / "t.csv"]


def _merge(sources: list[Path], config: IngestConfig, **changes: object) -> IngestConfig:
    return config.model_copy(update={"more": [str(source) for source in sources[1:]], **changes})


def test_each_source_has_its_prefix(sources: list[Path], config: IngestConfig) -> None:
    ingested = ingest_again(sources[0], [], _merge(sources, config), known=None)
    rows = {row["sample_id"]: row for row in ingested.manifest.to_pylist()}
    assert {sample_id: (row["label"], row["split"], row["status"]) for sample_id, row in rows.items()} == {
        "web/train/Ann/1.png": ("web/Ann", "train", "ok"),
        "web/val/Bo/1.png": ("web/Bo", "val", "ok"),
        "old/Ann/1.png": ("old/Ann", None, "ok"),
        "old/x.png": ("", None, "no_label"),
        "t/web/train/Ann/1.png": ("t/Ann", None, "ok"),
        "t/web/val/Bo/1.png": ("t/Bo", None, "ok"),
    }
    assert rows["t/web/train/Ann/1.png"]["true_label"] == "t/Bo"
    assert rows["t/web/val/Bo/1.png"]["true_label"] == ""
    assert ingested.warnings[0].startswith("old: 1 image lies in no label folder")


def test_equal_labels_are_one_person_only_on_request(sources: list[Path], config: IngestConfig) -> None:
    manifest = ingest(sources[0], [], _merge(sources, config, same_labels=True))
    assert manifest["label"].to_pylist() == ["Ann", "Bo", "Ann", "", "Ann", "Bo"]


def test_problems_of_all_sources_are_told_at_once(sources: list[Path], tmp_path: Path, config: IngestConfig) -> None:
    with pytest.raises(InputError, match=r"(?s)nowhere: no such file.*gone\.tar: no such file"):
        ingest(tmp_path / "nowhere", [], _merge([sources[0], tmp_path / "gone.tar", sources[0]], config))


def test_prefixes_are_names_numbered_if_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path / "faces")
    places = [
        Path("."),
        Path("/b/faces"),
        Path("/c/faces.tar.gz"),
        Url("s3", "b/faces"),
        Path("/w/ms1m-{000..012}.tar"),
    ]
    assert prefixes(places) == ["faces", "faces-2", "faces-3", "faces-4", "ms1m"]
    assert prefixes([Path("/w/{00..12}.tar")]) == ["w"]
