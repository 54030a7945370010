"""The probability that a label is right, measured on the data set itself: no truth, no noise rate, no threshold.

What a wrong label looks like need not be guessed. Give images of this very set labels that they surely don't have,
and measure them as all images are measured (`likeness`): once with their own person among the competing labels, as
a flipped label has it, and once without, as a stranger has it. The measures of the given labels are a mixture of
these and of right ones. A logistic regression tells the two apart; its log odds are the logarithm of the ratio of
their densities. The share of wrong labels follows from the part of the mixture that only wrong labels reach.

Three rounds: the first trusts the densest place of each class, so that companions (several wrong images of one
person, who vouch for each other) don't spoil the reference; the others trust what the one before found right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from purify.analysis.label_noise.centering import Coordinates
from purify.analysis.label_noise.features import COSINE, COSINE_MARGIN, NEAREST, TRUSTED, Measures, Pairs, Reference
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.label_noise.logistic import LARGEST_LOGIT, fit_logistic, sigmoid
from purify.analysis.label_noise.mode_seeking import densest, distinct, scale_of
from purify.analysis.search import unit
from purify.arrays import Floats, Ids

_ROUNDS = 3
#: Labels that are put to wrong use in a round.
_SIMULATED = 8000
#: The densest place of a class holds the images with at least this weight (of `modes.Scale`).
_CORE = 0.5
_MOST_ROWS = 400
_SCALE_PAIRS = 40_000
_LEAVE_OUT_STEPS = 2
#: Weight of images that are not trusted; a class of such images alone still has a center.
_DISTRUSTED = 1e-3
#: Less trusted weight than this is that of a single image.
_SEVERAL = 1.5
#: Labels whose images are no nearer to each other than this share of wrong labels is to theirs stand for nobody.
_NOBODY = 0.95
#: ... if they have at least so many: of fewer that differ, one may well be right.
_SEVERAL_IMAGES = 4
#: The noise share is read off below the score that this share of the wrong labels stays under.
_ANCHOR = 0.9
#: Concentrations of the classes' noise rates around the mean that are tried, in images.
_CONCENTRATIONS = (1, 2, 3, 5, 8, 12, 20, 40, 80, 200, 1000)
#: Reweighting of the simulated labels to where the noise is, at most by this factor.
_MOST_REWEIGHTED = 10.0
#: Images with less probability of a wrong label are not asked whose they are.
_SUSPECT = 0.01
_LEAST_SHARE = 0.02
_LEAST_NOISE = 5.0
_SHARE_ITERATIONS = 200
#: Fewer labels than this leave no third one to compare with.
LEAST_CLASSES = 3
_EPSILON = 1e-6


@dataclass(frozen=True)
class Calibration:
    """What is probable of N images.

    Attributes
    ----------
    p_clean
        float64 [N]: probability that the given label is right.
    target, p_target
        int64 [N], float64 [N]: the other label that fits best (-1: there is none), and the probability that it is
        the right one.
    noise_share
        Estimated share of wrong labels.
    trusted
        float64 [N]: weight of the trusted images of the label, this one left out.
    recognized
        Share of the images found right that lie nearer to their own label than to any other.
    """

    p_clean: Floats
    target: Ids
    p_target: Floats
    noise_share: float
    trusted: Floats
    recognized: float


@dataclass(frozen=True)
class _Simulated:
    """Measures of wrong labels: `flips` with the image's own label in competition, `strangers` without."""

    flips: Measures
    strangers: Measures
    flip_labels: Ids
    stranger_labels: Ids

    def weights(self, flip_share: float, noise_by_class: Floats) -> Floats:
        """Weights of the flips, then of the strangers: their share, where the noise of the classes is."""
        sizes = np.array([len(self.flip_labels), len(self.stranger_labels)])
        weights = np.repeat(np.array([flip_share, 1 - flip_share]) / np.maximum(sizes, 1), sizes)
        labels = np.concatenate([self.flip_labels, self.stranger_labels])
        drawn = np.bincount(labels, minlength=len(noise_by_class)) + 0.3
        wanted = noise_by_class + 0.3
        factor = (wanted / wanted.sum() / (drawn / drawn.sum()))[labels]
        return weights * np.clip(factor, 1 / _MOST_REWEIGHTED, _MOST_REWEIGHTED)


