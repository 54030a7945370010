"""Nothing of a forgotten person is left in any file of a run."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from purify.errors import InputError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from purify.models.heads import Margin, SubcenterHead
from purify.pipeline.forgetting import RECEIPTS, foreign_files, forget
from purify.pipeline.run import run as purify_run
from purify.storage.files import read_json, read_table
from purify.storage.integrity import find_all_damage
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import update_reviews
from purify.tables.schema import MANIFEST, REVIEWS, VERDICTS
from tests.small_run import CONFIG, draw_source, update

PERSON = "Berta_Quark"


def _traces(root: Path, terms: list[str]) -> list[tuple[str, str]]:
    """Files that hold one of the terms, as bytes or in a table."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
            found += [(path.relative_to(root).as_posix(), term) for term in terms if term.encode() in content]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source with a person of that name, and a run on it with reviews, an update and a model."""
    source = draw_source(tmp_path, people=5, images=6)
    (source / "p1").rename(source / PERSON)
    table = pq.read_table(tmp_path / "embeddings.parquet")
    ids = [name.replace("p1/", f"{PERSON}/") for name in table["path"].to_pylist()]
    pq.write_table(table.set_column(0, "path", pa.array(ids)), tmp_path / "embeddings.parquet")
    run = update(tmp_path)
    rows: list[list[Any]] = [
        [f"{PERSON}/0.png", "p0/1.png", "p2/0.png"],
        ["drop", "relabel", "keep"],
        [None, PERSON, None],
        ["me"] * 3,
        [None] * 3,
    ]
    update_reviews(run.reviews, lambda _: pa.table(rows, schema=REVIEWS))
    shutil.copytree(tmp_path / "later" / "p3", source / "p3", dirs_exist_ok=True)
    update(tmp_path)
    _save_model(run.round(1).checkpoint)
    return tmp_path


def _save_model(folder: Path) -> None:
    backbone, head = (
        build_backbone("iresnet_small", embedding_dim=16, input_size=32),
        SubcenterHead(5, 16, subcenters=2, scale=64.0, margin=Margin()),
    )
    labels = (PERSON, "p0", "p2", "p3", "p4")
    save_checkpoint(
        folder, Checkpoint.of(backbone, head, backbone_name="iresnet_small", input_size=32, labels=labels, extra={})
    )


def test_a_forgotten_person_leaves_no_trace_in_the_run(folder: Path) -> None:
    run = RunFolder(folder / "run")
    rows = [row for row in read_table(run.manifest, MANIFEST).to_pylist() if row["label"] == PERSON]
    terms = [PERSON, *(row["sha256"] for row in rows), "p0/1.png"]  # the last: a person says that it shows her
    before = load_checkpoint(run.round(1).checkpoint)
    assert len({name for name, term in _traces(run.root, [PERSON])}) > 8
    receipt = forget(run.root, [PERSON])
    assert _traces(run.root, terms) == []
    assert (receipt.images, receipt.people, receipt.still_in_source) == (7, 1, 7)
    assert receipt.models_trained_on_them == ("round-1",)
    assert read_json(next((run.root / RECEIPTS).iterdir()))["images"] == 7
    after = load_checkpoint(run.round(1).checkpoint)
    assert after.labels == before.labels[1:]
    assert torch.equal(after.head_weight, before.head_weight[1:])
    assert len(read_table(run.verdicts, VERDICTS)) == 24
    assert find_all_damage(run.root) == []


def test_single_images_are_forgotten_by_their_ids(folder: Path) -> None:
    run = RunFolder(folder / "run")
    receipt = forget(run.root, ["p0/0.png", "p2/3.png"])
    assert (receipt.images, receipt.people) == (2, 0)
    assert _traces(run.root, ["p0/0.png", "p2/3.png"]) == []
    assert PERSON in read_table(run.manifest, MANIFEST)["label"].to_pylist()


def test_what_is_gone_from_the_source_does_not_come_back(folder: Path) -> None:
    run = RunFolder(folder / "run")
    shutil.rmtree(folder / "source" / PERSON)
    assert forget(run.root, [PERSON]).still_in_source == 1  # the image that a review gave to her
    (folder / "source" / "p0" / "1.png").unlink()
    (run.round(1).checkpoint / FILE_NAME).unlink()
    update(folder)
    assert _traces(run.root, [PERSON, "p0/1.png"]) == []


def test_the_unpacked_copy_of_an_archive_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PURIFY_CACHE", str(tmp_path / "cache"))
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        for folder in draw_source(tmp_path, people=5, images=6).iterdir():
            archive.add(folder, folder.name)
    run = purify_run(
        tmp_path / "set.tar.gz", tmp_path / "run", CONFIG, embeddings=tmp_path / "embeddings.parquet", progress=False
    ).folder
    assert len(list((tmp_path / "cache").rglob("*.tar"))) == 1
    first = read_table(run.manifest, MANIFEST)["sample_id"][0].as_py()
    assert forget(run.root, [first]).cached_copies == 1
    assert list((tmp_path / "cache").rglob("*.tar")) == []


def test_files_of_others_in_the_run_folder_are_named(folder: Path) -> None:
    run = RunFolder(folder / "run")
    assert foreign_files(run.root) == []
    (run.root / "export").mkdir()
    (run.root / "export" / "list.csv").write_text(f"{PERSON}/0.png\n")
    assert foreign_files(run.root) == ["export/list.csv"]


def test_an_unknown_name_changes_nothing(folder: Path) -> None:
    run = RunFolder(folder / "run")
    before = run.manifest.read_bytes()
    with pytest.raises(InputError, match=r"knows no person and no image 'Berta_Quirk'; did you mean 'Berta_Quark'"):
        forget(run.root, ["Berta_Quirk"])
    assert run.manifest.read_bytes() == before
