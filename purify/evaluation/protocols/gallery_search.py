"""1:N identification: rank-k of closed sets and TPIR at FPIR of open ones, as in IJB-B and IJB-C."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids, Mask
from purify.errors import InputError
from purify.evaluation.people_bootstrap import weighted_threshold
from purify.evaluation.protocols.protocol_figures import Figure, ProtocolFigures, drawn_figures, far_name, refusals
from purify.evaluation.verification import Scores, allowed_accepts

_BLOCK_CELLS = 1 << 23


@dataclass(frozen=True, eq=False)
class Searches:
    """What N searches of a gallery found.

    Attributes
    ----------
    mate
        Best score of an entry of the probe's own person, float64[N]; -inf without one.
    stranger
        Best score of an entry of another person, float64[N].
    rank
        Rank of the best mate, int64[N], from 1: entries of others with an equal score come first. 0 without a mate.
    """

    mate: Scores
    stranger: Scores
    rank: Ids

    @property
    def mated(self) -> Mask:
        """Probes whose person is in the gallery."""
        return self.rank > 0


def search_gallery(probes: Floats, probe_person: Ids, gallery: Floats, gallery_person: Ids) -> Searches:
    """Search the unit ``gallery[G, D]`` for each of ``probes[N, D]``, in blocks; people are numbers."""
    mate, stranger = np.full(len(probes), -np.inf), np.full(len(probes), -np.inf)
    rank = np.zeros(len(probes), np.int64)
    step = max(1, _BLOCK_CELLS // max(len(gallery), 1))
    for start in range(0, len(probes), step):
        rows = slice(start, start + step)
        scores = probes[rows] @ gallery.T
        own = probe_person[rows, None] == gallery_person
        mate[rows] = np.where(own, scores, -np.inf).max(axis=1)
        others = np.where(own, -np.inf, scores)
        stranger[rows] = others.max(axis=1)
        ahead = (others >= mate[rows, None]).sum(axis=1)
        rank[rows] = np.where(own.any(axis=1), ahead + 1, 0)
    return Searches(mate, stranger, rank)


def identify(
    searches: Sequence[Searches],
    *,
    ranks: Sequence[int] = (1, 5, 10),
    fpirs: Sequence[float] = (0.1, 0.01),
    samples: int = 1000,
    seed: int = 0,
) -> ProtocolFigures:
    """Rank-k and TPIR at FPIR, the mean over `searches` of one or more galleries by the same probes.

    Rank-k: share of the mated probes whose mate is among the first k. FPIR: share of the probes without a mate whose
    best score is accepted; TPIR: share of the mated probes whose mate is, at the lowest threshold that keeps within
    FPIR (the definition of the IJB-B and IJB-C reports). An FPIR finer than one probe without a mate is refused. The
    intervals draw probes.
    """
    if not all(found.mated.any() for found in searches):
        raise InputError("no probe has its person in the gallery; do the two lists name people in the same way?")
    strangers = min(int((~found.mated).sum()) for found in searches)
    usable = [fpir for fpir in fpirs if allowed_accepts(fpir, strangers) >= 1]
    units = len(searches[0].rank)
    names = [f"rank-{k}" for k in ranks] + [far_name("TPIR@FPIR", fpir) for fpir in usable]
    figures = drawn_figures(
        names, lambda drawn: _values(searches, drawn, ranks, usable), units, samples=samples, seed=seed
    )
    refused = refusals("TPIR@FPIR", fpirs, usable, strangers, kind="probes without a mate")
    mated = sum(int(found.mated.sum()) for found in searches)
    return ProtocolFigures(figures, refused, {"probes": units, "galleries": len(searches), "mated searches": mated})


def _values(searches: Sequence[Searches], drawn: Floats, ranks: Sequence[int], fpirs: Sequence[float]) -> Floats:
    return np.mean([_values_of(found, drawn, ranks, fpirs) for found in searches], axis=0)


def _values_of(found: Searches, drawn: Floats, ranks: Sequence[int], fpirs: Sequence[float]) -> list[float]:
    mated = found.mated
    own, total = drawn[mated], drawn[mated].sum()
    if not total:
        return [np.nan] * (len(ranks) + len(fpirs))
    values = [float((own * (found.rank[mated] <= k)).sum() / total) for k in ranks]
    order = np.argsort(-found.stranger[~mated], kind="stable")
    scores, weights = found.stranger[~mated][order], drawn[~mated][order]
    for fpir in fpirs:
        threshold = weighted_threshold(scores, weights, weights.sum(), fpir)
        values.append(float((own * (found.mate[mated] > threshold)).sum() / total))
    return values


def identify_as_insightface(
    probes: Floats,
    probe_person: Ids,
    gallery: Floats,
    gallery_person: Ids,
    *,
    ranks: Sequence[int] = (1, 5, 10),
    fpirs: Sequence[float] = (0.1, 0.01),
) -> ProtocolFigures:
    """The figures of InsightFace's ``recognition/_evaluation_/ijb/ijb_1n.py``, which are not the official ones.

    The galleries are joined, so that every probe has one mate; for an FPIR, the threshold is the
    ceil(FPIR x probes)-th largest of *all* scores of others, so that its share of false alarms is far smaller than
    the name says. Memory: 8 N G bytes. InputError if a probe has no mate, or several.
    """
    own = probe_person[:, None] == gallery_person
    if (wrong := np.flatnonzero(own.sum(axis=1) != 1)).size:
        raise InputError(
            f"the probe of person {probe_person[wrong[0]]} has {own[wrong[0]].sum()} entries in the joined galleries; "
            "this variant needs exactly one"
        )
    scores = probes @ gallery.T
    mate = scores[own]
    rank = 1 + (scores > mate[:, None]).sum(axis=1)
    figures = {f"rank-{k}": Figure(float((rank <= k).mean())) for k in ranks}
    others = np.sort(scores[~own])[::-1]
    for fpir in fpirs:
        threshold = others[min(math.ceil(len(probes) * fpir), len(others)) - 1]
        figures[far_name("TPIR@FPIR", fpir)] = Figure(float((mate > threshold).mean()))
    return ProtocolFigures(figures, {}, {"probes": len(probes), "gallery": len(gallery)})
