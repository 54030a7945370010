"""Real photos, the faces cropped from them, one person forgotten: nothing of the two is left, wherever one looks."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.pipeline.forgetting import RECEIPTS
from purify.storage.run_folder import RunFolder
from purify.tables.reviews import update_reviews
from purify.tables.schema import REVIEWS
from tests.orchestration.person_traces import PERSON, Traces, files_in, pixels, purify_command, traces_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def _write_photos(archive: Path, folder: Path, people: int, most: int) -> None:
    """Photos of the people with the most of them, under invented names."""
    with tarfile.open(archive) as tar:
        photos = defaultdict(list)
        for member in tar:
            if member.isfile():
                photos[member.name.split("/")[1]].append(tar.extractfile(member).read())
    for number, found in enumerate(sorted(photos.values(), key=len, reverse=True)[:people]):
        (person := folder / (PERSON if number == 1 else f"p{number}")).mkdir(parents=True)
        for position, content in enumerate(found[:most]):
            (person / f"{position}.jpg").write_bytes(content)


def _pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.rglob("*.jpg")):
            tar.add(path, path.relative_to(folder).as_posix())


def _with_crops(traces: Traces, run: RunFolder, one: str) -> Traces:
    """The traces with the faces cropped from the person's photos, and from that of the sample `one`."""
    rows = [row for row in pq.read_table(run.manifest).to_pylist() if row["label"] == PERSON or row["sample_id"] == one]
    photos = {row["photo_sha256"] for row in rows}
    table = pq.read_table(run.crops / "faces.parquet").to_pylist()
    names = {row["crop"] for row in table if row["crop"] and photos & set(map(str, row.values()))}
    crops = []
    for shard in sorted(run.crops.glob("*.tar")):
        with tarfile.open(shard) as tar:
            crops += [tar.extractfile(member).read() for member in tar if f"{shard.name}/{member.name}" in names]
    assert len(crops) == len(names) >= len(rows)
    # Not their beginning: quantization and Huffman tables are those of all JPEGs of one quality.
    scans = [content[len(content) // 2 :][:64] for content in crops]
    keys = [name.rpartition("/")[2].rpartition("-")[0].encode() for name in names]
    pictures = np.concatenate([traces.pictures, np.stack([pixels(content) for content in crops])])
    return replace(traces, terms={**traces.terms, "crop": scans, "key": keys}, pictures=pictures)


def test_nothing_of_a_person_in_photos_is_found(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, home = tmp_path / "cache", Path(os.environ["PREFECT_HOME"])
    monkeypatch.setenv("PURIFY_CACHE", str(cache))
    source, run = tmp_path / "photos", RunFolder(tmp_path / "runs" / "trial")
    _write_photos(faces / "lfw_raw_sample.tar", source, people=6, most=4)
    _pack(source, tmp_path / "set.tar.gz")
    settings = ["--align", "--all-faces", "--extractor", "dlib", "--set", "retrain.enabled=false", "--rounds", "1"]
    purify_command("run-flow", tmp_path / "set.tar.gz", *settings, "--out", run.root.parent, "--name", "trial")
    ids = [row["sample_id"] for row in pq.read_table(run.manifest).to_pylist() if row["status"] == "ok"]
    hers = next(name for name in ids if name.startswith(PERSON))
    one, other = (next(name for name in ids if name.startswith(f"p{number}/")) for number in (3, 4))
    decisions = [[hers, other, one], ["drop", "relabel", "keep"], [None, PERSON, None], ["me"] * 3, [None] * 3]
    update_reviews(run.reviews, lambda _: pa.table(decisions, schema=REVIEWS))
    traces = _with_crops(traces_of(run, source, one), run, one)
    everywhere = traces.found_in(files_in(run.root, home, cache))
    assert everywhere.keys() == {"name", "id", "hash", "embedding", "picture", "crop", "key"}
    shutil.rmtree(source / PERSON)
    (source / one.partition("#")[0]).unlink()
    _pack(source, tmp_path / "set.tar.gz")
    purify_command("forget", PERSON, one, "--run", run.root)
    assert traces.found_in(files_in(run.root, home, cache)) == {}
    receipt = json.loads(next((run.root / RECEIPTS).iterdir()).read_text())
    assert receipt["rows"]["crops/faces.parquet"] >= 5
    assert receipt["cached_copies"] == 1  # the unpacked archive
    kept = pq.read_table(run.manifest)["sample_id"].to_pylist()
    assert kept == [name for name in ids if not name.startswith((PERSON, one)) and name != other]
