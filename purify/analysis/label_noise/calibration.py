"""Probabilities of labels, measured on the data set itself: no truth, no noise rate, no threshold.

An image of a label shows the label's person, or it is wrong: it shows the person of another label (a flip) or of none
(a stranger). Three things are measured on the set: how alike images of one person and of different people are
(`same_person`), how many labels are wrong (`noise_rates`), and where wrong images come from (`origins`). Small labels
are judged jointly (`small_labels`); in large ones each image is compared with the trusted others.

Rounds: the first trusts the densest region of each label, so that companions (several wrong images of one person,
vouching for each other) don't spoil the comparison, or what a trained head recognizes; each later round trusts the
labels that the previous one found right. Within a round, the rates and origins are fitted by expectation maximization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.claim_strength import ClaimStrength, measure_claims
from purify.analysis.label_noise.evidence import Evidence, weigh
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.label_noise.hardness import first_hardness, measure_hardness
from purify.analysis.label_noise.initial_trust import densest_places, recognized_places
from purify.analysis.label_noise.logistic import sigmoid
from purify.analysis.label_noise.noise_rates import rates_by_size, rates_of_images
from purify.analysis.label_noise.origins import FlipCounts, Origins, Routes
from purify.analysis.label_noise.ownership import find_owners
from purify.analysis.label_noise.plausibility import is_plausible
from purify.analysis.label_noise.repeated_pictures import first_of_each_picture
from purify.analysis.label_noise.same_person import NobodyTrustedError
from purify.analysis.search import row_chunks
from purify.analysis.threaded_search import map_blocks
from purify.arrays import Floats, Ids, Mask

#: Minimum number of labels of two images or more: two to confuse and a third to compare with.
LEAST_CLASSES = 3
_ROUNDS = 3
_ITERATIONS = 20
_FIRST_RATE = 0.15
_FLIP_SHARES = (0.02, 0.98)
#: Images at a time, whose claims take a few MiB.
_BLOCK = 65_536
#: Sets of fewer pictures are measured this many times, by other random draws, whose mean counts: on 721 faces of 12
#: people, single measurements differ by 2 % of the wrong labels found.
_FEW_PICTURES, _REPEATS = 800, 3
#: Minimum weight of the other images that amounts to several.
_SEVERAL = 1.5


class TooFewLabelsError(ValueError):
    """There are too few labels to measure what right and wrong ones look like."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities of N images: ``p_clean`` of the given label, ``p_target`` of the best other one (-1: none).

    ``hard[N]`` is the probability that the label is right but the image unrecognizable, ``noise_share`` the estimated
    share of wrong labels, ``recognized`` the share of right images nearer to their own label than to any other, or 0 if
    the probabilities don't fit the likeness of all pairs (`plausibility`). The images were judged as so many
    `pictures`.
    """

    p_clean: Floats
    target: Ids
    p_target: Floats
    hard: Floats
    noise_share: float
    recognized: float
    pictures: int = 0


@dataclass(frozen=True)
class _Fit:
    """Probabilities of the images at the present rates and origins.

    ``wrong[N]``: log ratio of a wrong label. ``claimed[N, R]``: probability of each claimant if the label is wrong.
    """

    p_clean: Floats
    wrong: Floats
    claimed: Floats
    origins: Origins
    rates: Floats


def calibrate(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    *,
    classes: int,
    near_duplicate: float,
    seed: int,
    margin: Floats | None = None,
    near: npt.NDArray[np.int32] | None = None,
    trust: Floats | None = None,
) -> Calibration:
    """Measure the probabilities of the labels ``label_index[N]`` of C classes.

    Parameters
    ----------
    embeddings
        Embeddings of the N images, in a canonical order.
    near_duplicate
        Images of a label with a larger cosine are one picture, or of one series: they are judged once.
    seed
        Seed of the random draws.
    margin
        float64 [N]: margin of each image at the head that was trained on these labels (see `LearnedLabels`), if any:
        the first round trusts positive ones instead of the densest places. NaN for labels that it did not learn.
    near
        int32 [N, R]: the labels that may claim each image, -1 for none; None: all.
    trust
        float64 [N]: trust in each image at the start where it is known, else NaN.

    Raises
    ------
    TooFewLabelsError
        With fewer than 3 labels of two different pictures or more.
    """
    first = first_of_each_picture(embeddings.vectors, label_index, near_duplicate)
    pictures, place = np.unique(first, return_inverse=True)
    sizes = np.bincount(label_index[pictures], minlength=classes)
    if (sizes > 1).sum() < LEAST_CLASSES:
        raise TooFewLabelsError(
            f"{(sizes > 1).sum()} labels have two different pictures or more, and to tell right from wrong takes at "
            f"least {LEAST_CLASSES}; add images of other people, under labels of their own"
        )
    heads = None if margin is None else margin[pictures]
    near = near if near is None or len(near) == len(pictures) else near[pictures]
    seeds = np.random.SeedSequence(seed).generate_state(_REPEATS if len(pictures) < _FEW_PICTURES else 1).tolist()
    try:
        shown, labels = embeddings.of(pictures), label_index[pictures]
        known = None if trust is None else trust[pictures]
        found = _mean([_calibrate(shown, labels, sizes, one, heads, near, known) for one in seeds])
    except NobodyTrustedError:
        found = _unmeasured(len(pictures))
    of_image = {name: getattr(found, name)[place] for name in ("p_clean", "target", "p_target", "hard")}
    noise_share = float(1 - of_image["p_clean"].mean())
    return Calibration(**of_image, noise_share=noise_share, recognized=found.recognized, pictures=len(pictures))


def _unmeasured(pictures: int) -> Calibration:
    """Of embeddings in which nobody's images are alike: nothing is recognized, and the rate is that of the start."""
    nothing = np.zeros(pictures)
    p_clean = np.full(pictures, 1 - _FIRST_RATE)
    return Calibration(p_clean, np.full(pictures, -1), nothing, nothing, _FIRST_RATE, recognized=0.0)


