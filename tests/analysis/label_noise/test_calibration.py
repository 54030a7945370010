"""The probabilities of the calibrated rule, on people whose labels are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from purify.analysis.label_noise import origins
from purify.analysis.label_noise.calibration import Calibration, TooFewLabelsError, calibrate
from purify.analysis.label_noise.centering import centered
from purify.evaluation.detection import detection_figures


@dataclass(frozen=True)
class Labeled:
    """Invented images; `person` is -1 where it has no label."""

    embeddings: np.ndarray
    label: np.ndarray
    person: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        return self.label != self.person

    def calibrate(self, seed: int = 0) -> Calibration:
        return calibrate(
            centered(self.embeddings), self.label, classes=int(self.label.max()) + 1, near_duplicate=0.98, seed=seed
        )


def draw(sizes, *, flips=0.0, strangers=0.0, dim=64, spread=0.9, seed=0) -> Labeled:
    """Classes of these sizes; exact shares of the labels are flipped, and of the images are of strangers."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(len(sizes)), sizes)
    center = rng.normal(size=(len(sizes), dim))
    n = len(person)
    chosen = rng.permutation(n)
    flipped, unknown = np.split(chosen[: round((flips + strangers) * n)], [round(flips * n)])
    label = person.copy()
    label[flipped] = (label[flipped] + rng.integers(1, len(sizes), len(flipped))) % len(sizes)
    shown = center[person]
    shown[unknown] = rng.normal(size=(len(unknown), dim))
    embeddings = (shown + spread * rng.normal(size=shown.shape)).astype(np.float32)
    person[unknown] = -1
    return Labeled(embeddings, label, person)


def sizes_between(low: int, high: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high + 1, classes)


def figures(data: Labeled, found: Calibration) -> dict:
    return detection_figures(found.p_clean, found.p_clean < 0.5, data.wrong)


@pytest.mark.parametrize(("flips", "strangers"), [(1, 0), (0, 1), (0.5, 0.5)], ids=["flips", "strangers", "both"])
@pytest.mark.parametrize("noise", [0.15, 0.3, 0.45])
def test_noise_of_every_share_and_kind_is_found_and_counted(noise, flips, strangers) -> None:
    """The F1 is the mean of three sets: of few strangers one more or less that is found is a third of a percent."""
    f1 = []
    for seed in range(3):
        data = draw(sizes_between(10, 30, 50, seed), flips=noise * flips, strangers=noise * strangers, seed=seed)
        calibration = data.calibrate()
        found = figures(data, calibration)
        f1.append(found["f1"])
        assert found["ece"] <= 0.03
        assert calibration.noise_share == pytest.approx(data.wrong.mean(), abs=0.03)
    assert np.mean(f1) >= 0.97


@pytest.mark.parametrize("dim", [32, 128])
def test_nothing_is_found_where_nothing_is_wrong(dim) -> None:
    data = draw(sizes_between(10, 30, 50), dim=dim)
    calibration = data.calibrate()
    assert (calibration.p_clean >= 0.5).mean() >= 0.995
    assert calibration.noise_share < 0.03


def test_probabilities_are_right_where_images_are_hard_to_tell() -> None:
    """People overlap; of the labels with some probability, about that share is right."""
    data = draw(sizes_between(10, 30, 80), flips=0.15, strangers=0.15, dim=32, spread=1.4)
    calibration = data.calibrate()
    p_clean, right = calibration.p_clean, ~data.wrong
    unsure = (p_clean > 0.05) & (p_clean < 0.95)
    assert unsure.sum() > 100
    assert p_clean[unsure].mean() == pytest.approx(right[unsure].mean(), abs=0.15)
    assert figures(data, calibration)["ece"] <= 0.03


def test_small_classes() -> None:
    data = draw(sizes_between(4, 6, 300), flips=0.1, strangers=0.1, spread=0.6)
    calibration = data.calibrate()
    found = figures(data, calibration)
    assert found["f1"] > 0.94
    assert found["clean_kept"] > 0.99
    assert found["ece"] < 0.03
    assert calibration.noise_share == pytest.approx(data.wrong.mean(), abs=0.03)


def test_smallest_classes_lose_no_right_image() -> None:
    """Of two images that differ, none says which one is wrong: less is found, but what is found is wrong."""
    data = draw(sizes_between(2, 3, 400), flips=0.1, strangers=0.1, spread=0.6)
    found = figures(data, data.calibrate())
    assert found["clean_kept"] > 0.99
    assert found["precision"] > 0.95
    assert found["recall"] > 0.4


def test_another_label_is_recognized_only_where_there_is_one() -> None:
    data = draw(sizes_between(10, 30, 50), flips=0.15, strangers=0.15)
    found = data.calibrate()
    flipped, unknown = data.wrong & (data.person >= 0), data.person < 0
    assert (found.target[flipped] == data.person[flipped]).mean() > 0.98
    assert found.p_target[flipped].mean() > 0.9
    assert found.p_target[unknown].mean() < 0.1
    assert found.p_target[~data.wrong].mean() < 0.01
    assert (found.p_clean + found.p_target <= 1 + 1e-9).all()
    assert (found.target != data.label).all()


