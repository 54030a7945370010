from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifier

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.image_roots import ImageRoots
from purify.ingest.ingest import ingest
from purify.tables.pairs import read_pairs
from purify_demo import DemoSet, DemoSpec, write_demo
from purify_demo.dataset import render
from purify_demo.plan import Kind, Picture, plan_held_out, plan_pairs, plan_set

SMALL = DemoSpec(
    identities=6, mean_images=8, fewest_images=6, most_images=12, broken=5, held_out=6, held_out_images=4, pairs=40
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoSet:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", seed=3, spec=SMALL)


def _digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_seed_decides_every_byte(demo: DemoSet, tmp_path: Path) -> None:
    assert _digest(write_demo(tmp_path / "again", seed=3, spec=SMALL).images) == _digest(demo.images)
    picture = plan_set(SMALL, 3)[0]
    assert render((picture, 3)) != render((picture, 4))


def test_a_set_is_drawn_once_and_nothing_is_overwritten(demo: DemoSet, tmp_path: Path) -> None:
    before = demo.table.stat().st_mtime_ns
    write_demo(demo.images, seed=3, spec=SMALL)
    assert demo.table.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="give another --out"):
        write_demo(demo.images, seed=4, spec=SMALL)
    assert list(demo.images.parent.iterdir()) == [demo.images]


def test_noise_is_as_asked_and_the_truth_says_so() -> None:
    spec = DemoSpec()
    pictures = plan_set(spec, 0)
    share = {kind: sum(p.kind is kind for p in pictures) / len(pictures) for kind in Kind}
    assert share[Kind.FLIP] == pytest.approx(spec.flips, abs=0.025)
    assert share[Kind.OUTLIER] == pytest.approx(spec.outliers, abs=0.025)
    assert share[Kind.NON_FACE] == pytest.approx(spec.non_faces, abs=0.015)
    assert sum(p.kind is Kind.BROKEN for p in pictures) == spec.broken
    assert len({p.path for p in pictures}) == len(pictures)
    labels = {p.label for p in pictures}
    assert len(labels) == spec.identities
    for p in pictures:
        right = p.kind in (Kind.CLEAN, Kind.NEAR_DUPLICATE)
        assert (p.true_label == p.label) == right
        assert (p.true_label == "") == (p.kind in (Kind.OUTLIER, Kind.NON_FACE, Kind.BROKEN))
        assert p.true_label in labels | {""}
    sizes = np.unique([p.label for p in pictures], return_counts=True)[1]
    assert sizes.max() > 2 * sizes.min()


def test_table_and_files_agree(demo: DemoSet) -> None:
    rows = pq.read_table(demo.table).to_pylist()
    assert {row["path"] for row in rows} == {f"images/{p.parent.name}/{p.name}" for p in demo.images.glob("images/*/*")}
    manifest = ingest(demo.table, [demo.images], IngestConfig()).to_pylist()
    broken = {row["path"] for row in rows if row["kind"] == "broken"}
    assert {row["sample_id"] for row in manifest if row["status"] != "ok"} == broken
    assert len({str(row["status_reason"]).split(":")[0] for row in manifest if row["status"] != "ok"}) >= 4


def test_pairs_are_of_people_without_a_label(demo: DemoSet) -> None:
    pairs = read_pairs(demo.pairs, ImageRoots([demo.images]).names())
    assert pairs.missing == 0
    assert all(name.startswith("verification/") for name in (*pairs.a, *pairs.b))
    assert [int(pairs.same[pairs.fold == fold].sum()) for fold in range(10)] == [2] * 10
    labelled = {p.person for p in plan_set(DemoSpec(), 0)}
    assert labelled.isdisjoint(p.person for p in plan_held_out(DemoSpec()))
    rows = list(plan_pairs(DemoSpec(), 0))
    assert len({(row["a"], row["b"]) for row in rows}) == len(rows) == 2000


def test_near_duplicates_are_near() -> None:
    pictures = plan_set(DemoSpec(), 0)
    duplicate = next(p for p in pictures if p.kind is Kind.NEAR_DUPLICATE)
    original = next(p for p in pictures if p.shot == duplicate.shot and p.kind is Kind.CLEAN)
    other = next(p for p in pictures if p.kind is Kind.CLEAN and p.person == original.person and p is not original)

    def pixels(picture: Picture) -> np.ndarray:
        image = Image.open(io.BytesIO(render((picture, 0)))).convert("L").resize((24, 24))
        return np.asarray(image, float)

    near, far = (np.abs(pixels(original) - pixels(p)).mean() for p in (duplicate, other))
    assert near < 20
    assert near < far / 1.5


def test_the_contact_sheet_shows_the_set(demo: DemoSet) -> None:
    with Image.open(demo.contact_sheet) as sheet:
        assert sheet.height == 72 * SMALL.identities
        assert np.asarray(sheet.convert("L")).std() > 30


@pytest.mark.slow
def test_a_linear_classifier_on_pixels_fails() -> None:
    """On right labels only, trained on 12 pictures a person, tested on 6 others; chance is 1 in 40."""
    people, train, test = 40, 12, 6
    pixels, person = [], []
    for i in range(people):
        for k in range(train + test):
            content = render((Picture("", "", "", Kind.CLEAN, i, 1000 * i + k), 0))
            image = Image.open(io.BytesIO(content)).convert("RGB").resize((32, 32), Image.Resampling.BOX)
            pixels.append(np.asarray(image, np.float32).ravel() / 255)
            person.append(i)
    x, y = np.array(pixels), np.array(person)
    held_out = np.arange(len(y)) % (train + test) >= train
    x = PCA(200, random_state=0).fit(x[~held_out]).transform(x)
    best = max(
        RidgeClassifier(alpha=alpha).fit(x[~held_out], y[~held_out]).score(x[held_out], y[held_out])
        for alpha in (10, 100, 1000)
    )
    assert best < 0.45