def _mean(found: Sequence[Calibration]) -> Calibration:
    """The mean of several measurements; of the other labels, the one with the largest mean probability."""
    if len(found) == 1:
        return found[0]
    targets, p_targets = (np.stack([getattr(one, name) for one in found]) for name in ("target", "p_target"))
    p_each = np.stack([np.where(targets == target, p_targets, 0).mean(axis=0) for target in targets])
    best = p_each.argmax(axis=0)
    rows = np.arange(targets.shape[1])
    means = {name: np.mean([getattr(one, name) for one in found], axis=0) for name in ("p_clean", "hard")}
    recognized = float(np.median([one.recognized for one in found]))
    return Calibration(
        means["p_clean"],
        targets[best, rows],
        p_each[best, rows],
        means["hard"],
        float(1 - means["p_clean"].mean()),
        recognized,
    )


def can_judge(label_index: Ids) -> bool:
    """Whether there are enough labels of two images or more to measure right and wrong ones."""
    return int((np.bincount(label_index) > 1).sum()) >= LEAST_CLASSES


def _calibrate(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    sizes: Ids,
    seed: int,
    margin: Floats | None,
    near: npt.NDArray[np.int32] | None,
    known: Floats | None,
) -> Calibration:
    """`calibrate` without near duplicates; ``sizes[C]`` counts the pictures."""
    rng = np.random.default_rng(seed)
    classes, several = len(sizes), sizes[label_index] > 1
    trust = densest_places(embeddings.vectors, label_index, classes, rng)
    suspects = np.ones(classes, np.bool_)
    if margin is not None:
        unknown = np.isnan(margin)
        # A label that the head has hardly learned yet may be a person's all the same.
        suspects[label_index[~unknown]] = False
        places = recognized_places(np.where(unknown, -np.inf, margin), label_index, classes)
        trust = np.where(unknown, trust, places)
    if known is not None:
        trust = np.where(np.isnan(known), trust, known)
    measured = _Round(first_hardness(len(label_index)), trust, Origins.first(), np.full(classes, _FIRST_RATE), suspects)
    for number in range(_ROUNDS):
        gallery, evidence, trust = _compare(embeddings, label_index, sizes, measured, near, rng)
        fit = _maximize(evidence, label_index, sizes, replace(measured, trust=trust))
        if number < _ROUNDS - 1:
            measured = _Round.after(fit, evidence, gallery, several)
            del gallery, evidence, fit  # hundreds of bytes an image, before the next ones are made
    strength = measure_claims(evidence, label_index, fit.p_clean, fit.origins, rng)
    found = _answer(evidence, fit, strength, measured.hardness, several)
    plausible = is_plausible(embeddings.vectors, label_index, fit.p_clean, rng)
    return found if plausible else replace(found, recognized=0.0)


