from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from purify.config import EvaluateConfig, IngestConfig
from purify.errors import InputError
from purify.ingest.image_roots import ImageRoots
from purify.ingest.ingest import ingest
from purify.pipeline.model_comparison import usable_pairs
from purify.pipeline.seen_images import seen_in_training
from purify.storage.files import write_table
from purify.tables.schema import SHARED_PEOPLE, SHARED_PICTURES


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
    with Image.open(tmp_path / "photos" / "2.png") as image:
        image.save(copies / "z.bmp")
    roots = ImageRoots([tmp_path])
    names = [f"photos/{i}.png" for i in range(8)] + [f"copies/m.09/{name}" for name in ("x.png", "y.png", "z.bmp")]
    seen = seen_in_training([*names, "none.png"], roots, manifest)
    assert seen == {
        **{f"photos/{i}.png": "uri" for i in range(4)},
        "copies/m.09/x.png": "bytes",
        "copies/m.09/z.bmp": "pixels",
    }
    assert "copies/m.09/z.bmp" not in seen_in_training(names, roots, manifest, pixels=False)


def _pairs(root: Path, rows: list[tuple[str, str, int]]) -> Path:
    path = root / "pairs.csv"
    path.write_text("a,b,same\n" + "".join(f"{a},{b},{same}\n" for a, b, same in rows))
    return path


def test_pairs_of_training_images_under_other_ids_are_left_out(tmp_path: Path) -> None:
    _photos(tmp_path / "photos")
    rows = [(0, 4, 0), (4, 5, 1), (4, 6, 0), (6, 7, 1), (5, 7, 0), (1, 7, 0)]
    pairs = _pairs(tmp_path, [(f"photos/{a}.png", f"photos/{b}.png", same) for a, b, same in rows])
    kept, counts = usable_pairs(pairs, ImageRoots([tmp_path]), _manifest(tmp_path), EvaluateConfig())
    assert (counts["excluded_image"], counts["used"]) == (2, 4)
    assert counts["excluded_by"] == {"uri": 2}
    assert counts["pixels_compared"]
    assert "photos/0.png" not in kept.a


def test_copies_and_their_people_are_left_out_whatever_they_are_called(tmp_path: Path) -> None:
    _photos(tmp_path / "photos")
    manifest = _manifest(tmp_path)
    test = tmp_path / "test"
    for person in "abcdef":
        (test / person).mkdir(parents=True)
        for i in range(2):
            color = (10 * i, 200, 20 * "abcdef".index(person))
            Image.new("RGB", (32, 32), color).save(test / person / f"{i}.png")
    (test / "a" / "0.png").write_bytes((tmp_path / "photos" / "0.png").read_bytes())
    with Image.open(tmp_path / "photos" / "2.png") as image:
        image.save(test / "b" / "0.bmp")
    rows = [(f"{p}/0.png", f"{p}/1.png", 1) for p in "acdef"] + [("b/0.bmp", "b/1.png", 1)]
    rows += [(f"{p}/1.png", f"{q}/1.png", 0) for p, q in ("ab", "cd", "ef", "ce", "df", "bc")]
    roots = ImageRoots([test])
    kept, counts = usable_pairs(_pairs(tmp_path, rows), roots, manifest, EvaluateConfig())
    assert counts["excluded_by"] == {"bytes": 1, "pixels": 1, "link": 2}
    assert counts["used"] == 8
    assert not {"a", "b"} & {*kept.person_a, *kept.person_b}

    overlap = tmp_path / "overlap"
    person = dict.fromkeys(SHARED_PEOPLE.names) | {"label_a": "m.01", "label_b": "c", "n_a": 2, "n_b": 2}
    person |= {"score": 1.0, "cosine": 0.9, "expected_false": 0.0, "mutual": True, "same_pictures": 0}
    write_table(pa.Table.from_pylist([person], schema=SHARED_PEOPLE), overlap / "people.parquet")
    write_table(SHARED_PICTURES.empty_table(), overlap / "pictures.parquet")
    by_face = EvaluateConfig(overlap=str(overlap))
    kept, counts = usable_pairs(_pairs(tmp_path, rows), roots, manifest, by_face)
    assert counts["excluded_by"] == {"bytes": 1, "pixels": 1, "link": 2, "face": 3}
    assert "c" not in {*kept.person_a, *kept.person_b}
    with pytest.raises(InputError, match="give the folder that `purify overlap` has written"):
        usable_pairs(_pairs(tmp_path, rows), roots, manifest, EvaluateConfig(overlap=str(tmp_path / "none")))
