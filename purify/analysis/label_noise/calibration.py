"""Probabilities of labels, measured on the data set itself: no truth, no noise rate, no threshold.

Wrong labels are simulated: images of this very set get surely wrong labels, and are measured like all images
(`gallery`), half of them with their own label among the competitors, like flipped labels, and half without, like
strangers. The measures of the given labels are a mixture of these and of right ones. A logistic regression tells the
two apart; its log odds are the logarithm of the ratio of their densities. The share of wrong labels follows from the
part of the mixture that only wrong labels reach.

Three rounds: the first trusts the densest region of each class, so that companions (several wrong images of one
person, vouching for each other) don't spoil the gallery, or what a trained head recognizes; each later round trusts the
labels that the previous one found right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.class_rates import ANCHOR, LEAST_CLASSES, class_rates
from purify.analysis.label_noise.gallery import COSINE, COSINE_MARGIN, NEAREST, TRUSTED, Gallery
from purify.analysis.label_noise.hypotheses import Hypotheses, Measures
from purify.analysis.label_noise.initial_trust import densest_places, recognized_places, trust_weights
from purify.analysis.label_noise.logistic import LARGEST_LOGIT, fit_logistic, sigmoid
from purify.analysis.label_noise.simulated_labels import SIMULATED, SimulatedLabels, simulate
from purify.arrays import Floats, Ids, Mask

_ROUNDS = 3
#: Minimum trusted weight that amounts to several images.
_SEVERAL = 1.5
#: A label stands for nobody if its images are no nearer to its center than this quantile of wrong labels is ...
_NOBODY = 0.95
#: ... and number at least this many: of fewer, one may well be right.
_SEVERAL_IMAGES = 4
#: Minimum probability of a wrong label to look for another one.
_SUSPECT = 0.01
#: Log odds by which right images look worse if their network has not seen them. After two rounds on 45 % flips, of the
#: images that the first one had removed, those with 0.15 were right in 53 %, those with 0.43 in 67 %.
_UNSEEN = 1.0
_LEAST_SHARE = 0.02
_LEAST_NOISE = 5.0
_SHARE_ITERATIONS = 200


@dataclass(frozen=True)
class Calibration:
    """Probabilities of N images: ``p_clean`` of the given label, ``p_target`` of the best other one (-1: none).

    ``noise_share`` estimates the share of wrong labels, ``trusted[N]`` is the weight of the label's other trusted
    images, ``recognized`` the share of the right images nearer to their own label than to any other.
    """

    p_clean: Floats
    target: Ids
    p_target: Floats
    noise_share: float
    trusted: Floats
    recognized: float


def allow_for_unseen(calibration: Calibration, unseen: Mask) -> Calibration:
    """Raise the log odds of images ``unseen[N]`` in the training of their network.

    Right labels look like those of trusted images, which a network trained on these labels has mostly seen; right ones
    that it has not seen look worse.
    """
    p_clean = calibration.p_clean
    tiny = np.finfo(np.float64).tiny
    log_odds = np.log(np.maximum(p_clean, tiny)) - np.log(np.maximum(1 - p_clean, tiny))
    raised = np.where(unseen, sigmoid(log_odds + _UNSEEN), p_clean)
    p_target = calibration.p_target * (1 - raised) / np.maximum(1 - p_clean, tiny)
    return replace(calibration, p_clean=raised, p_target=p_target)


def calibrate(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    *,
    classes: int,
    near_duplicate: float,
    seed: int,
    margin: Floats | None = None,
) -> Calibration:
    """Measure the probabilities of the labels ``label_index[N]`` of C classes.

    Parameters
    ----------
    embeddings
        Embeddings of the N images, in a canonical order.
    near_duplicate
        Images with a larger cosine don't vouch for each other.
    seed
        Seed of the random draws: simulated labels, and samples of large classes.
    margin
        float64 [N]: margin of each image at the head that was trained on these labels (see `LearnedLabels`), if any:
        the first round trusts positive ones instead of the densest places.

    Raises
    ------
    ValueError
        With images of fewer than 3 classes.
    """
    sizes = np.bincount(label_index, minlength=classes)
    if (sizes > 0).sum() < LEAST_CLASSES:
        raise ValueError(f"{(sizes > 0).sum()} classes: there is no third one to compare with")
    rng = np.random.default_rng(seed)
    core = belief = densest_places(embeddings.vectors, label_index, classes, near_duplicate, rng)
    if margin is not None:
        unknown = np.isnan(margin)
        places = recognized_places(np.where(unknown, -np.inf, margin), label_index, classes)
        core = belief = np.where(unknown, core, places)
    flip_share = 0.5
    for _ in range(_ROUNDS):
        weights = trust_weights(core, label_index, classes)
        gallery = Gallery(embeddings, label_index, weights, classes, near_duplicate=near_duplicate, rng=rng)
        given = gallery.measure(Hypotheses.of(np.arange(len(label_index)), label_index))
        simulated = simulate(gallery, given, rng)
        belief, noise_share = _probabilities(given, simulated, label_index, belief, flip_share, classes)
        p_target, flip_share = _target_probabilities(gallery, given, 1 - belief, rng)
        core = np.clip((belief - TRUSTED) / (1 - TRUSTED), 0, 1)
    recognized = float(np.average(given.features[:, COSINE_MARGIN] > 0, weights=belief))
    return Calibration(belief, given.best, (1 - belief) * p_target, noise_share, given.trusted, recognized)


def _probabilities(
    given: Measures, simulated: SimulatedLabels, label_index: Ids, belief: Floats, flip_share: float, classes: int
) -> tuple[Floats, float]:
    """Probability of each label, and the share of wrong labels."""
    wrong, wrong_weights = simulated.features, simulated.weights(flip_share)
    model = fit_logistic(given.features, belief, wrong, wrong_weights)
    score, wrong_score = model.log_odds(given.features), model.log_odds(wrong)
    nobody = _stands_for_nobody(given, score, wrong, wrong_weights, label_index, classes)[label_index]
    if nobody.any():
        score = np.where(nobody, _absolute_log_odds(given, belief, wrong, wrong_weights), score)
    noise_by_class = np.bincount(label_index, weights=1 - belief, minlength=classes).astype(np.float64)
    bound = _weighted_quantile(wrong_score, wrong_weights * simulated.noise_factor(noise_by_class), ANCHOR)
    rates, noise_share = class_rates(score < bound, label_index, classes)
    rate = rates[label_index]
    ratio = np.exp(np.clip(score, -LARGEST_LOGIT, LARGEST_LOGIT))
    # A single trusted image may itself be wrong; the other's measures are then those of a wrong label anyway.
    ratio = np.where(given.trusted < _SEVERAL, (1 - rate) * ratio + rate, ratio)
    # Without other trusted images, only the prior of the class is left.
    ratio = np.where(given.trusted < TRUSTED, 1.0, ratio)
    return sigmoid(np.log((1 - rate) / rate) + np.log(ratio)), noise_share


def _stands_for_nobody(
    given: Measures, score: Floats, wrong: Floats, wrong_weights: Floats, label_index: Ids, classes: int
) -> Mask:
    """Mask [C] of labels without a person, such as those of an empty image search.

    Their mean is the average face. Everybody is nearer to it than to the person of another label, so the measures
    against competitors take all of their images for right ones; their distance from that mean gives them away.
    """
    likely = sigmoid(score)
    images = np.maximum(np.bincount(label_index, weights=likely, minlength=classes), np.finfo(np.float32).tiny)
    cosine = np.bincount(label_index, weights=likely * given.features[:, COSINE], minlength=classes) / images
    several = np.bincount(label_index, minlength=classes) >= _SEVERAL_IMAGES
    return several & (cosine < _weighted_quantile(wrong[:, COSINE], wrong_weights, _NOBODY))


def _absolute_log_odds(given: Measures, belief: Floats, wrong: Floats, wrong_weights: Floats) -> Floats:
    """Log odds [N] by the measures without competitors."""
    columns = [COSINE, NEAREST]
    model = fit_logistic(given.features[:, columns], belief, wrong[:, columns], wrong_weights)
    return model.log_odds(given.features[:, columns])


def _weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """Quantile `share` of the weighted values."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(below, share * below[-1])]])