def calibrate(
    coordinates: Coordinates, label_index: Ids, *, classes: int, near_duplicate: float, seed: int
) -> Calibration:
    """Probabilities of the labels ``label_index[N]`` of C classes.

    Parameters
    ----------
    coordinates
        Of the N images, in an order that doesn't depend on how they came.
    label_index
        In [0, `classes`).
    near_duplicate
        Images with a larger cosine don't vouch for each other.
    seed
        Of the simulated labels and the examples of large classes.

    Raises
    ------
    ValueError
        With fewer than 3 classes that have images.
    """
    sizes = np.bincount(label_index, minlength=classes)
    if (sizes > 0).sum() < LEAST_CLASSES:
        raise ValueError(f"{(sizes > 0).sum()} classes: there is no third one to compare with")
    generator = np.random.default_rng(seed)
    core = _densest_places(coordinates, label_index, classes, near_duplicate, generator)
    belief = core
    flip_share = 0.5
    for _ in range(_ROUNDS):
        weights = _trust(core, label_index, classes)
        reference = Reference.build(
            coordinates, label_index, weights, classes, near_duplicate=near_duplicate, generator=generator
        )
        given = reference.measure(Pairs.of(np.arange(len(label_index)), label_index))
        simulated = _simulate(reference, given, generator)
        belief, noise_share = _probabilities(given, simulated, label_index, belief, flip_share, classes)
        p_target, flip_share = _target_probabilities(reference, given, 1 - belief, generator)
        core = np.clip((belief - TRUSTED) / (1 - TRUSTED), 0, 1)
    recognized = float(np.average(given.features[:, COSINE_MARGIN] > 0, weights=belief))
    return Calibration(belief, given.best, (1 - belief) * p_target, noise_share, given.trusted, recognized)


def _densest_places(
    coordinates: Coordinates, label_index: Ids, classes: int, near_duplicate: float, generator: np.random.Generator
) -> Floats:
    """1 for the images in the densest place of their class, else 0; at least one of each class."""
    vectors, rows = coordinates.vectors, len(label_index)
    left, right = generator.integers(0, rows, (2, _SCALE_PAIRS))
    apart = label_index[left] != label_index[right]
    scale = scale_of(np.einsum("nd,nd->n", vectors[left[apart]], vectors[right[apart]]))
    order = np.argsort(label_index, kind="stable")
    bounds = np.searchsorted(label_index[order], np.arange(classes + 1))
    centers = np.zeros((classes, vectors.shape[1]), np.float32)
    for label in range(classes):
        members = order[bounds[label] : bounds[label + 1]]
        if len(members) > _MOST_ROWS:
            members = np.sort(generator.choice(members, _MOST_ROWS, replace=False))
        if len(members):
            found = vectors[members]
            center = densest(found[distinct(found, near_duplicate)], scale)
            centers[label] = found[0] if center is None else center
    own = np.einsum("nd,nd->n", vectors, centers[label_index])
    present = np.flatnonzero(np.diff(bounds))
    place = np.searchsorted(present, label_index)
    other = present[(place + generator.integers(1, len(present), rows)) % len(present)]
    for _ in range(_LEAVE_OUT_STEPS):
        scale = scale_of(np.einsum("nd,nd->n", vectors, centers[other]))
        weight = scale.weight(own).astype(np.float64)
        sums = class_sums(vectors, label_index, weight, classes)
        # Without itself: an image that helped to make its center is near it, whoever it shows.
        total, _ = sums.without(label_index, vectors, weight)
        centers, own = unit(sums.total), np.einsum("nd,nd->n", vectors, unit(total))
    weight = scale_of(np.einsum("nd,nd->n", vectors, centers[other])).weight(own).astype(np.float64)
    best = np.full(classes, -np.inf)
    np.maximum.at(best, label_index, own)
    return ((weight > _CORE) | (own >= best[label_index])).astype(np.float64)


