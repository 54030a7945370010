"""Images of the set under labels that they surely don't have, measured as all images are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.gallery import TRUSTED, Gallery
from purify.analysis.label_noise.hypotheses import Hypotheses, Measures
from purify.arrays import Floats, Ids

#: Labels put to wrong use in a round.
SIMULATED = 8000
#: Reweighting of the simulated labels to where the noise is, at most by this factor.
_MOST_REWEIGHTED = 10.0


@dataclass(frozen=True)
class SimulatedLabels:
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


def simulate(gallery: Gallery, given: Measures, generator: np.random.Generator) -> SimulatedLabels:
    """Measure images under labels that are not theirs, drawn by the number of trusted images of the label.

    The person of a distrusted image is unknown: its best other label is not drawn, and stands in for the person among
    the competitors.
    """
    label_index, weights = gallery.label_index, gallery.weights
    classes = len(gallery.sums.count)
    evenness = np.bincount(label_index, minlength=classes)[label_index] ** -0.5
    rows = generator.choice(len(label_index), SIMULATED, p=evenness / evenness.sum())
    labels = generator.choice(classes, SIMULATED, p=gallery.sums.count / gallery.sums.count.sum())
    trusted = weights[rows] >= TRUSTED
    surely = (labels != label_index[rows]) & (trusted | (labels != given.best[rows]))
    rows, labels, trusted = rows[surely], labels[surely], trusted[surely]
    person = np.where(trusted, label_index[rows], given.best[rows])
    half = len(rows) // 2
    return SimulatedLabels(
        gallery.measure(Hypotheses.of(rows[:half], labels[:half])),
        gallery.measure(Hypotheses.of(rows[half:], labels[half:], person[half:])),
        labels[:half],
        labels[half:],
    )
