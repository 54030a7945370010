"""What tables refuse, name and add, row by row."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.errors import InputError
from purify.tables.apply import judged_rows
from purify.tables.decision_diff import compare_decisions
from purify.tables.image_lists import read_listed_people, read_masked_pairs
from purify.tables.list_files import read_list
from purify.tables.reviews import read_reviews, update_reviews
from purify.tables.schema import MANIFEST, REVIEWS, VERDICTS
from purify.tables.template_files import read_face_points, read_template_images
from purify.tables.user_tables import read_samples
from purify.tables.verification_bins import read_bin


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_a_manifest_in_the_order_of_verdicts() -> None:
    manifest = pa.Table.from_pylist([{"sample_id": name, "label": name} for name in "abc"], schema=MANIFEST)
    verdicts = pa.Table.from_pylist([{"sample_id": name} for name in "cxa"], schema=VERDICTS)
    assert judged_rows(manifest, verdicts)["label"].to_pylist() == ["c", None, "a"]


def test_people_of_a_list_are_its_folders(tmp_path: Path) -> None:
    names, people = read_listed_people(_write(tmp_path / "l", "A/Ann/1.jpg\nA/Bo/1.jpg\nA/Ann/2.jpg\n"))
    assert names == ["A/Ann/1.jpg", "A/Bo/1.jpg", "A/Ann/2.jpg"]
    assert people == ["Ann", "Bo", "Ann"]
    with pytest.raises(InputError, match=r"2\.jpg: no folder tells"):
        read_listed_people(_write(tmp_path / "l", "A/1.jpg\n2.jpg\n3.jpg\n"))
    with pytest.raises(InputError, match=r"B/1\.jpg: listed twice"):
        read_listed_people(_write(tmp_path / "l", "A/1.jpg\nB/1.jpg\nC/1.jpg\nB/1.jpg\nC/1.jpg\n"))


def test_masked_pairs_row_by_row(tmp_path: Path) -> None:
    found = read_masked_pairs(_write(tmp_path / "p", "a.jpg b.jpg 1\n\nc.jpg d.jpg 0\n"))
    assert (list(found.a), list(found.b)) == (["a.jpg", "c.jpg"], ["b.jpg", "d.jpg"])
    assert list(found.same) == [True, False]
    with pytest.raises(InputError, match="line 1"):
        read_masked_pairs(_write(tmp_path / "p", "a.jpg b.jpg 2\n"))
    with pytest.raises(InputError, match="no pairs"):
        read_masked_pairs(_write(tmp_path / "p", "# none\n"))


def test_a_line_that_is_no_csv_is_a_path(tmp_path: Path) -> None:
    name = "a" * 200_000
    found = read_list(_write(tmp_path / "l.txt", f'x,1\n"{name}", 2\n'), lambda paths: sum(p == "x" for p in paths))
    assert found.paths[0] == "x"
    assert list(found.labels) == ["1", None]


def review(sample_id: str) -> pa.Table:
    return pa.Table.from_pylist([{"sample_id": sample_id, "decision": "keep"}], schema=REVIEWS)


def test_reviews_are_changed_in_place_or_begun(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "reviews.parquet"
    begun = update_reviews(path, lambda table: pa.concat_tables([table, review("a")]))
    assert begun["sample_id"].to_pylist() == ["a"]
    again = update_reviews(path, lambda table: pa.concat_tables([table, review("b")]))
    assert again["sample_id"].to_pylist() == read_reviews(path)["sample_id"].to_pylist() == ["a", "b"]


def test_a_missing_number_is_named_by_its_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 2 lacks a number"):
        read_template_images(_write(tmp_path / "a.txt", "1.jpg 5 7\n2.jpg  7\n"))
    points = "1 2 3 4 5 6 7 8 9 10"
    with pytest.raises(InputError, match="row 3: a point or the score is missing or not finite"):
        read_face_points(_write(tmp_path / "c.txt", f"a {points} 1\nb {points} 1\nc {points} nan\n"))


def test_a_repeated_id_is_named_with_both_rows(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "path,label\na,x\nb,x\nc,x\nb,y\nc,z\n")
    with pytest.raises(InputError, match="row 4: b is in row 2 already"):
        read_samples(path)


@pytest.mark.parametrize(("shape", "accepted"), [((4, 5, 3), True), ((4, 5, 4), False), ((4, 5), False)])
def test_pixels_of_a_bin_are_rgb(tmp_path: Path, shape: tuple[int, ...], accepted: bool) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(([pixels, b"image"], [1])))
    if accepted:
        found = read_bin(path)
        assert isinstance(found.images[0], np.ndarray)
        np.testing.assert_array_equal(found.images[0], pixels)
        assert found.images[1] == b"image"
        assert found.same.tolist() == [True]
    else:
        with pytest.raises(InputError, match="image 0 is an array"):
            read_bin(path)


def test_columns_of_a_parquet_table_under_two_names(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"path": ["p", "q"], "sample_id": ["a", "b"], "label": [1, 2], "split": ["x", "y"]}), path)
    found = read_samples(path, optional=("split", "kind"))
    assert found.to_pylist() == [
        {"sample_id": "a", "label": "1", "split": "x"},
        {"sample_id": "b", "label": "2", "split": "y"},
    ]
    renamed = read_samples(path, columns={"sample_id": "path", "label": "split"})
    assert renamed.to_pylist() == [{"sample_id": "p", "label": "x"}, {"sample_id": "q", "label": "y"}]


def test_decisions_on_fewer_images_are_not_compared() -> None:
    def verdicts(names: str) -> pa.Table:
        rows = [{"sample_id": name, "label": "x", "decision": "keep"} for name in names]
        return pa.Table.from_pylist(rows, schema=VERDICTS)

    for one, other in (("ab", "abc"), ("abc", "ab"), ("ab", "ac")):
        with pytest.raises(InputError, match="on different images"):
            compare_decisions(verdicts(one), verdicts(other))
    assert compare_decisions(verdicts("ab"), verdicts("ba")).counts["both_keep"] == 2
