from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.errors import InputError
from purify.evaluation.unseen_pairs import exclude_training, join_folds
from purify.ingest.image_roots import ImageRoots
from purify.tables.pairs import Pairs, read_pairs

NAMES = [f"set/{person}/{person}_{i:04d}.jpg" for person in ("Ann_Lee", "Bo", "Cy") for i in (1, 2, 3)]
BOTH = "Bo\t1\t2\nBo\t1\tCy\t1\n"


def _file(tmp_path: Path, text: str, name: str = "pairs.txt") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_lfw_form_finds_the_folder_and_the_folds(tmp_path: Path) -> None:
    text = "2\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBo\t3\nBo\t1\t2\nBo\t2\tCy\t1\n"
    pairs = read_pairs(_file(tmp_path, text), NAMES)
    assert pairs.a == tuple(
        f"set/{n}" for n in ("Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee/Ann_Lee_0001.jpg", "Bo/Bo_0001.jpg", "Bo/Bo_0002.jpg")
    )
    assert pairs.b[3] == "set/Cy/Cy_0001.jpg"
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [0, 0, 1, 1]
    assert (pairs.file, pairs.given, pairs.missing) == ("pairs.txt", 4, 0)


@pytest.mark.parametrize("header", ["", "2\n", "\ufeff2\r\n"])
def test_development_forms_get_folds_with_both_kinds(tmp_path: Path, header: str) -> None:
    same = "Bo\t1\t2\nCy\t1\t2\n"
    different = "Bo\t1\tCy\t1\nBo\t1\tCy\t2\n"
    pairs = read_pairs(_file(tmp_path, header + same + different), NAMES)
    assert pairs.same.tolist() == [True, True, False, False]
    assert pairs.fold.tolist() == [0, 1, 0, 1]


def test_people_may_lie_in_the_root_itself(tmp_path: Path) -> None:
    names = [name.removeprefix("set/") for name in NAMES]
    for prefix in (None, "", "/"):
        assert read_pairs(_file(tmp_path, BOTH), names, prefix=prefix).a == ("Bo/Bo_0001.jpg",) * 2


def test_the_folder_with_the_most_pairs_is_taken_and_a_draw_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, BOTH)
    some = [*NAMES, "other/Bo/Bo_0001.jpg", "other/Bo/Bo_0002.jpg"]
    assert read_pairs(path, some).a == ("set/Bo/Bo_0001.jpg",) * 2
    all_twice = [*NAMES, *(name.replace("set/", "other/") for name in NAMES)]
    with pytest.raises(InputError, match=r"'other', 'set'.*pairs_prefix"):
        read_pairs(path, all_twice)
    assert read_pairs(path, all_twice, prefix="other/").a == ("other/Bo/Bo_0001.jpg",) * 2
    with pytest.raises(InputError, match=r"'nowhere'.*folders of that form: 'other', 'set'"):
        read_pairs(path, all_twice, prefix="nowhere")


def test_an_image_of_another_folder_does_not_stand_in_for_a_missing_one(tmp_path: Path) -> None:
    names = [name for name in NAMES if name != "set/Cy/Cy_0003.jpg"]
    pairs = read_pairs(_file(tmp_path, BOTH + "Cy\t1\t3\n"), [*names, "Cy/Cy_0003.jpg", "old/Cy/Cy_0003.jpg"])
    assert (len(pairs.a), pairs.missing) == (2, 1)


def test_of_two_formats_of_an_image_the_choice_does_not_depend_on_hashing(tmp_path: Path) -> None:
    path = _file(tmp_path, BOTH)
    names = [*NAMES, *(name.replace(".jpg", ".png") for name in NAMES)]
    code = (
        "from pathlib import Path; from purify.tables.pairs import read_pairs; "
        f"print(read_pairs(Path({str(path)!r}), {names}).a)"
    )
    answers = set()
    for seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        answers.add(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))
    assert answers == {"('set/Bo/Bo_0001.jpg', 'set/Bo/Bo_0001.jpg')\n"}


def test_pairs_without_images_are_counted(tmp_path: Path) -> None:
    pairs = read_pairs(_file(tmp_path, BOTH + "Bo\t1\t99\nDee\t1\tBo\t1\n"), NAMES)
    assert (len(pairs.a), pairs.given, pairs.missing) == (2, 4, 2)


