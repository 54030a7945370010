"""One person under two labels of few images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from purify.analysis.identities.merge import CERTAIN
from purify.analysis.identities.structure import Structure, find_structure
from purify.analysis.label_noise.centering import centered
from purify.analysis.label_noise.companions import NoiseOrigin
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig
from purify.embedding.store import read_embeddings

DIM = 64


def people(sizes: list[int], person: list[int], *, spread: float = 0.1, seed: int = 0):
    """Labels of these numbers of images of these people: centered unit vectors, and the label of each."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(max(person) + 1, DIM)) / np.sqrt(DIM)
    label = np.repeat(np.arange(len(sizes)), sizes)
    vectors = centers[np.array(person)[label]] + spread * rng.normal(size=(len(label), DIM))
    return centered(vectors.astype(np.float32)).vectors, label


def with_noise(sizes: list[int], person: list[int], wrong: list[int], *, seed: int = 0):
    """`people` whose labels hold so many images of other people each; the probabilities that tell these apart."""
    vectors, label = people(sizes, person, spread=0.07, seed=seed)
    strangers, _ = people([1] * sum(wrong), list(range(sum(wrong))), seed=seed + 1)
    at = np.concatenate([np.flatnonzero(label == i)[:count] for i, count in enumerate(wrong)])
    p_clean = np.ones(len(label))
    vectors[at], p_clean[at] = strangers, 0.01
    return centered(vectors).vectors, label, p_clean


def find(vectors, label: npt.NDArray[np.int64], names=None, noise: float = 0.01) -> Structure:
    classes = int(label.max()) + 1
    return find_structure(vectors, label, classes, np.ones(len(label)), names=names, noise=NoiseOrigin(noise))


def pairs(structure: Structure) -> set[tuple[int, int]]:
    return {tuple(sorted((merge.label, merge.into))) for merge in structure.merges}


def test_labels_of_three_images_of_one_person_are_merged_and_no_others() -> None:
    vectors, label = people([3] * 85, [*range(80), *range(5)], spread=0.07)
    found = find(vectors, label)
    assert pairs(found) == {(i, 80 + i) for i in range(5)}
    assert min(merge.p_same for merge in found.sure_merges) >= CERTAIN
    for merge in found.merges:
        assert set(label[merge.evidence]) == {merge.label, merge.into}


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_clean_set_has_no_merges(size: int) -> None:
    vectors, label = people([size] * 60 + [8] * 20, list(range(80)), seed=size)
    assert find(vectors, label, [f"Name {i:03}" for i in range(80)]).merges == ()


def test_a_single_image_may_be_a_wrong_label_unless_the_names_are_alike() -> None:
    sizes, person = [1] * 40 + [6] * 40, [*range(78), 0, 1]
    vectors, label = people(sizes, person, spread=0.07)
    names = [chr(97 + i % 26) * 3 + chr(97 + i // 26) * 4 + " " + chr(97 + (7 * i) % 26) * 5 for i in range(80)]
    assert not pairs(find(vectors, label, names, noise=0.1)) & {(0, 78), (1, 79)}
    names[78] = " ".join(reversed(names[0].split()))
    assert (0, 78) in pairs(find(vectors, label, names, noise=0.1))


def test_the_same_pictures_under_two_labels_say_nothing_of_the_people() -> None:
    vectors, label = people([3] * 80, list(range(80)))
    vectors[label == 1] = vectors[label == 0]
    assert (0, 1) not in pairs(find(vectors, label))


def test_wrong_images_among_a_label_s_few_hide_no_merge() -> None:
    vectors, label, p_clean = with_noise([4] * 89, [*range(80), *range(9)], [2 * (i % 2) for i in range(89)])
    noise = NoiseOrigin(0.25, companions=0.02)
    found = find_structure(vectors, label, 89, p_clean, noise=noise)
    assert pairs(found) == {(i, 80 + i) for i in range(9)}
    assert pairs(find_structure(vectors, label, 89, np.ones(len(label)), noise=noise)) < pairs(found)


def test_companions_are_measured_on_recognized_wrong_images() -> None:
    label = np.repeat(np.arange(200), 2)
    strewn, paired = np.arange(400)[::-1] + 200, 1000 + label
    assert NoiseOrigin.measured(0.3, label, strewn, np.ones(400)).companions == pytest.approx(2 / 410)
    assert NoiseOrigin.measured(0.3, label, paired, np.ones(400)).companions == pytest.approx(402 / 410)
    assert NoiseOrigin.measured(0.3, label, paired, np.zeros(400)).companions == 0.2


def test_few_labels_are_too_few_to_measure_on() -> None:
    vectors, label = people([3] * 8, [*range(7), 0])
    assert find(vectors, label).merges == ()


@pytest.mark.parametrize("shares", [(3, 3), (3, 5), (4, 4), (5, 5)])
def test_real_people_under_two_labels(faces, shares: tuple[int, int]) -> None:
    table = pq.read_table(faces / "noisy" / "clean.parquet")
    label, path = np.array(table["label"].to_pylist()), np.array(table["path"].to_pylist())
    rng = np.random.default_rng(sum(shares))
    known, split = np.unique(label), {}
    keep = np.ones(len(label), bool)
    for person in rng.choice(known, 9, replace=False).tolist():
        rows = rng.permutation(np.flatnonzero(label == person))
        split[person] = f"aka {len(split)}"
        label[rows[: shares[0]]] = split[person]
        keep[rows[sum(shares) :]] = False
    names, index = np.unique(label[keep], return_inverse=True)
    vectors = centered(read_embeddings(faces / "dlib_embeddings.parquet", path[keep].tolist())).vectors
    found = {tuple(names[list(pair)].tolist()) for pair in pairs(find(vectors, index, names.tolist()))}
    truth = {tuple(sorted(pair)) for pair in split.items()}
    assert len(found & truth) >= 8
    assert len(found - truth) <= 1


def test_real_people_under_two_labels_with_wrong_images(faces) -> None:
    table = pq.read_table(faces / "noisy" / "mixed35.parquet")
    label, true_label, path = (np.array(table[name].to_pylist(), object) for name in ("label", "true_label", "path"))
    rng = np.random.default_rng(1)
    keep, split = np.ones(len(label), bool), {}
    for person in rng.choice(np.unique(label), 12, replace=False).tolist():
        rows = rng.permutation(np.flatnonzero(label == person))
        parts = rows[:5], rows[5:10]
        keep[rows[10:]] = False
        label[parts[1]] = f"aka {len(split)}"
        if min((true_label[part] == person).sum() for part in parts) >= 3:
            split[person] = label[parts[1][0]]
    names = [f"{name} {number}" for number, name in enumerate(np.unique(label[keep]))]  # no likeness of names
    renamed = dict(zip(np.unique(label[keep]).tolist(), names, strict=True))
    vectors = read_embeddings(faces / "dlib_embeddings.parquet", path[keep].tolist())
    given = [renamed[name] for name in label[keep]]
    report = analyze(path[keep].tolist(), given, vectors, names, AnalyzeConfig(), space=None, seed=0).class_report
    merged = zip(report["label"].to_pylist(), report["merge_with"].to_pylist(), strict=True)
    found = {frozenset((name, other["label"])) for name, others in merged for other in others or ()}
    truth = {frozenset((renamed[one], renamed[other])) for one, other in split.items()}
    assert len(truth) >= 5
    assert len(found & truth) >= len(truth) - 1
    assert len(found - truth) <= 2
