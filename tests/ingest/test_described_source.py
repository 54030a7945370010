"""Images with a ``.json`` each that names the label, in any folders."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.storage.image_bytes import ImageByteReader

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture
def scrape(tmp_path: Path, write_tree: Write, encode: Encode) -> Path:
    """As img2dataset writes files: parts of a set, a description beside each image."""
    files = {}
    for number, person in enumerate(["Ann", "Bob", "Ann", 7]):
        key = f"{number // 2:05d}/{number:09d}"
        files[f"{key}.jpg"] = encode(seed=number)
        files[f"{key}.json"] = json.dumps({"caption": "a face", "who": {"name": person}}).encode()
        files[f"{key}.txt"] = b"a face"
    return write_tree(tmp_path / "scrape", files | {"00000_stats.json": b"{}"})


def asking(config: IngestConfig, field: str) -> IngestConfig:
    return config.model_copy(update={"label_field": field})


def test_the_label_is_the_field_asked_for(scrape: Path, config: IngestConfig) -> None:
    manifest = ingest(scrape, [], asking(config, "who.name"))
    assert manifest["sample_id"].to_pylist() == [f"{n // 2:05d}/{n:09d}.jpg" for n in range(4)]
    assert manifest["label"].to_pylist() == ["Ann", "Bob", "Ann", "7"]
    assert set(manifest["status"].to_pylist()) == {"ok"}


def test_an_archive_of_them_gives_the_same(scrape: Path, tmp_path: Path, config: IngestConfig) -> None:
    with zipfile.ZipFile(tmp_path / "scrape.zip", "w") as archive:
        for path in sorted(scrape.rglob("*.*")):
            archive.write(path, path.relative_to(scrape).as_posix())
    here, packed = (ingest(source, [], asking(config, "who.name")) for source in (scrape, tmp_path / "scrape.zip"))
    for column in ("sample_id", "label", "sha256", "status"):
        assert packed[column].to_pylist() == here[column].to_pylist()


def test_an_image_without_the_field_is_a_row_without_a_label(scrape: Path, config: IngestConfig) -> None:
    (scrape / "00000" / "000000001.json").write_text("{broken")
    (scrape / "00001" / "000000003.json").rename(scrape / "00001" / "000000003.jpg.json")
    (scrape / "00001" / "000000002.json").unlink()
    manifest = ingest(scrape, [], asking(config, "who.name"))
    assert manifest["label"].to_pylist() == ["Ann", "", "", "7"]
    assert manifest["status"].to_pylist() == ["ok", "no_label", "no_label", "ok"]


def test_a_field_that_no_description_has_is_refused_with_those_that_are_there(
    scrape: Path, config: IngestConfig
) -> None:
    with pytest.raises(InputError, match=r"has a field 'person' \(the first has the fields caption, who\)"):
        ingest(scrape, [], asking(config, "person"))
    for path in scrape.rglob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"none lies beside its image"):
        ingest(scrape, [], asking(config, "person"))


def test_folders_that_are_parts_rather_than_labels_are_said(scrape: Path, config: IngestConfig) -> None:
    found = ingest_again(scrape, [], config, known=None)
    assert found.warnings == (
        "the labels are the folders (00000, 00001); if the .json beside each image names the person, give its field by "
        "--label-field",
    )
    assert ingest_again(scrape, [], asking(config, "who.name"), known=None).warnings == ()


def test_a_description_that_can_not_be_read_is_none(
    scrape: Path, config: IngestConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ImageByteReader.read

    def read_but_one(reader: ImageByteReader, uri: str) -> bytes:
        if uri.endswith("000000002.json"):
            raise PermissionError(13, "denied")
        return read(reader, uri)

    monkeypatch.setattr(ImageByteReader, "read", read_but_one)
    manifest = ingest(scrape, [], asking(config, "who.name"))
    assert manifest["status"].to_pylist() == ["ok", "ok", "no_label", "ok"]


def test_the_usual_field_is_read_where_it_is_asked_for(scrape: Path, config: IngestConfig) -> None:
    for path in scrape.rglob("0*/*.json"):
        path.write_text(json.dumps({"label": f"of {path.stem[-1]}"}))
    assert ingest(scrape, [], asking(config, "label"))["label"].to_pylist() == ["of 0", "of 1", "of 2", "of 3"]
    assert ingest(scrape, [], config)["label"].to_pylist() == ["00000", "00000", "00001", "00001"]
