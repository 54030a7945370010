"""People and pictures in two sets: drawn ones, and Labeled Faces in the Wild against web faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from purify.analysis.identities.shared_people import LabeledSet, SharedPeople, find_shared_people
from purify.analysis.identities.shared_pictures import find_shared_pictures
from purify.analysis.identities.stranger_tail import StrangerTail, sure_pairs
from purify.analysis.search import flat_index, unit
from purify.analysis.threaded_search import search_blocks
from purify.errors import InputError

DIM = 48
SPREAD = 0.1


def draw(people: Sequence[int], images: Sequence[int], seed: int, spread: float = SPREAD) -> LabeledSet:
    """A set with a label for each of the `people`, who look the same in every set."""
    faces = np.random.default_rng(0).normal(size=(2000, DIM)) / np.sqrt(DIM)
    label = np.repeat(np.arange(len(people)), images)
    noise = spread * np.random.default_rng(seed).normal(size=(len(label), DIM))
    return LabeledSet((faces[np.asarray(people)[label]] + noise).astype(np.float32), label)


def found_in(shared: SharedPeople) -> set[tuple[int, int]]:
    return set(zip(shared.a.tolist(), shared.b.tolist(), strict=True))


def test_shared_people_are_found_also_with_one_image() -> None:
    sizes = np.random.default_rng(3).integers(1, 9, 400)
    sizes[280:284] = sizes[300:302] = 1
    a = draw(range(300), sizes[:300].tolist(), seed=1)
    b = draw(range(280, 380), sizes[300:].tolist(), seed=2)
    shared = find_shared_people(a, b)
    truth = {(280 + i, i) for i in range(20)}
    assert found_in(shared) == truth
    assert shared.comparisons == 300 * 100
    assert (np.diff(shared.score) <= 0).all()
    assert shared.expected_false[-1] <= 0.01 * len(shared.a)
    assert shared.thresholds == (shared.score[-1], None)
    assert shared.mutual.all()


def test_evidence_is_of_the_two_labels() -> None:
    a, b = draw(range(40), [5] * 40, seed=1), draw(range(30, 60), [2] * 30, seed=2)
    shared = find_shared_people(a, b)
    assert len(shared.a) == 10
    for left, right, (rows_a, rows_b) in zip(shared.a, shared.b, shared.evidence, strict=True):
        assert set(a.label_index[rows_a]) == {left}
        assert set(b.label_index[rows_b]) == {right}
        assert len(set(rows_a)) == len(set(rows_b)) == 2


def test_sets_of_different_people_share_nobody() -> None:
    for seed in range(5):
        a, b = draw(range(200), [3] * 200, seed=seed), draw(range(200, 500), [3] * 300, seed=seed + 50)
        shared = find_shared_people(a, b)
        assert len(shared.a) == 0
        assert shared.thresholds == (None, None)


def test_a_set_shares_everybody_with_itself() -> None:
    a, b = draw(range(100), [2] * 100, seed=1), draw(range(100), [2] * 100, seed=1)
    assert found_in(find_shared_people(a, b)) == {(i, i) for i in range(100)}


def test_sides_and_orders_are_of_no_account() -> None:
    a, b = draw(range(120), [4] * 120, seed=1), draw(range(100, 160), [3] * 60, seed=2)
    order = np.random.default_rng(0).permutation(len(a.label_index))
    shuffled = LabeledSet(a.embeddings[order], a.label_index[order])
    there, back = find_shared_people(shuffled, b), find_shared_people(b, a)
    assert found_in(there) == {(y, x) for x, y in found_in(back)}
    np.testing.assert_allclose(there.score, back.score, atol=1e-5)


def test_one_person_under_two_labels_is_found_twice() -> None:
    a = draw([*range(100), 7], [4] * 101, seed=1)
    b = draw([7, *range(200, 240)], [4] * 41, seed=2)
    shared = find_shared_people(a, b)
    assert found_in(shared) == {(7, 0), (100, 0)}
    assert shared.mutual.tolist() == [True, False]


def test_duplicate_labels_in_a_set_do_not_hide_shared_people() -> None:
    a = draw([*range(200), *range(20)], [3] * 220, seed=1)
    b = draw([*range(100, 110), *range(300, 340)], [3] * 50, seed=2)
    assert found_in(find_shared_people(a, b)) == {(100 + i, i) for i in range(10)}


def test_too_few_labels_and_other_extractors_are_refused() -> None:
    with pytest.raises(InputError, match="4 labels, too few"):
        find_shared_people(draw(range(2), [3, 3], seed=1), draw(range(2), [3, 3], seed=2))
    other = LabeledSet(np.ones((4, 3), np.float32), np.arange(4))
    with pytest.raises(InputError, match="lengths 48 and 3"):
        find_shared_people(draw(range(5), [3] * 5, seed=1), other)


def test_the_tail_of_strangers() -> None:
    tail = StrangerTail(pairs=1000, rank=10, score=0.5, scale=0.1)
    expected = tail.expected(np.array([0.5, 0.6, 5.0, -5.0]), 500)
    np.testing.assert_allclose(expected, [5, 5 / np.e, 0, 500], atol=1e-12)


def test_the_fitted_tail_tells_the_number_of_strangers_beyond_it() -> None:
    """Exponential scores, among them a few pairs that are one person after all."""
    scores = np.random.default_rng(0).exponential(size=100_000)
    tail = StrangerTail.fit(np.r_[np.sort(scores)[-2000:], np.full(10, 30.0)], len(scores))
    assert 0.1 < tail.expected(np.array([np.log(1e6)]), len(scores))[0] < 0.5  # 0.1 without these pairs
    assert StrangerTail.fit(np.array([0.5]), 1).expected(np.array([9.0]), 10)[0] == 10


def test_as_many_pairs_are_sure_as_their_share_of_strangers_allows() -> None:
    assert sure_pairs(np.array([0.001, 0.002, 0.5, 0.6]), 0.2) == 4
    assert sure_pairs(np.array([0.001, 0.002, 0.5, 0.9]), 0.2) == 3
    assert sure_pairs(np.array([0.3]), 0.2) == 0
    assert sure_pairs(np.empty(0), 0.2) == 0


def test_shared_pictures() -> None:
    a, b = draw(range(30), [4] * 30, seed=1), draw(range(20, 60), [4] * 40, seed=2)
    copies = np.array([0, 50, 119])
    embeddings = np.concatenate([b.embeddings, 3 * a.embeddings[copies]])  # the scale is of no account
    labels = np.concatenate([b.label_index, [0, 1, 2]])
    shared = find_shared_pictures(a.embeddings, embeddings, (a.label_index, labels), same_picture=0.999)
    same = shared.same_picture
    assert shared.a[same].tolist() == copies.tolist()
    assert shared.b[same].tolist() == [160, 161, 162]
    assert (shared.cosine[same] > 0.999).all()
    assert shared.alike_strangers == 0


def test_images_of_a_shared_person_under_a_wrong_label() -> None:
    """Persons 0 to 4 of A are also in B, each with one image among those of somebody else."""
    a, b = draw(range(100), [4] * 100, 1, 0.05), draw(range(100, 180), [4] * 80, 2, 0.05)
    other = draw(range(5), [1] * 5, 3, 0.05)
    rows = np.arange(5) * 8
    b.embeddings[rows] = other.embeddings
    shared = find_shared_pictures(a.embeddings, b.embeddings, (a.label_index, b.label_index), same_picture=0.999)
    assert shared.b.tolist() == rows.tolist()
    assert a.label_index[shared.a].tolist() == list(range(5))
    assert not shared.same_picture.any()
    assert shared.threshold == shared.cosine.min()
    assert shared.expected_false <= 0.05


def test_copies_under_other_labels_of_one_set_are_told() -> None:
    a, b = draw(range(30), [4] * 30, seed=1), draw(range(40, 60), [4] * 20, seed=2)
    a.embeddings[4:6] = a.embeddings[:2]
    shared = find_shared_pictures(a.embeddings, b.embeddings, (a.label_index, b.label_index), same_picture=0.99)
    assert shared.alike_strangers == 4 / (2 * 50)


@pytest.mark.parametrize("threads", [1, 3])
def test_search_in_threads_is_the_same_for_any_number(threads: int) -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(9000, 16)))
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        cosine, near = search_blocks(flat_index(vectors[:50]), vectors, 60)
    finally:
        faiss.omp_set_num_threads(before)
    assert (near[:, 50:] == -1).all()
    assert np.isneginf(cosine[:, 50:]).all()
    assert (near[:50, 0] == np.arange(50)).all()
    np.testing.assert_allclose(cosine[:, 0], (vectors @ vectors[:50].T).max(axis=1), atol=1e-5)


Names = npt.NDArray[np.object_]


@pytest.fixture(scope="module")
def lfw(faces: Path) -> tuple[npt.NDArray[np.float32], Names, Names]:
    """Embeddings of LFW and of web faces, the set and the person of each."""
    table = pq.read_table(faces / "dlib_embeddings.parquet")
    vectors = np.stack(table["embedding"].to_numpy()).astype(np.float32)
    parts = [path.split("/") for path in table["path"].to_pylist()]
    return vectors, np.array([p[0] for p in parts], object), np.array([p[1] for p in parts], object)


#: Pairs of names in LFW that stand for one person, or for twins.
ALIASES = {("Joseph_Blatter", "Sepp_Blatter"), ("Bison_Dele", "Brian_Williams"), ("Nan_Wang", "Wang_Nan"),
           ("Shinya_Taniguchi", "Takahiro_Mori"), ("Tamara_Mowry", "Tia_Mowry"),
           ("Carlos_Ruckauf", "Eduardo_Duhalde")}  # fmt: skip


def copy_people(rng: np.random.Generator, part: Names, who: Names, *, share_pictures: bool) -> tuple[Names, Names]:
    """Rows of LFW and, under other names, of 50 of its people: all their pictures, or half of them moved."""
    in_lfw, web = np.flatnonzero(part == "lfw112"), set(who[part != "lfw112"])
    names, counts = np.unique(who[in_lfw].astype(str), return_counts=True)
    least = 1 if share_pictures else 4
    eligible = [name for name, count in zip(names, counts, strict=True) if count >= least and name not in web]
    copied = [rng.permutation(in_lfw[who[in_lfw] == name]) for name in rng.choice(eligible, 50, replace=False)]
    if share_pictures:
        return in_lfw, np.concatenate(copied)
    moved = np.concatenate([rows[: len(rows) // 2] for rows in copied])
    return np.setdiff1d(in_lfw, moved), moved


@pytest.mark.parametrize(("share_pictures", "least_found"), [(True, 0.98), (False, 0.93)])
def test_lfw_against_web_faces_and_copied_people(
    lfw: tuple[npt.NDArray[np.float32], Names, Names], share_pictures: bool, least_found: float
) -> None:
    """50 people of LFW under other names beside 15 of the web, of whom LFW has ten under the same name."""
    vectors, part, who = lfw
    web = np.flatnonzero(part != "lfw112")
    found_truth = everybody = false = pairs = 0
    for seed in (0, 4):
        rows_a, copied = copy_people(np.random.default_rng(seed), part, who, share_pictures=share_pictures)
        rows_b = np.concatenate([web, copied])
        names_b = [*who[web], *(f"copy of {name}" for name in who[copied])]
        labels_a, index_a = np.unique(who[rows_a].astype(str), return_inverse=True)
        labels_b, index_b = np.unique(np.array(names_b, str), return_inverse=True)
        shared = find_shared_people(LabeledSet(vectors[rows_a], index_a), LabeledSet(vectors[rows_b], index_b))
        found = {(labels_a[a], labels_b[b].removeprefix("copy of ")) for a, b in found_in(shared)}
        truth = {(name, name) for name in {*who[copied], *who[web]} & set(labels_a)}
        assert len(truth) == 60
        found_truth, everybody, pairs = found_truth + len(found & truth), everybody + 60, pairs + len(found)
        false += sum(tuple(sorted(pair)) not in ALIASES for pair in found - truth)
    assert false <= 0.01 * pairs
    assert found_truth >= least_found * everybody