def _target_probabilities(
    gallery: Gallery, given: Measures, p_wrong: Floats, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Probability of the best other label if the given one is wrong, and the share of flips in the noise.

    Right labels look like those of the trusted images. The best of many wrong labels is measured on trusted images,
    with their own label out of competition.
    """
    rows = np.arange(len(p_wrong))
    right = p_wrong < 1 - TRUSTED
    candidates = rows[right & (given.best >= 0)]
    answer = np.zeros(len(p_wrong))
    suspects = rows[(p_wrong > _SUSPECT) & (given.best >= 0)]
    if not len(candidates) or not len(suspects):
        return answer, 0.5
    drawn = rng.choice(candidates, min(SIMULATED, len(candidates)), replace=False)
    labels = gallery.label_index
    best_wrong = gallery.measure(Hypotheses.of(drawn, given.best[drawn], labels[drawn]))
    asked = gallery.measure(Hypotheses.of(suspects, given.best[suspects], labels[suspects]))
    model = fit_logistic(given.features[right], 1 - p_wrong[right], best_wrong.features)
    score = model.log_odds(asked.features)
    suspicion = p_wrong[suspects]
    share = 0.5
    for _ in range(_SHARE_ITERATIONS):
        probability = sigmoid(score + np.log(share / (1 - share)))
        share = float(np.clip((suspicion * probability).sum() / suspicion.sum(), _LEAST_SHARE, 1 - _LEAST_SHARE))
    answer[suspects] = probability
    return answer, share if suspicion.sum() > _LEAST_NOISE else 0.5
