from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from purify.errors import InputError
from purify.evaluation.pairs import exclude_training, read_pairs
from purify.manifest.roots import ImageRoots

NAMES = [f"set/{person}/{person}_{i:04d}.jpg" for person in ("Ann_Lee", "Bo", "Cy") for i in (1, 2, 3)]


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
    assert (pairs.given, pairs.missing) == (4, 0)


def test_the_given_folder_wins_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    names = [*NAMES, "other/Bo/Bo_0001.jpg", "other/Bo/Bo_0002.jpg"]
    path = _file(tmp_path, "Bo\t1\t2\n")
    assert read_pairs(path, names).a == ("set/Bo/Bo_0001.jpg",)
    assert read_pairs(path, names, prefix="other").a == ("other/Bo/Bo_0001.jpg",)
    with pytest.raises(InputError, match="nowhere"):
        read_pairs(path, names, prefix="nowhere")


def test_pairs_without_images_are_counted(tmp_path: Path) -> None:
    pairs = read_pairs(_file(tmp_path, "Bo\t1\t2\nBo\t1\t99\nDee\t1\tBo\t1\n"), NAMES)
    assert (len(pairs.a), pairs.given, pairs.missing) == (1, 3, 2)


@pytest.mark.parametrize("text", ["Bo\t1\t2\nBo\tone\t2\n", "Bo\t1\t2\nBo\t1\n", "Bo\t1\t2\nBo 1 Cy 2 Dee\n"])
def test_a_malformed_line_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="line 2"):
        read_pairs(_file(tmp_path, text), NAMES)


def test_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pairs"):
        read_pairs(_file(tmp_path, "10\t300\n"), NAMES)
    with pytest.raises(InputError, match="none of its 1 pairs"):
        read_pairs(_file(tmp_path, "Dee\t1\t2\n"), NAMES)
    with pytest.raises(InputError, match="no image root holds"):
        read_pairs(_file(tmp_path, "Bo\t1\t2\n"), ["a.jpg", "x/b.jpg"])
    (tmp_path / "binary.bin").write_bytes(b"\x80\x05\xff")
    with pytest.raises(InputError, match=r"neither LFW's text form"):
        read_pairs(tmp_path / "binary.bin", NAMES)


def test_tables(tmp_path: Path) -> None:
    text = f"a,b,same,fold\n{NAMES[0]},{NAMES[1]},1,3\n{NAMES[0]},{NAMES[4]},false,4\n"
    pairs = read_pairs(_file(tmp_path, text, "pairs.csv"), NAMES)
    assert pairs.same.tolist() == [True, False]
    assert pairs.fold.tolist() == [3, 4]
    assert pairs.person_b == ("Ann_Lee", "Bo")
    with pytest.raises(InputError, match=r"row 1.*expected 1/0"):
        read_pairs(_file(tmp_path, f"a,b,same\n{NAMES[0]},{NAMES[1]},maybe\n", "bad.csv"), NAMES)
    with pytest.raises(InputError, match="missing column same"):
        read_pairs(_file(tmp_path, "a,b\nx,y\n", "short.csv"), NAMES)
    with pytest.raises(InputError, match=r"row 1.*fold"):
        read_pairs(_file(tmp_path, f"a,b,same,fold\n{NAMES[0]},{NAMES[1]},1,x\n", "fold.csv"), NAMES)


def test_people_and_images_of_the_training_set_are_left_out(tmp_path: Path) -> None:
    text = "Bo\t1\t2\nCy\t1\t2\nBo\t1\tCy\t1\nAnn_Lee\t1\tCy\t2\nAnn_Lee\t1\t2\nAnn_Lee\t1\t3\n"
    names = [*NAMES, "set/Dee/Dee_0001.jpg"]
    pairs = read_pairs(_file(tmp_path, text + "Cy\t1\tDee\t1\n"), names)
    left, counts = exclude_training(pairs, sample_ids=["web/7.jpg"], labels=["Ann_Lee"])
    assert counts == {
        "given": 7,
        "missing": 0,
        "excluded_identity": 3,
        "excluded_image": 0,
        "used": 4,
        "same": 2,
        "different": 2,
    }
    assert not any("Ann_Lee" in person for person in (*left.person_a, *left.person_b))
    # A stranger's face under a wrong label was seen as well: its folder names the person.
    _, counts = exclude_training(pairs, sample_ids=["set/Bo/Bo_0003.jpg"], labels=["Zed"])
    assert counts["excluded_identity"] == 2
    with pytest.raises(InputError, match="other people"):
        exclude_training(pairs, sample_ids=[], labels=["Cy", "Bo"])


def test_the_real_file(faces: Path) -> None:
    roots = ImageRoots([faces / "celebs112.tar", faces / "lfw112.tar"])
    pairs = read_pairs(faces / "lfw_pairs.txt", roots.names())
    assert (pairs.given, pairs.missing, int(pairs.same.sum())) == (6000, 0, 3000)
    assert np.bincount(pairs.fold).tolist() == [600] * 10
    assert all(pairs.same[pairs.fold == fold].sum() == 300 for fold in range(10))