@pytest.mark.parametrize("line", ["Bo\tone\t2", "Bo\t1", "Bo 1 Cy 2 Dee", "Bo\t-1\t2", "Bo\t1\t99999999999999999999"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match="line 2"):
        read_pairs(_file(tmp_path, f"Bo\t1\t2\n{line}\n"), NAMES)
    with pytest.raises(InputError, match="line 3"):
        read_pairs(_file(tmp_path, f"10\t300\nBo\t1\t2\n{line}\n"), NAMES)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="announces 2 folds of 1 same and 1 different pairs, but there are 2 pairs"):
        read_pairs(_file(tmp_path, "2\t1\n" + BOTH), NAMES)


def test_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pairs"):
        read_pairs(_file(tmp_path, "10\t300\n"), NAMES)
    with pytest.raises(InputError, match="no pairs"):
        read_pairs(_file(tmp_path, ""), NAMES)
    with pytest.raises(InputError, match=r"Dee/Dee_0001\.jpg, Dee/Dee_0002\.jpg \(in any folder\)"):
        read_pairs(_file(tmp_path, "Dee\t1\t2\n"), NAMES)
    with pytest.raises(InputError, match="no image root holds"):
        read_pairs(_file(tmp_path, BOTH), ["a.jpg", "x/b.jpg"])
    with pytest.raises(InputError, match="all 1 pairs with images are same pairs"):
        read_pairs(_file(tmp_path, "Bo\t1\t2\nBo\t1\tDee\t1\n"), NAMES)
    with pytest.raises(InputError, match="no such file"):
        read_pairs(tmp_path / "absent.txt", NAMES)
    (tmp_path / "binary.bin").write_bytes(b"\x80\x05\xff")
    with pytest.raises(InputError, match=r"neither LFW's text form"):
        read_pairs(tmp_path / "binary.bin", NAMES)


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    text = f"fold,a,b,same,note\n3,{NAMES[0]},{NAMES[1]},1,x\n4,{NAMES[0]},{NAMES[4]},False,\n"
    columns = {"a": [NAMES[0]] * 2, "b": [NAMES[1], NAMES[4]], "same": [True, False], "fold": [3, 4]}
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    for path in (_file(tmp_path, text, "pairs.csv"), _file(tmp_path, text, "PAIRS.CSV"), tmp_path / "pairs.parquet"):
        pairs = read_pairs(path, NAMES)
        assert pairs.same.tolist() == [True, False]
        assert pairs.fold.tolist() == [3, 4]
        assert pairs.person_b == ("Ann_Lee", "Bo")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"a,b,same\n{NAMES[0]},{NAMES[1]},maybe\n", r"row 1: same is 'maybe', expected 1/0"),
        ("a,b\nx,y\n", "missing column same"),
        (f"a,b,same,fold\n{NAMES[0]},{NAMES[1]},1,x\n", "row 1: fold is 'x'"),
        (f"a,b,same\n{NAMES[0]},{NAMES[1]},1\n{NAMES[0]},,0\n", "row 2: b is ''"),
        (f"a,b,same\n{NAMES[0]},{NAMES[1]}\n", "row 1 has 2 values, expected 3"),
        ("a,b,same\n", "no pairs"),
        ("", "no columns"),
        ('a,b,same\n"x', "damaged"),
        ("a,b,same\nx.jpg,y.jpg,1\n", r"none of its 1 pairs.*x\.jpg, y\.jpg"),
    ],
)
def test_a_bad_table_is_explained(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_pairs(_file(tmp_path, text, "bad.csv"), NAMES)


def test_a_bad_parquet_table_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"a": [1], "b": ["x"], "same": [True]}), path)
    with pytest.raises(InputError, match="row 1: a is 1, expected the name of an image"):
        read_pairs(path, NAMES)
    pq.write_table(pa.table({"a": ["x"], "b": ["x"], "same": pa.nulls(1, pa.bool_())}), path)
    with pytest.raises(InputError, match="row 1: same is None"):
        read_pairs(path, NAMES)
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_pairs(path, NAMES)


def _excludable(tmp_path: Path) -> Pairs:
    text = "Bo\t1\t2\nCy\t1\t2\nBo\t1\tCy\t1\nAnn_Lee\t1\tCy\t2\nAnn_Lee\t1\t2\nAnn_Lee\t1\t3\nCy\t1\tDee\t1\n"
    return read_pairs(_file(tmp_path, text), [*NAMES, "set/Dee/Dee_0001.jpg"])


