from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from PIL import Image

from purify.config import EvaluateConfig, IngestConfig
from purify.ingest.image_roots import ImageRoots
from purify.ingest.ingest import ingest
from purify.pipeline.model_comparison import usable_pairs
from purify.pipeline.seen_images import seen_in_training


def _photos(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in range(8):
        Image.new("RGB", (32, 32), (30 * i, 20, 90)).save(folder / f"{i}.png")


def _manifest(root: Path) -> pa.Table:
    """Images 0 to 3 of ``photos``, with ids of their own and codes as labels."""
    rows = "".join(f"id-{i},photos/{i}.png,m.0{i // 2}\n" for i in range(4))
    table = root / "t.csv"
    table.write_text("sample_id,path,label\n" + rows)
    return ingest(table, [root], IngestConfig())


def test_training_images_are_known_by_place_and_by_bytes(tmp_path: Path) -> None:
    _photos(tmp_path / "photos")
    manifest = _manifest(tmp_path)
    copies = tmp_path / "copies" / "m.09"
    copies.mkdir(parents=True)
    (copies / "x.png").write_bytes((tmp_path / "photos" / "1.png").read_bytes())
    (copies / "y.png").write_bytes((tmp_path / "photos" / "7.png").read_bytes())
    roots = ImageRoots([tmp_path])
    names = [f"photos/{i}.png" for i in range(8)] + ["copies/m.09/x.png", "copies/m.09/y.png", "none.png"]
    seen, people = seen_in_training(names, roots, manifest)
    assert seen == {*(f"photos/{i}.png" for i in range(4)), "copies/m.09/x.png"}
    assert people == {"m.09"}  # in `photos` are two people


def test_pairs_of_training_images_under_other_ids_are_left_out(tmp_path: Path) -> None:
    _photos(tmp_path / "photos")
    pairs = tmp_path / "pairs.csv"
    rows = [(0, 4, 1), (4, 5, 1), (4, 6, 0), (5, 6, 1), (5, 7, 0), (1, 7, 0)]
    pairs.write_text("a,b,same\n" + "".join(f"photos/{a}.png,photos/{b}.png,{same}\n" for a, b, same in rows))
    kept, counts = usable_pairs(pairs, ImageRoots([tmp_path]), _manifest(tmp_path), EvaluateConfig())
    assert (counts["excluded_image"], counts["used"]) == (2, 4)
    assert "photos/0.png" not in kept.a