def _trust(core: Floats, label_index: Ids, classes: int) -> Floats:
    """Weights of the images in the reference: the best of each class counts in full, none for nothing."""
    best = np.zeros(classes)
    np.maximum.at(best, label_index, core)
    return np.where(core >= best[label_index], 1.0, np.maximum(core, _DISTRUSTED))


def _simulate(reference: Reference, given: Measures, generator: np.random.Generator) -> _Simulated:
    """Measure images under labels that are not theirs, drawn by the number of trusted images of the label.

    Of an image that is not trusted nobody knows the person: its best other label must not be drawn, and stands in
    for the person among the competitors.
    """
    label_index, weights = reference.label_index, reference.weights
    classes = len(reference.sums.count)
    evenness = np.bincount(label_index, minlength=classes)[label_index] ** -0.5
    rows = generator.choice(len(label_index), _SIMULATED, p=evenness / evenness.sum())
    labels = generator.choice(classes, _SIMULATED, p=reference.sums.count / reference.sums.count.sum())
    trusted = weights[rows] >= TRUSTED
    surely = (labels != label_index[rows]) & (trusted | (labels != given.best[rows]))
    rows, labels, trusted = rows[surely], labels[surely], trusted[surely]
    person = np.where(trusted, label_index[rows], given.best[rows])
    half = len(rows) // 2
    return _Simulated(
        reference.measure(Pairs.of(rows[:half], labels[:half])),
        reference.measure(Pairs.of(rows[half:], labels[half:], person[half:])),
        labels[:half],
        labels[half:],
    )


def _probabilities(
    given: Measures, simulated: _Simulated, label_index: Ids, belief: Floats, flip_share: float, classes: int
) -> tuple[Floats, float]:
    """Probability that each label is right, and the share of wrong labels."""
    flips, strangers = simulated.flips.features, simulated.strangers.features
    by_class = np.bincount(label_index, weights=1 - belief, minlength=classes).astype(np.float64)
    wrong_weights = np.concatenate(
        [np.full(len(flips), flip_share / len(flips)), np.full(len(strangers), (1 - flip_share) / len(strangers))]
    )
    wrong = np.concatenate([flips, strangers])
    model = fit_logistic(given.features, belief, wrong, wrong_weights)
    score, wrong_score = model.log_odds(given.features), model.log_odds(wrong)
    nobody = _stands_for_nobody(given, score, wrong, wrong_weights, label_index, classes)[label_index]
    if nobody.any():
        score = np.where(nobody, _absolute_log_odds(given, belief, wrong, wrong_weights), score)
    bound = _weighted_quantile(wrong_score, simulated.weights(flip_share, by_class), _ANCHOR)
    rates, noise_share = _class_rates(score < bound, label_index, classes)
    rate = rates[label_index]
    ratio = np.exp(np.clip(score, -LARGEST_LOGIT, LARGEST_LOGIT))
    # One trusted image may itself be the wrong one; then the other's measures are those of a wrong label anyway.
    ratio = np.where(given.trusted < _SEVERAL, (1 - rate) * ratio + rate, ratio)
    # Nothing to compare with: the label is as probable as labels of the class are.
    ratio = np.where(given.trusted < TRUSTED, 1.0, ratio)
    return sigmoid(np.log((1 - rate) / rate) + np.log(ratio)), noise_share


