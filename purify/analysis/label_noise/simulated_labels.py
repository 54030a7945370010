"""Images of the set under surely wrong labels, measured like all images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.gallery import TRUSTED, Gallery
from purify.analysis.label_noise.hypotheses import Hypotheses, Measures
from purify.arrays import Floats, Ids

#: Wrong labels simulated per round.
SIMULATED = 8000
#: Largest factor by which simulated labels are reweighted towards noisy classes.
_MOST_REWEIGHTED = 10.0


@dataclass(frozen=True)
class SimulatedLabels:
    """``features[M, F]`` of images under the wrong ``labels[M]``.

    The first `flips` are measured with the image's own label in competition, the rest, like strangers, without.
    """

    features: Floats
    labels: Ids
    flips: int

    def weights(self, flip_share: float) -> Floats:
        """Weights [M] that give the flips a total share of `flip_share`."""
        sizes = np.array([self.flips, len(self.labels) - self.flips])
        return np.repeat(np.array([flip_share, 1 - flip_share]) / np.maximum(sizes, 1), sizes)

    def noise_factor(self, noise_by_class: Floats) -> Floats:
        """Factors [M] that shift the weights to the noisy classes."""
        drawn = np.bincount(self.labels, minlength=len(noise_by_class)) + 0.3
        wanted = noise_by_class + 0.3
        factor = (wanted / wanted.sum() / (drawn / drawn.sum()))[self.labels]
        return np.clip(factor, 1 / _MOST_REWEIGHTED, _MOST_REWEIGHTED)


def simulate(gallery: Gallery, given: Measures, rng: np.random.Generator) -> SimulatedLabels:
    """Measure images under wrong labels, drawn in proportion to the trusted images of each label.

    The person on a distrusted image is unknown; its best other label stands in: never drawn, and a competitor of flips
    only.
    """
    label_index, weights = gallery.label_index, gallery.weights
    classes = len(gallery.sums.count)
    evenness = np.bincount(label_index, minlength=classes)[label_index] ** -0.5
    rows = rng.choice(len(label_index), SIMULATED, p=evenness / evenness.sum())
    labels = rng.choice(classes, SIMULATED, p=gallery.sums.count / gallery.sums.count.sum())
    person = np.where(weights[rows] >= TRUSTED, label_index[rows], given.best[rows])
    surely = (labels != label_index[rows]) & (labels != person)
    rows, labels, person = rows[surely], labels[surely], person[surely]
    half = len(rows) // 2
    flips = gallery.measure(Hypotheses.of(rows[:half], labels[:half]))
    strangers = gallery.measure(Hypotheses.of(rows[half:], labels[half:], person[half:]))
    return SimulatedLabels(np.concatenate([flips.features, strangers.features]), labels, half)
