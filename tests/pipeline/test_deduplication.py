"""Near duplicates are dropped on request when verdicts are applied, unless their pixels differ."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from purify.cli import main
from purify.config import IngestConfig
from purify.images.same_pixels import same_pixels
from purify.ingest.ingest import ingest
from purify.tables.schema import VERDICTS

Encode = Callable[..., bytes]


def picture(seed: int, size: int = 48) -> Image.Image:
    """A smooth random surface."""
    noise = Image.effect_noise((6, 6), 120)
    noise.putdata([(seed * 7919 + place * place * 104729 + seed * place) % 251 for place in range(36)])
    return noise.resize((size, size), Image.Resampling.BICUBIC).convert("RGB")


def encoded(image: Image.Image, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def test_copies_have_the_same_pixels_and_other_pictures_others() -> None:
    first = picture(1)
    assert same_pixels(encoded(first, quality=95), encoded(first, quality=40))
    assert same_pixels(encoded(first), encoded(first.resize((96, 96))))
    assert same_pixels(encoded(first), encoded(first.point(lambda value: value * 0.7)))
    assert not same_pixels(encoded(first), encoded(picture(2)))
    blank = Image.new("RGB", (48, 48))
    assert not same_pixels(encoded(first), encoded(blank))


@pytest.fixture
def judged(tmp_path: Path, write_tree: Callable[..., Path]) -> Path:
    """Of one person: an image, its copy of lower quality, a copy that is gone, another picture, an equal file."""
    first = picture(1)
    images = {
        "Ann/1.jpg": encoded(first, quality=95),
        "Ann/2.jpg": encoded(first, quality=60),
        "Ann/3.jpg": encoded(first, quality=50),
        "Ann/4.jpg": encoded(picture(2)),
        "Ann/5.jpg": encoded(first, quality=95),
    }
    root = write_tree(tmp_path / "faces", images)
    pq.write_table(ingest(root, [], IngestConfig()), tmp_path / "manifest.parquet")
    (root / "Ann/3.jpg").unlink()
    marked = {"reason": "near_duplicate_of", "evidence_ids": ["Ann/1.jpg"]}
    rows = [
        {"sample_id": name, "label": "Ann", "decision": "keep", "rule": "calibrated/4", "evidence_ids": []}
        | ({"reason": "near_dominant"} if name == "Ann/1.jpg" else marked)
        for name in images
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=VERDICTS), tmp_path / "verdicts.parquet")
    return tmp_path


def apply(folder: Path, *options: str) -> tuple[dict[str, int], str, list[str]]:
    arguments = ["apply", str(folder / "manifest.parquet"), "--verdicts", str(folder / "verdicts.parquet")]
    result = CliRunner().invoke(main, [*arguments, "--out", str(folder / "out"), "--json", *options])
    assert result.exit_code == 0, result.output
    kept = pq.read_table(folder / "out" / "cleaned.parquet")["sample_id"].to_pylist()
    return json.loads(result.stdout), result.stderr, kept


def test_duplicates_stay_unless_asked(judged: Path) -> None:
    counts, _, kept = apply(judged)
    assert len(kept) == 5
    assert "duplicates_dropped" not in counts


def test_duplicates_are_dropped_and_another_picture_stays(judged: Path) -> None:
    counts, warnings, kept = apply(judged, "--dedupe")
    assert kept == ["Ann/1.jpg", "Ann/4.jpg"]
    assert (counts["duplicates_dropped"], counts["duplicates_kept"], counts["duplicates_unchecked"]) == (3, 1, 1)
    assert counts["cleaned"] + counts["removed"] == counts["ok"] == 5
    assert "1 near duplicates (the first: Ann/3.jpg) were dropped by their embeddings alone" in warnings
    removed = pq.read_table(judged / "out" / "removed.parquet").to_pylist()
    assert {row["reason"] for row in removed} == {"near_duplicate_of"}
    assert {row["decision"] for row in removed} == {"drop"}


def test_a_review_keeps_a_duplicate(judged: Path) -> None:
    review = {"sample_id": "Ann/2.jpg", "decision": "keep", "reviewer": "eve", "at": "2026-01-01T00:00:00Z"}
    pq.write_table(pa.Table.from_pylist([review]), judged / "reviews.parquet")
    assert "Ann/2.jpg" in apply(judged, "--dedupe", "--reviews", str(judged / "reviews.parquet"))[2]
