"""Likelihood ratio of an image belonging to a class or to a stranger: two-covariance PLDA.

The two-covariance form of probabilistic linear discriminant analysis (Ioffe, ECCV 2006; Brummer and de Villiers,
Odyssey 2010): an image is its person plus variation, both Gaussian. In coordinates with white variation and
uncorrelated people of variances psi, the ratio of the two likelihoods has a closed form. Unlike a cosine, it weights
the directions by how well they tell people apart, and trusts a mean of two images less than one of twenty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.leave_one_out import class_sums
from purify.arrays import Floats, Ids, Mask, Vectors

#: Minimum shrinkage of the variation towards a sphere, against overfitting of the trusted images; more where rows are
#: few for the dimensions.
_LEAST_SHRINKAGE = 0.05
#: Maximum weight of a class in the variation, in images, lest a few large classes dominate.
_MOST_IMAGES = 30
#: Labels of fewer images are left out of small sets with enough larger ones. Of few labels the model learns each one:
#: two strangers under one label seem alike where their mean and their variation are part of it.
_LEAST_IMAGES, _ENOUGH = 3.0, 30
#: A set is small for the model with fewer labels than this many times the dimensions.
_LABELS_PER_DIMENSION = 4
#: Images beyond this number add no evidence of a person: pictures of one occasion are not independent.
_MOST_EVIDENCE = 20
#: Minimum variance of an axis, as a share of the largest one.
_LEAST_SPREAD = 1e-3
_LEAST_COUNT = 1.0
#: Images at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class Products:
    """Weights [d]: the log ratio of x and a mean y is constant + x own x / 2 + x across y - y between y / 2."""

    own: Vectors
    across: Vectors
    between: Vectors
    constant: float


@dataclass(frozen=True)
class IdentityModel:
    """``axes[d, D]`` of the coordinates, and between-person variances ``psi[d]``; the within-person variance is 1."""

    axes: Vectors
    psi: Vectors

    def coordinates(self, vectors: Vectors) -> Vectors:
        """``vectors[N, D]`` -> [N, d]."""
        return vectors @ self.axes.T

    def log_ratio(self, coordinates: Vectors, means: Vectors, counts: Floats) -> Vectors:
        """Logarithm of p(image | same person as the mean of ``counts[...]`` images) / p(image | a stranger).

        ``coordinates[..., d]`` and ``means[..., d]`` broadcast; counts below 1 are taken as 1.
        """
        expected, variance = self._predicted(means, counts)
        alone = 1 + self.psi
        exponent = coordinates**2 / alone - (coordinates - expected) ** 2 / variance
        ratio: Vectors = 0.5 * (exponent - np.log(variance / alone)).sum(axis=-1)
        return ratio

    def quadratic(self, coordinates: Vectors) -> Vectors:
        """``coordinates[N, d]`` -> [N, 2d + 1]; products with rows of `class_forms` are log ratios."""
        alone = 0.5 * (coordinates**2 / (1 + self.psi) + np.log1p(self.psi)).sum(axis=1, keepdims=True)
        return np.hstack([coordinates**2, coordinates, alone])

    def class_forms(self, means: Vectors, counts: Floats) -> Vectors:
        """`log_ratio` to the ``means[C, d]`` of ``counts[C]`` images as linear forms [C, 2d + 2] in `quadratic`.

        The last column is the constant, to be added to the product.
        """
        expected, variance = self._predicted(means, counts)
        constant = -0.5 * (expected**2 / variance + np.log(variance)).sum(axis=1, keepdims=True)
        return np.hstack([-0.5 / variance, expected / variance, np.ones_like(constant), constant])

    def products(self, images: int) -> Products:
        """`log_ratio` to the mean of so many `images` in scalar products of the coordinates."""
        gain = self.psi / (1 + self.psi * np.float32(images))
        variance, weight = 1 + gain, gain * np.float32(images)
        return Products(
            own=np.asarray(1 / (1 + self.psi) - 1 / variance, np.float32),
            across=weight / variance,
            between=weight**2 / variance,
            constant=0.5 * float(np.log((1 + self.psi) / variance).sum(dtype=np.float64)),
        )

    def log_ratio_of_sets(self, means: Vectors, counts: Floats, others: Vectors, other_counts: Floats) -> Floats:
        """Logarithm of p(two sets of images | one person) / p(two sets | two people), [...].

        ``means[..., d]`` and ``others[..., d]`` are the sets' means, of ``counts[...]`` images each; they broadcast.
        """
        n, m = (
            (1 / np.clip(count, _LEAST_COUNT, _MOST_EVIDENCE))[..., None].astype(np.float32)
            for count in (counts, other_counts)
        )
        var_a, var_b = self.psi + n, self.psi + m
        rest = self.psi * (n + m) + n * m  # var_a * var_b - psi^2
        # Squares of the means in p(together), less those in p(apart), and their product.
        of_a, of_b = (self.psi * var / other for var, other in ((self.psi / var_a, rest), (self.psi / var_b, rest)))
        exponent = self.psi * means * others / rest - 0.5 * (of_a * means**2 + of_b * others**2)
        constant = 0.5 * np.log1p(self.psi**2 / rest)
        ratio: Floats = (exponent + constant).sum(axis=-1, dtype=np.float64)
        return ratio

    def _predicted(self, means: Vectors, counts: Floats) -> tuple[Vectors, Vectors]:
        """Predictive mean and variance [..., d] of another image of each person, given a mean of `counts` images."""
        n = np.clip(counts, _LEAST_COUNT, _MOST_EVIDENCE)[..., None].astype(np.float32)
        gain = self.psi / (1 + self.psi * n)
        return gain * n * means, 1 + gain


def fit_identities(vectors: Vectors, label_index: Ids, weights: Floats, classes: int) -> IdentityModel:
    """Fit to centered unit ``vectors[N, D]``, weighted by ``weights[N]``."""
    sums = class_sums(vectors, label_index, weights, classes)
    large = sums.count >= _LEAST_IMAGES
    if _ENOUGH <= large.sum() < _LABELS_PER_DIMENSION * vectors.shape[1]:
        weights = np.where(large[label_index], weights, 0)
        sums = class_sums(vectors, label_index, weights, classes)
    means = sums.means()
    share = weights * np.minimum(1, _MOST_IMAGES / np.maximum(sums.count, 1))[label_index]
    # Images lie nearer to their own mean than to the person: squared distances shrink by (n - 1) / n.
    nearness = np.maximum((sums.count - 1) / np.maximum(sums.count, 1), 0.3)[label_index]
    scale = np.sqrt(share / nearness)[:, None].astype(np.float32)
    variation = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        residuals = (vectors[rows] - means[label_index[rows]]) * scale[rows]
        variation += residuals.T @ residuals
    variation /= share.sum()
    dim = len(variation)
    shrinkage = max(_LEAST_SHRINKAGE, dim / (dim + float(share.sum())))
    # One image per class, or equal embeddings: nothing to estimate, so any sphere will do.
    mean_variance = float(np.trace(variation)) / dim or 1.0
    variation = (1 - shrinkage) * variation + shrinkage * mean_variance * np.eye(dim)
    several = sums.count >= 2
    between = _between(means, sums.count, several if several.any() else sums.count > 0, variation)

    # Few people span few directions, and a stranger lies outside them.
    roundness = dim / (dim + float(several.sum()))
    between = (1 - roundness) * between + roundness * np.trace(between) / dim * np.eye(dim)
    whitening = np.linalg.inv(np.linalg.cholesky(variation))
    psi, turn = np.linalg.eigh(whitening @ between @ whitening.T)
    used = psi > _LEAST_SPREAD * max(psi[-1], np.finfo(np.float32).tiny)
    return IdentityModel((turn.T @ whitening)[used].astype(np.float32), psi[used].astype(np.float32))


def _between(means: Vectors, counts: Floats, used: Mask, variation: Floats) -> Floats:
    """Between-person covariance: that of the class means, less the contribution of the variation."""
    chosen = means[used].astype(np.float64)
    return chosen.T @ chosen / len(chosen) - variation * float(np.mean(1 / counts[used]))
