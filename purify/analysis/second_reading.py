"""A check, without any truth, of verdicts by a network that was trained on the very labels that it judges.

Such a network learns some of the wrong labels by heart, and of a small set more: its images are repeated more often. It
then finds less than half of the wrong labels, and nothing in its embeddings shows what it misses; the number of images
does. On larger sets, a second reading tells. The rule reads the embeddings with the evidence of the network's head,
which believes what was learned; the second reading takes them as those of any other extractor, and doubts whatever lies
apart from its label's densest place. They err in opposite directions: how often their verdicts differ is the measure of
what the network can't tell.
"""

from __future__ import annotations

import numpy as np

from purify.analysis.label_noise.calibration import calibrate
from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.arrays import Floats, Ids

#: Fewest images for a network trained on them alone. Measured: sets of 721 images of 12 people, 22 % of them wrong, had
#: 40 to 58 % of the wrong labels found; 1,503 images of 32 people, 31 % wrong, 86 %; the demo set's 1,780 images, 91 %.
FEWEST_IMAGES = 1_500
#: Least share of the wrong labels that was found in smaller sets.
LEAST_FOUND = 0.4
#: Largest share of images with different verdicts at which a network is trusted. Networks that found 86 % of the wrong
#: labels and more reached 0.08 to 0.12.
MOST_DISAGREEMENT = 0.15
#: Largest error of the estimated share of wrong labels by a trusted network. Measured: two runs of the demo set missed
#: the truth by 0.036 and 0.044, sets of 5,858 and 6,555 faces, 45 % flips, by 0.006 to 0.013.
NOISE_ERROR = 0.05
_WRONG = 0.5


def read_again(
    embeddings: CenteredEmbeddings, label_index: Ids, *, classes: int, near_duplicate: float, seed: int
) -> Floats:
    """``p_clean[N]`` by the embeddings alone, in the order of ``label_index[N]``; parameters as in `calibrate`."""
    return calibrate(embeddings, label_index, classes=classes, near_duplicate=near_duplicate, seed=seed).p_clean


def disagreement(p_clean: Floats, again: Floats) -> float:
    """Share of the images whose label is more probably wrong than right by one reading only."""
    return float(np.mean((p_clean < _WRONG) != (again < _WRONG)))


def doubt(p_clean: Floats, again: Floats) -> str:
    """Why the network behind both readings ``[N]`` of its training images can't be trusted; empty if it can."""
    if len(p_clean) < FEWEST_IMAGES:
        return (
            f"a network trained on {len(p_clean):,} images alone learns wrong labels by heart (it takes "
            f"{FEWEST_IMAGES:,}; of smaller sets it finds as little as {LEAST_FOUND:.0%} of the wrong labels)"
        )
    apart = disagreement(p_clean, again)
    if apart <= MOST_DISAGREEMENT:
        return ""
    return (
        "the network was trained on these very labels and has learned wrong ones by heart (two readings of its "
        f"embeddings differ on {apart:.0%} of the images)"
    )