@dataclass(frozen=True)
class _Round:
    """What a round knows of the one before: the images' hardness, the trust [N] in them, origins and rates.

    Of the labels ``suspects[C]`` it is asked whether they stand for a person. ``own[N]`` are the log ratios behind the
    trust, and `routes` those of that round, if any.
    """

    hardness: Floats
    trust: Floats
    origins: Origins
    rates: Floats
    suspects: Mask
    own: Floats | None = None
    routes: Routes | None = None

    @classmethod
    def after(cls, fit: _Fit, evidence: Evidence, gallery: Gallery, several: Mask) -> _Round:
        trust = fit.p_clean
        strangers = float((1 - trust)[several].mean()) * (1 - fit.origins.flip_share)
        hardness = measure_hardness(
            evidence.own, evidence.mates, trust, gallery.traits, several=several, strangers=strangers
        )
        suspects = np.ones(len(fit.rates), np.bool_)
        return cls(hardness, trust, fit.origins, fit.rates, suspects, evidence.own, evidence.routes)


def _compare(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    sizes: Ids,
    known: _Round,
    near: npt.NDArray[np.int32] | None,
    rng: np.random.Generator,
) -> tuple[Gallery, Evidence, Floats]:
    """The images compared, and the trust in them, which changes where labels of one person compete."""
    trust, routes = known.trust, known.routes
    while True:
        gallery = Gallery(embeddings, label_index, trust, len(sizes), rng=rng, near=near)
        evidence = weigh(gallery, trust, sizes, rng, known.suspects, known.own, routes)
        owners = find_owners(evidence, label_index, trust, sizes, known.origins)
        if trust is not known.trust or not owners.changes_trust:
            return gallery, evidence.without(owners.refused), trust
        trust, routes = np.where(np.isfinite(owners.trust), owners.trust, trust), evidence.routes


def _maximize(evidence: Evidence, label_index: Ids, sizes: Ids, known: _Round) -> _Fit:
    """Fit probabilities, origins and rates to the evidence, from the known ones on."""
    p_clean, origins, rates, hardness = known.trust, known.origins, known.rates, known.hardness
    several = sizes[label_index] > 1
    own = np.logaddexp(np.log1p(-hardness) + evidence.doubted_own, np.log(hardness))
    own = np.where(evidence.nobody, np.log(hardness), own)
    flips = _Flips.empty(evidence.claims.shape)
    for _ in range(_ITERATIONS):
        flips.weigh(evidence, label_index, origins)
        p_clean = _p_clean(
            evidence, own, flips.wrong, hardness, rates_of_images(1 - p_clean, label_index, rates), rates[label_index]
        )
        share = (1 - p_clean) * several
        origins = Origins.measured(float(share.sum()), flips.count(share, evidence.ranks), evidence.routes)
        rates = rates_by_size(1 - p_clean, label_index, sizes)
    return _Fit(p_clean, flips.wrong, flips.claimed(), origins, rates)


