from __future__ import annotations

import math

import numpy as np
import pytest

from purify.errors import InputError
from purify.evaluation.protocols.distractor_search import (
    DistractorRates,
    best_distractors,
    mate_pairs,
    replace_noise_as_insightface,
    search_among_distractors,
)
from purify.evaluation.protocols.top_scores import top_impostors
from purify.evaluation.protocols.trillion_pairs import AllPairsRates, count_impostors, verify_all_pairs


def _faces(people: int, images: int, spread: float = 0.7, distractors: int = 0, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    person = rng.permutation(np.repeat(np.arange(people), images))
    vectors = rng.normal(size=(people, 24))[person] + spread * rng.normal(size=(len(person), 24))
    others = rng.normal(size=(distractors, 24))
    return (*(_units(v) for v in (vectors, others)), person)


def _units(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _impostors(faces: np.ndarray, others: np.ndarray, person: np.ndarray) -> np.ndarray:
    """All impostor scores in float64, and all genuine ones, by brute force."""
    first, second = np.triu_indices(len(faces), 1)
    wide = faces.astype(np.float64)
    among = np.einsum("pd,pd->p", wide[first], wide[second])[person[first] != person[second]]
    return np.sort(np.r_[among, (wide @ others.T.astype(np.float64)).ravel()])[::-1]


@pytest.mark.parametrize("block", [7, 64, 4096])
@pytest.mark.parametrize("most", [1, 10, 500, 10**6])
def test_the_top_is_that_of_a_full_sort(block: int, most: int) -> None:
    faces, others, person = _faces(30, 4, distractors=53)
    found = top_impostors(faces, person, others, most=most, block=block)
    expected = _impostors(faces, others, person)
    assert found.pairs == len(expected) == count_impostors(person, len(others))
    np.testing.assert_allclose(found.scores, expected[:most], atol=1e-12)
    both = np.concatenate([faces, others]).astype(np.float64)
    scores = both[: len(faces)] @ both.T
    scores[person[:, None] == np.r_[person, np.full(len(others), -1)]] = -np.inf
    np.testing.assert_allclose(found.best, scores.max(axis=1), atol=1e-12)


def test_equal_scores_beyond_all_memory_are_let_go() -> None:
    """Copies of one picture under many names: millions of equal scores, of which no more are kept than needed."""
    faces = np.repeat(_units(np.ones((1, 4))), 3000, axis=0)
    found = top_impostors(faces, np.arange(3000), most=50, block=512)
    np.testing.assert_allclose(found.scores, np.ones(50), atol=1e-6)
    assert found.pairs == 3000 * 2999 // 2


def test_tpr_at_an_fpr_is_brute_force() -> None:
    faces, others, person = _faces(80, 4, spread=1.1, distractors=300)
    rates = AllPairsRates(fprs=(1e-2, 1e-4, 1e-9), search_fprs=(1e-1, 1e-4), samples=30)
    found = verify_all_pairs(faces, person, others, rates)
    impostors, genuine = _impostors(faces, others, person), mate_pairs(faces, person).scores
    for fpr in (1e-2, 1e-4):
        threshold = impostors[math.floor(fpr * len(impostors))]
        figure = found.figures[f"TPR@FPR=1e{round(math.log10(fpr))}"]
        assert figure.value == pytest.approx((genuine > threshold).mean(), abs=1e-12)
        assert figure.interval is not None
        assert figure.interval[0] <= figure.value <= figure.interval[1]
    best = np.sort(top_impostors(faces, person, others, most=1).best)[::-1]
    assert found.figures["identification TPR@FPR=1e-1"].value == pytest.approx((genuine > best[32]).mean(), abs=1e-12)
    assert set(found.refused) == {"TPR@FPR=1e-9", "identification TPR@FPR=1e-4"}
    assert found.counts["impostors"] == len(impostors)


def test_perfect_faces_give_one_and_random_ones_chance() -> None:
    faces, others, person = _faces(20, 3, spread=0.01, distractors=40)
    perfect = verify_all_pairs(faces, person, others, AllPairsRates(fprs=(1e-2,), search_fprs=(0.1,), samples=20))
    assert {figure.value for figure in perfect.figures.values()} == {1.0}
    faces, others, person = _faces(500, 4, spread=1e6)
    random = verify_all_pairs(faces, person, None, AllPairsRates(fprs=(1e-1, 1e-2), search_fprs=(), samples=20))
    assert random.figures["TPR@FPR=1e-1"].value == pytest.approx(0.1, abs=0.02)
    assert random.figures["TPR@FPR=1e-2"].value == pytest.approx(0.01, abs=0.008)


def test_people_with_one_image_have_no_rate() -> None:
    with pytest.raises(InputError, match="two images"):
        verify_all_pairs(_units(np.eye(4)), np.arange(4))


def test_mates_among_distractors_are_brute_force() -> None:
    faces, others, person = _faces(12, 5, spread=1.3, distractors=900)
    found = search_among_distractors(
        faces, person, others, DistractorRates(ranks=(1, 5), fars=(1e-3, 1e-6), samples=20)
    )
    wide = faces.astype(np.float64)
    ranks = []
    against = wide @ others.T.astype(np.float64)
    for probe in range(len(faces)):
        for mate in np.flatnonzero((person == person[probe]) & (np.arange(len(faces)) != probe)):
            ranks.append((1 + (against[probe] >= wide[probe] @ wide[mate]).sum(), wide[probe] @ wide[mate]))
    rank, score = np.array(ranks).T
    assert found.figures["rank-1"].value == pytest.approx((rank <= 1).mean(), abs=1e-12)
    assert found.figures["rank-5"].value == pytest.approx((rank <= 5).mean(), abs=1e-12)
    threshold = np.sort(against.ravel())[::-1][math.floor(1e-3 * against.size)]
    assert found.figures["TAR@FAR=1e-3"].value == pytest.approx((score > threshold).mean(), abs=1e-12)
    assert "pairs with distractors" in found.refused["TAR@FAR=1e-6"]


def test_fewer_distractors_than_the_rank_always_succeed() -> None:
    faces, others, person = _faces(4, 3, distractors=3)
    best = best_distractors(faces, others, 5)
    assert np.isinf(best[:, 3:]).all()
    found = search_among_distractors(faces, person, others, DistractorRates(ranks=(5,), fars=(), samples=5))
    assert found.figures["rank-5"].value == 1


def test_the_public_script_replaces_noise_by_the_mean() -> None:
    faces, _, person = _faces(6, 5)
    noisy = np.zeros(len(faces), bool)
    noisy[np.flatnonzero(person == 2)[:2]] = True
    replaced = replace_noise_as_insightface(faces, person, noisy)
    assert np.array_equal(replaced[~noisy], faces[~noisy])
    mean = faces[(person == 2) & ~noisy].sum(axis=0)
    assert (replaced[noisy] @ (mean / np.linalg.norm(mean)) > 0.999).all()
    with pytest.raises(InputError, match="noise list"):
        replace_noise_as_insightface(faces, person, person == 2)
