"""How strongly a claim speaks for a flip: the best of many labels fits a stranger well, too.

Measured on trusted images under a pretended wrong label: with their own label among the claimants they are like flips,
without it like strangers. A logistic regression on the strength of all claims together tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from purify.analysis.label_noise.evidence import Evidence
from purify.analysis.label_noise.gallery import TRUSTED
from purify.analysis.label_noise.logistic import Logistic, fit_logistic
from purify.analysis.label_noise.origins import Origins
from purify.arrays import Floats, Ids

#: Images that are measured, and the minimum for it.
_DRAWN, _LEAST = 8000, 50
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class ClaimStrength:
    """Logistic regression on the strength of the claims; None: they are taken as they are."""

    model: Logistic | None

    def log_ratio(self, strength: Floats) -> Floats:
        """Log ratio [n] of a flip against a stranger, at least the `strength`.

        The measured one may be too small, but hardly too large: where labels have swapped images, the claims on trusted
        images are not those of strangers.
        """
        return strength if self.model is None else np.maximum(strength, self.model.log_odds(strength[:, None]))


def strength_of(claims: Floats, prior: Floats) -> Floats:
    """Strength [n] of all ``claims[n, R]``, given the ``prior[n, R]`` of each claimant."""
    strength: Floats = np.logaddexp.reduce(np.log(np.maximum(prior, _TINY)) + claims, axis=1)
    return strength


def measure_claims(
    evidence: Evidence, label_index: Ids, belief: Floats, origins: Origins, rng: Generator
) -> ClaimStrength:
    """Measure it on images with a large ``belief[N]`` in their label."""
    known = np.flatnonzero((belief >= TRUSTED) & (evidence.mates >= TRUSTED))
    if len(known) < _LEAST:
        return ClaimStrength(None)
    rows = rng.choice(known, min(_DRAWN, len(known)), replace=False)
    own = label_index[rows]
    pretended = evidence.routes.draw_label(origins, own, rng)
    sources = np.column_stack([own, evidence.claimants[rows]])
    claims = np.column_stack([evidence.doubted_own[rows], evidence.claims[rows]])
    possible = (sources >= 0) & (sources != pretended[:, None])
    sources = np.maximum(sources, 0)
    ranks = evidence.routes.rank(sources, pretended)
    prior = np.where(possible, evidence.routes.sources(origins).probability(sources, pretended, ranks), 0)
    flips, strangers = strength_of(claims, prior), strength_of(claims[:, 1:], prior[:, 1:])
    several = (pretended != own) & possible[:, 1:].any(axis=1)
    if several.sum() < _LEAST:
        return ClaimStrength(None)
    model = fit_logistic(flips[several, None], belief[rows][several], strangers[several, None], belief[rows][several])
    return ClaimStrength(model)
