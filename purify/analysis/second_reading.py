"""A check, without any truth, of verdicts by a network that was trained on the very labels that it judges.

Such a network has learned some of the wrong labels by heart, and a small set more of them: its images are repeated more
often. The rule reads its embeddings with the evidence of its head, which believes what was learned. A second reading
takes them as those of any other extractor, and doubts whatever lies apart from its label's densest place. They err in
opposite directions: of 721 images of 12 people, 21 % of them wrong, the first found 12 % wrong and the second 32 %. How
often their verdicts differ is the measure of what the network can't tell.
"""

from __future__ import annotations

import numpy as np

from purify.analysis.label_noise.calibration import calibrate
from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.arrays import Floats, Ids

#: Largest share of images with different verdicts at which a network is trusted. Measured: 0.23 for the network above,
#: which missed more than half of the wrong labels; 0.15 for that of the demo set, which found 91 %.
MOST_DISAGREEMENT = 0.18
_WRONG = 0.5


def read_again(
    embeddings: CenteredEmbeddings, label_index: Ids, *, classes: int, near_duplicate: float, seed: int
) -> Floats:
    """``p_clean[N]`` by the embeddings alone, in the order of ``label_index[N]``; parameters as in `calibrate`."""
    return calibrate(embeddings, label_index, classes=classes, near_duplicate=near_duplicate, seed=seed).p_clean


def disagreement(p_clean: Floats, again: Floats) -> float:
    """Share of the images whose label is more probably wrong than right by one reading only."""
    return float(np.mean((p_clean < _WRONG) != (again < _WRONG)))