def _stands_for_nobody(
    given: Measures, score: Floats, wrong: Floats, wrong_weights: Floats, label_index: Ids, classes: int
) -> npt.NDArray[np.bool_]:
    """Mask [C] of labels that no person stands behind: of an empty search, say, which found anybody.

    Their mean is the average face. Everybody is nearer to it than to the person of another label, so that the
    measures against competitors take all of their images for right ones. That they are not near each other tells.
    """
    likely = sigmoid(score)
    images = np.maximum(np.bincount(label_index, weights=likely, minlength=classes), np.finfo(np.float32).tiny)
    cosine = np.bincount(label_index, weights=likely * given.features[:, COSINE], minlength=classes) / images
    several = np.bincount(label_index, minlength=classes) >= _SEVERAL_IMAGES
    return several & (cosine < _weighted_quantile(wrong[:, COSINE], wrong_weights, _NOBODY))


def _absolute_log_odds(given: Measures, belief: Floats, wrong: Floats, wrong_weights: Floats) -> Floats:
    """Log odds [N] of the measures that know no competitor."""
    columns = [COSINE, NEAREST]
    model = fit_logistic(given.features[:, columns], belief, wrong[:, columns], wrong_weights)
    return model.log_odds(given.features[:, columns])


def _class_rates(caught: npt.NDArray[np.bool_], label_index: Ids, classes: int) -> tuple[Floats, float]:
    """Share of wrong labels of each class and of all, from what only wrong labels are caught by.

    The classes' rates are beta-distributed around the mean; how closely is fitted by maximum likelihood
    (beta-binomial), so small classes lean on all others and large ones on themselves.
    """
    n = np.bincount(label_index, minlength=classes).astype(np.float64)
    k = np.bincount(label_index, weights=caught, minlength=classes)
    total = max(float(k.sum()), 0.5)
    mean = min(total / n.sum(), 1 - _EPSILON)
    likelihood = [
        float((_log_beta(mean * c + k, (1 - mean) * c + n - k) - _log_beta(mean * c, (1 - mean) * c)).sum())
        for c in map(np.float64, _CONCENTRATIONS)
    ]
    concentration = _CONCENTRATIONS[int(np.argmax(likelihood))]
    share = min(mean / _ANCHOR, 1 - _EPSILON)
    rates = (k / _ANCHOR + concentration * share) / (n + concentration)
    return np.clip(rates, _EPSILON, 0.99), share


def _log_beta(a: Floats | np.float64, b: Floats | np.float64) -> Floats:
    first, second = torch.as_tensor(a), torch.as_tensor(b)
    logs: Floats = (torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)).numpy()
    return logs


def _weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """The value that `share` of the weight is not above."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(below, share * below[-1])]])


def _target_probabilities(
    reference: Reference, given: Measures, p_wrong: Floats, generator: np.random.Generator
) -> tuple[Floats, float]:
    """Probability that the best other label is right if the given one is wrong, and the share of flips in the noise.

    What a right label looks like is known: as those of the trusted images do. What the best of many wrong labels
    looks like is measured on trusted images whose own label does not compete.
    """
    rows = np.arange(len(p_wrong))
    right = p_wrong < 1 - TRUSTED
    candidates = rows[right & (given.best >= 0)]
    answer = np.zeros(len(p_wrong))
    suspects = rows[(p_wrong > _SUSPECT) & (given.best >= 0)]
    if not len(candidates) or not len(suspects):
        return answer, 0.5
    drawn = generator.choice(candidates, min(_SIMULATED, len(candidates)), replace=False)
    labels = reference.label_index
    best_wrong = reference.measure(Pairs.of(drawn, given.best[drawn], labels[drawn]))
    asked = reference.measure(Pairs.of(suspects, given.best[suspects], labels[suspects]))
    model = fit_logistic(given.features[right], 1 - p_wrong[right], best_wrong.features)
    score = model.log_odds(asked.features)
    suspicion = p_wrong[suspects]
    share = 0.5
    for _ in range(_SHARE_ITERATIONS):
        probability = sigmoid(score + np.log(share / (1 - share)))
        share = float(np.clip((suspicion * probability).sum() / suspicion.sum(), _LEAST_SHARE, 1 - _LEAST_SHARE))
    answer[suspects] = probability
    return answer, share if suspicion.sum() > _LEAST_NOISE else 0.5