def test_equal_seeds_give_equal_bits_and_others_nearly_the_same() -> None:
    data = draw(sizes_between(10, 20, 50), flips=0.15, strangers=0.15)
    one, again, other = data.calibrate(), data.calibrate(), data.calibrate(seed=1)
    assert one.p_clean.tobytes() == again.p_clean.tobytes()
    assert one.p_target.tobytes() == again.p_target.tobytes()
    assert one.noise_share == again.noise_share
    assert ((one.p_clean < 0.5) == (other.p_clean < 0.5)).mean() > 0.99
    assert other.noise_share == pytest.approx(one.noise_share, abs=0.02)


def test_names_of_the_classes_do_not_matter() -> None:
    data = draw(sizes_between(10, 20, 50), flips=0.15, strangers=0.15)
    name = np.random.default_rng(7).permutation(50)
    renamed = replace(data, label=name[data.label]).calibrate()
    assert ((renamed.p_clean < 0.5) == (data.calibrate().p_clean < 0.5)).mean() > 0.99


@pytest.mark.parametrize("known", [True, False], ids=["of another label", "of no label"])
def test_companions_do_not_save_each_other(known) -> None:
    """Four images of one person under a wrong label, in each of ten classes."""
    found = []
    for seed in range(3):
        data = draw(sizes_between(14, 20, 60, seed), seed=seed)
        rng = np.random.default_rng(50 + seed)
        embeddings, label = data.embeddings.copy(), data.label.copy()
        intruders = np.array([np.flatnonzero(data.person == k + 30 * known)[:4] for k in range(10)])
        for klass, rows in enumerate(intruders):
            label[rows] = klass
            if not known:
                embeddings[rows] = rng.normal(size=64) + 0.9 * rng.normal(size=(4, 64))
        found.append(Labeled(embeddings, label, data.person).calibrate().p_clean[intruders] < 0.5)
    assert np.mean(found) >= 0.9


def test_copies_of_a_wrong_image_do_not_save_each_other() -> None:
    data = draw(sizes_between(12, 16, 60), flips=0.05)
    copies = np.flatnonzero((data.person == 5) & (data.label == 5))[:3]
    embeddings = data.embeddings.copy()
    embeddings[copies] = embeddings[np.flatnonzero(data.person == 20)[0]]
    found = Labeled(embeddings, data.label, data.person).calibrate()
    assert (found.p_clean[copies] < 0.5).all()


def test_a_label_of_unrelated_images_is_not_found_right() -> None:
    rng = np.random.default_rng(123)
    data = draw(np.full(60, 10), flips=0.2, spread=0.6)
    nobody = np.repeat(np.arange(60, 65), 10)
    embeddings = np.r_[data.embeddings, 1.2 * rng.normal(size=(len(nobody), 64)).astype(np.float32)]
    found = Labeled(embeddings, np.r_[data.label, nobody], np.r_[data.person, nobody]).calibrate()
    assert found.p_clean[len(data.label) :].mean() < 0.35


def test_strangers_are_found_where_no_other_label_claims_them() -> None:
    data = draw(sizes_between(10, 20, 60), strangers=0.4, dim=32, spread=1.2)
    calibration = data.calibrate()
    assert calibration.noise_share == pytest.approx(0.4, abs=0.03)
    assert figures(data, calibration)["recall"] > 0.93
    assert figures(data, calibration)["ece"] < 0.03


def test_people_well_apart_are_told_apart_in_every_round() -> None:
    """Wrong images that a regression of separate people doesn't quite exclude must not confirm themselves."""
    data = draw(np.full(100, 60), flips=0.2, strangers=0.1, dim=256, spread=1.2)
    found = data.calibrate().p_clean < 0.5
    strangers = data.person < 0
    assert found[strangers].mean() > 0.96
    assert found[data.wrong & ~strangers].mean() > 0.98
    assert found[~data.wrong].mean() < 0.001


def test_of_very_many_labels_neighbors_are_sought_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw(sizes_between(8, 20, 60), flips=0.2, strangers=0.1)
    each_round = data.calibrate()
    monkeypatch.setattr(origins, "MOST_EXACT_PAIRS", 1)
    once = data.calibrate()
    assert not np.array_equal(once.p_clean, each_round.p_clean)
    assert ((once.p_clean < 0.5) == (each_round.p_clean < 0.5)).mean() > 0.995
    assert np.abs(once.p_clean - each_round.p_clean).mean() < 0.002


def test_two_classes_leave_nothing_to_compare_with() -> None:
    data = draw([10, 10])
    with pytest.raises(TooFewLabelsError, match="2 labels have two different pictures or more"):
        data.calibrate()
    with pytest.raises(TooFewLabelsError, match="2 labels"):
        calibrate(centered(data.embeddings), data.label * 5, classes=9, near_duplicate=0.98, seed=0)


def test_copies_of_one_picture_are_not_several() -> None:
    """Three labels, but one of them has a single picture, twice."""
    data = draw([10, 10, 2])
    embeddings = data.embeddings.copy()
    embeddings[-1] = embeddings[-2]
    with pytest.raises(TooFewLabelsError, match="2 labels"):
        Labeled(embeddings, data.label, data.person).calibrate()