@dataclass(frozen=True)
class _Flips:
    """Of N images, if their labels are wrong: a block of them at a time, in place.

    ``wrong[N]`` and `claimed` are those of `_Fit`; ``claims[N, R]`` plus ``shift[N]`` are the logarithms of the latter.
    """

    claims: Floats
    wrong: Floats
    shift: Floats

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> _Flips:
        """Of N images with R claimants each."""
        return cls(np.empty(shape), np.empty(shape[0]), np.empty(shape[0]))

    def weigh(self, evidence: Evidence, label_index: Ids, origins: Origins) -> None:
        """Set the log ratios of the present origins."""
        sources, log_flip = evidence.routes.sources(origins), np.log(origins.flip_share)

        def of_block(rows: slice) -> None:
            source = np.maximum(evidence.claimants[rows], 0)
            prior = sources.probability(source, label_index[rows], evidence.ranks[rows])
            claims = np.log(np.maximum(prior, np.finfo(np.float64).tiny)) + evidence.claims[rows]
            together = np.logaddexp.reduce(claims, axis=1)
            flip = log_flip + together
            wrong = np.logaddexp(np.log1p(-origins.flip_share), flip)
            self.claims[rows], self.wrong[rows], self.shift[rows] = claims, wrong, flip - together - wrong

        map_blocks(of_block, len(self.wrong), _BLOCK)

    def count(self, share: Floats, ranks: npt.NDArray[np.int8]) -> FlipCounts:
        """Flips among images that count ``share[N]`` each."""

        def of_block(rows: slice) -> FlipCounts:
            claimed = np.exp(self.claims[rows] + self.shift[rows, None]) * share[rows, None]
            return FlipCounts.of(claimed, ranks[rows])

        first, *others = map_blocks(of_block, len(self.wrong), _BLOCK)
        return sum(others, first)

    def claimed(self) -> Floats:
        """Probability [N, R] of each claimant, in place of its logarithm."""
        for part in row_chunks(len(self.wrong)):
            np.exp(self.claims[part] + self.shift[part, None], out=self.claims[part])
        return self.claims


def _p_clean(
    evidence: Evidence, own: Floats, wrong: Floats, hardness: Floats, rates: Floats, by_size: Floats
) -> Floats:
    """Probability [N] of each label: of large labels by ``own[N]``, of small ones jointly."""
    p_clean = sigmoid(np.log((1 - rates) / rates) + own - wrong)
    for sets in evidence.small:
        p_clean[sets.rows] = sets.p_clean(by_size, hardness, wrong)
    return p_clean


def _answer(evidence: Evidence, fit: _Fit, strength: ClaimStrength, hardness: Floats, several: Mask) -> Calibration:
    best = fit.claimed.argmax(axis=1)
    rows = np.arange(len(best))
    target = evidence.claimants[rows, best].astype(np.int64)
    alike = np.exp(np.minimum(evidence.doubted_own, 60.0))
    hard = fit.p_clean * hardness / (hardness + (1 - hardness) * alike)
    counted = evidence.mates >= _SEVERAL
    counted = counted if counted.any() else several
    ahead = evidence.own[counted] > evidence.claims.max(axis=1)[counted]
    return Calibration(
        fit.p_clean,
        target,
        (1 - fit.p_clean) * np.where(target >= 0, _p_claimed(fit, fit.claimed[rows, best], strength, several), 0),
        hard,
        float(1 - fit.p_clean.mean()),
        float(np.average(ahead, weights=fit.p_clean[counted])),
    )


def _p_claimed(fit: _Fit, claimed: Floats, strength: ClaimStrength, several: Mask) -> Floats:
    """Probability [N] of a claimant if the label is wrong, ``claimed[N]`` so far, by the measured strength of claims.

    The shares of flips and strangers that follow from it are fitted anew; those behind ``p_clean`` are more cautious.
    """
    total = np.maximum(fit.claimed.sum(axis=1), np.finfo(np.float64).tiny)
    flip_share = fit.origins.flip_share
    score = strength.log_ratio(np.log(total) + fit.wrong - np.log(flip_share))
    doubt = (1 - fit.p_clean) * several
    for _ in range(_ITERATIONS):
        p_flip = sigmoid(score + np.log(flip_share / (1 - flip_share)))
        flip_share = float(np.clip((doubt * p_flip).sum() / max(doubt.sum(), 1e-9), *_FLIP_SHARES))
    return claimed * (p_flip / total)
