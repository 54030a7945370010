from __future__ import annotations

import math

import numpy as np
import pytest

from purify.errors import InputError
from purify.evaluation.protocols.gallery_search import identify, identify_as_insightface, search_gallery
from purify.evaluation.protocols.template_pairs import listed_scores, verify_templates
from purify.evaluation.protocols.template_pooling import PoolingVariant, pool_templates, unit_rows


def _images(seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    template = rng.permutation(np.repeat([3, 7, 7, 12, 20], 8))
    media = rng.integers(0, 4, len(template))
    return rng.normal(size=(len(template), 6)), template, media, rng.uniform(0.5, 1, len(template))


@pytest.mark.parametrize("code", ["N1D1F1", "N0D1F1", "N1D0F0", "N0D0F1"])
def test_pooling_is_that_of_the_loop(code: str) -> None:
    features, template, media, score = _images()
    found = pool_templates(features, template, media, score, PoolingVariant.parse(code))
    assert found.ids.tolist() == [3, 7, 12, 20]
    for number, vector in zip(found.ids, found.vectors, strict=True):
        total = np.zeros(6)
        for medium in set(media[template == number]):
            frames = []
            for row in np.flatnonzero((template == number) & (media == medium)):
                image = features[row]
                image = image if code[1] == "1" else image / np.linalg.norm(image)
                frames.append(image * (score[row] if code[3] == "1" else 1))
            total += np.mean(frames, axis=0)
        np.testing.assert_allclose(vector, total / np.linalg.norm(total), atol=1e-12)


def test_codes_go_both_ways_and_others_are_refused() -> None:
    assert PoolingVariant.parse("n0d1f0").code == "N0D1F0"
    assert PoolingVariant().code == "N1D1F1"
    with pytest.raises(InputError, match="N1D1F1"):
        PoolingVariant.parse("N2D1F1")
    features, template, media, _ = _images()
    with pytest.raises(InputError, match="D0"):
        pool_templates(features, template, media, None, PoolingVariant())


def test_a_template_without_images_is_named() -> None:
    features, template, media, score = _images()
    pooled = pool_templates(features, template, media, score, PoolingVariant())
    assert pooled.rows(np.array([7, 3]), named="pairs").tolist() == [1, 0]
    with pytest.raises(InputError, match="pairs: template 8 has no image"):
        pooled.rows(np.array([7, 8]), named="pairs")


def _people(count: int, images: int, spread: float, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(count, 16))
    person = np.repeat(np.arange(count), images)
    return unit_rows(centers[person] + spread * rng.normal(size=(len(person), 16))), person


def test_template_verification_is_brute_force() -> None:
    vectors, person = _people(40, 4, 0.8)
    first, second = np.triu_indices(len(vectors), 1)
    same = person[first] == person[second]
    scores = listed_scores(vectors, first, second)
    np.testing.assert_allclose(scores, (vectors @ vectors.T)[first, second], atol=1e-12)
    found = verify_templates(scores, same, person[first], person[second], fars=(1e-1, 1e-3, 1e-6), samples=50)
    for far in (1e-1, 1e-3):
        limits = [t for t in np.r_[scores, -2] if (scores[~same] > t).mean() <= far]
        expected = (scores[same] > min(limits)).mean()
        figure = found.figures[f"TAR@FAR=1e{round(math.log10(far))}"]
        assert figure.value == pytest.approx(expected, abs=1e-12)
        assert figure.interval is not None
        assert figure.interval[0] <= figure.value <= figure.interval[1]
    assert "needs 1,000,000 different pairs" in found.refused["TAR@FAR=1e-6"]


def test_every_rate_refused_is_no_crash() -> None:
    found = verify_templates(
        np.array([1.0, 0]), np.array([True, False]), np.array([0, 0]), np.array([0, 1]), fars=(0.1,)
    )
    assert not found.figures
    assert found.refused


def test_perfect_and_random_searches() -> None:
    vectors, person = _people(50, 2, 0.01)
    perfect = search_gallery(vectors[1::2], person[1::2], vectors[::4], person[::4])
    found = identify([perfect], ranks=(1, 5), fpirs=(0.1,), samples=20)
    assert perfect.mated.sum() == 25
    assert {figure.value for figure in found.figures.values()} == {1.0}
    rng = np.random.default_rng(0)
    probes, gallery = unit_rows(rng.normal(size=(4000, 8))), unit_rows(rng.normal(size=(20, 8)))
    random = search_gallery(probes, np.arange(4000) % 40, gallery, np.arange(20))
    figures = identify([random], ranks=(1, 5), fpirs=(0.1,), samples=20).figures
    assert figures["rank-1"].value == pytest.approx(1 / 20, abs=0.015)
    assert figures["rank-5"].value == pytest.approx(5 / 20, abs=0.03)


def test_ties_count_against_the_mate() -> None:
    gallery = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    found = search_gallery(np.array([[1.0, 0]]), np.array([0]), gallery, np.array([0, 1, 2]))
    assert found.rank.tolist() == [2]


def test_tpir_is_brute_force_and_a_finer_rate_is_refused() -> None:
    vectors, person = _people(60, 3, 1.2)
    gallery = np.flatnonzero((np.arange(len(person)) % 3 == 0) & (person < 40))
    probes = np.flatnonzero(np.arange(len(person)) % 3 != 0)
    searches = search_gallery(vectors[probes], person[probes], vectors[gallery], person[gallery])
    found = identify([searches], ranks=(1, 2), fpirs=(0.1, 0.01), samples=50)
    scores = vectors[probes] @ vectors[gallery].T
    own = person[probes][:, None] == person[gallery]
    mated = own.any(axis=1)
    alarms = np.sort(scores[~mated].max(axis=1))[::-1]
    threshold = alarms[math.floor(0.1 * len(alarms))]
    expected = (np.where(own, scores, -2).max(axis=1)[mated] > threshold).mean()
    assert found.figures["TPIR@FPIR=1e-1"].value == pytest.approx(expected, abs=1e-12)
    ranks = [1 + (s[~o] >= s[o].max()).sum() for s, o in zip(scores[mated], own[mated], strict=True)]
    assert found.figures["rank-2"].value == pytest.approx((np.array(ranks) <= 2).mean(), abs=1e-12)
    assert found.refused == {"TPIR@FPIR=1e-2": "needs 100 probes without a mate, there are 40"}


def test_two_galleries_are_averaged_and_the_public_script_joins_them() -> None:
    vectors, person = _people(30, 2, 1.0)
    probes, probe_person = vectors[1::2], person[1::2]
    parts = [np.arange(0, 30, 2), np.arange(30, 60, 2)]
    searches = [search_gallery(probes, probe_person, vectors[rows], person[rows]) for rows in parts]
    found = identify(searches, ranks=(1,), fpirs=(0.1,), samples=20)
    singles = [(s.rank[s.mated] == 1).mean() for s in searches]
    assert found.figures["rank-1"].value == pytest.approx(np.mean(singles), abs=1e-12)
    joined = identify_as_insightface(probes, probe_person, vectors[::2], person[::2], ranks=(1,), fpirs=(0.1,))
    scores = probes @ vectors[::2].T
    assert joined.figures["rank-1"].value == pytest.approx((scores.argmax(axis=1) == np.arange(30)).mean(), abs=1e-12)
    others = np.sort(scores[~np.eye(30, dtype=bool)])[::-1]
    assert joined.figures["TPIR@FPIR=1e-1"].value == (np.diag(scores) > others[2]).mean()
    with pytest.raises(InputError, match="exactly one"):
        identify_as_insightface(probes, probe_person, vectors[:10:2], person[:10:2])


def test_names_that_never_meet_are_an_error() -> None:
    vectors, person = _people(4, 2, 0.1)
    searches = search_gallery(vectors, person, vectors, person + 100)
    with pytest.raises(InputError, match="no probe"):
        identify([searches])
