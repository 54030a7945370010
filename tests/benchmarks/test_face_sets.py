"""Scenarios drawn from a tar of faces: what is shown under a label, and what covers it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import covered, series
from benchmarks.face_sets import Faces, Noise
from tests.tar_files import write_tar


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    """Nine people of ten images, each of a color of the person's own, and twenty of one image."""
    counts = {f"many{person}": 10 for person in range(9)} | {f"one{person:02d}": 1 for person in range(20)}
    members = {}
    for number, (person, count) in enumerate(counts.items()):
        for image in range(count):
            path = tmp_path / f"{person}-{image}.png"
            Image.new("RGB", (112, 112), (8 * number, 200, 10 * image)).save(path)
            members[f"faces/{person}/{image}.png"] = path.read_bytes()
    write_tar(tmp_path / "faces.tar", members)
    return Faces.open(tmp_path / "faces.tar")


def test_noise_names_what_it_shows(faces: Faces) -> None:
    people = faces.people(10, 10, np.random.default_rng(0))
    assert sorted(people) == [f"many{person}" for person in range(9)]
    noise = Noise(faces, people, np.random.default_rng(1))
    shown = [(label, noise.shown(label, member)) for label in people for member in faces.of[label]]
    kinds = {kind: sum(one.kind == kind for _, one in shown) for kind in ("clean", "flip", "outlier")}
    assert kinds["clean"] > 60
    assert kinds["flip"] > 3
    assert kinds["outlier"] > 2
    for label, one in shown:
        person = one.member.name.split("/")[1]
        assert one.true == ("" if one.kind == "outlier" else person)
        assert (person == label) is (one.kind == "clean")
        assert person.startswith("one") is (one.kind == "outlier")


@pytest.mark.parametrize(("name", "rows"), [("mask", slice(52, 112)), ("glasses", slice(30, 70))])
def test_a_cover_hides_its_part_of_the_face_alone(name: str, rows: slice) -> None:
    face = Image.new("RGB", (112, 112), (90, 200, 50))
    before = np.asarray(face).copy()
    after = np.asarray(covered._COVERS[name](face, np.random.default_rng(0)))
    changed = (before != after).any(axis=2)
    assert 0.1 < changed.mean() < 0.5
    assert not np.delete(changed, np.r_[rows], axis=0).any()


def test_a_sketch_is_gray_with_dark_edges() -> None:
    face = Image.new("RGB", (112, 112), (90, 200, 50))
    face.paste((20, 30, 160), (30, 30, 80, 80))
    drawn = np.asarray(covered.sketch(face, np.random.default_rng(0)))
    assert (drawn == drawn[:, :, :1]).all()
    assert drawn[5, 5, 0] > 240  # plain parts are as white as paper
    assert drawn[28:34, 55].min() < 200


def test_scenarios_are_the_same_for_the_same_seed(faces: Faces, tmp_path: Path) -> None:
    first, again = (covered.draw(faces, "glasses", tmp_path / name, 3) for name in ("first", "again"))
    assert first.equals(again)
    assert first.num_rows == 90
    path = first["path"][0].as_py()
    assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "again" / path).read_bytes()


def test_a_series_is_wrong_as_a_whole(faces: Faces, tmp_path: Path) -> None:
    table = series.draw(faces, "series", tmp_path, 0).to_pandas()
    table["series"] = table["path"].str.rsplit("-", n=1).str[0]
    assert table.groupby("series")["kind"].nunique().max() == 1
    assert table.groupby("series").size().between(4, 15).all()
    assert table["kind"].nunique() == 3