def test_people_and_images_of_the_training_set_are_left_out(tmp_path: Path) -> None:
    pairs = _excludable(tmp_path)
    left, counts = exclude_training(pairs, sample_ids=["web/7.jpg"], labels=["Ann_Lee"])
    assert counts == {
        "file": "pairs.txt",
        "given": 7,
        "missing": 0,
        "excluded_identity": 3,
        "excluded_image": 0,
        "excluded_by": {"label": 3},
        "used": 4,
        "same": 2,
        "different": 2,
        "without_identity": 0,
        "folds": 2,
    }
    assert not any("Ann_Lee" in people for people in (left.person_a, left.person_b))
    assert len(left.a) == len(left.b) == len(left.same) == len(left.fold) == 4


def test_a_stranger_under_a_wrong_label_was_seen(tmp_path: Path) -> None:
    left, counts = exclude_training(_excludable(tmp_path), sample_ids=["set/Bo/Bo_0003.jpg"], labels=["Zed"])
    assert counts["excluded_identity"] == 2
    assert "Bo" not in {*left.person_a, *left.person_b}


def test_an_image_of_the_training_set_is_left_out(tmp_path: Path) -> None:
    pairs = _excludable(tmp_path)
    flat = replace(pairs, person_a=(None,) * 7, person_b=(None,) * 7)
    _, counts = exclude_training(flat, sample_ids=["set/Bo/Bo_0002.jpg"], labels=["Bo"])
    assert counts["excluded_by"] == {"path": 1, "link": 1}  # another pair has an image of the same person
    assert (counts["used"], counts["without_identity"]) == (5, 5)


def test_too_few_pairs_of_other_people_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs\.txt: of 7 pairs, 0 same and 0 different ones are left.*other people"):
        exclude_training(_excludable(tmp_path), sample_ids=[], labels=["Cy", "Bo", "Ann_Lee"])


def test_folds_are_made_anew_where_those_of_the_file_would_be_one(tmp_path: Path) -> None:
    one_fold = replace(_excludable(tmp_path), fold=np.zeros(7, dtype=np.int64))
    left, counts = exclude_training(one_fold, sample_ids=[], labels=[])
    assert counts["folds"] == 3
    assert all(len(set(left.same[left.fold == value])) == 2 for value in left.fold)


def test_images_without_a_folder_have_no_identity_to_compare(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(8)]
    rows = [(0, 1, 1), (2, 3, 0), (4, 5, 1), (6, 1, 0), (0, 7, 0)]
    text = "a,b,same\n" + "".join(f"{a}.jpg,{b}.jpg,{same}\n" for a, b, same in rows)
    pairs = read_pairs(_file(tmp_path, text, "flat.csv"), names)
    _, counts = exclude_training(pairs, sample_ids=["train.jpg", "7.jpg"], labels=["x"])
    assert (counts["excluded_identity"], counts["excluded_image"]) == (0, 1)
    assert (counts["used"], counts["without_identity"]) == (4, 4)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_joined_folds_have_both_kinds_and_keep_their_order(rows: list[tuple[int, bool]]) -> None:
    fold, same = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    joined = join_folds(fold, same)
    assert np.unique(joined).tolist() == list(range(joined.max() + 1))
    order = np.argsort(fold, kind="stable")
    assert (np.diff(joined[order]) >= 0).all()
    assert all(len(set(joined[fold == value])) == 1 for value in fold)
    if joined.max():
        assert all(len(set(same[joined == value])) == 2 for value in joined)


def test_whole_folds_stay_as_they_are() -> None:
    fold = np.repeat([0, 4, 9], 4)
    assert join_folds(fold, np.arange(12) % 2 == 0).tolist() == np.repeat([0, 1, 2], 4).tolist()


def test_the_real_file(faces: Path) -> None:
    names = list(ImageRoots([faces / "celebs112.tar", faces / "lfw112.tar"]).names())
    pairs = read_pairs(faces / "lfw_pairs.txt", names)
    assert (pairs.given, pairs.missing, int(pairs.same.sum())) == (6000, 0, 3000)
    assert np.bincount(pairs.fold).tolist() == [600] * 10
    assert all(pairs.same[pairs.fold == fold].sum() == 300 for fold in range(10))
    table = pq.read_table(faces / "noisy" / "mixed35.parquet", columns=["path", "label"])
    left, counts = exclude_training(
        pairs, sample_ids=table["path"].to_pylist(), labels=table["label"].unique().to_pylist()
    )
    assert (counts["used"], counts["same"], counts["different"]) == (3608, 1776, 1832)
    assert (
        counts["given"] == counts["missing"] + counts["excluded_identity"] + counts["excluded_image"] + counts["used"]
    )
    people = {*table["label"].to_pylist(), *(path.split("/")[1] for path in table["path"].to_pylist())}
    assert not people & {*left.person_a, *left.person_b}
