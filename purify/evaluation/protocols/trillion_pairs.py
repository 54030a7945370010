"""Trillion Pairs and its successor: TPR at an FPR as fine as 1e-9 over all pairs, and open-set identification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids, Vectors
from purify.errors import InputError
from purify.evaluation.people_bootstrap import weighted_threshold
from purify.evaluation.protocols.distractor_search import MatePairs, mate_pairs
from purify.evaluation.protocols.protocol_figures import ProtocolFigures, drawn_figures, far_name, refusals
from purify.evaluation.protocols.top_scores import TopPairs, top_impostors
from purify.evaluation.verification import Scores, allowed_accepts
from purify.progress import Progress, silent


@dataclass(frozen=True)
class AllPairsRates:
    """What is measured: FPRs of verification (`fprs`) and of identification (`search_fprs`), and the bootstrap."""

    fprs: Sequence[float] = (1e-9,)
    search_fprs: Sequence[float] = (1e-3,)
    samples: int = 200
    seed: int = 0


def verify_all_pairs(
    faces: Vectors,
    person: Ids,
    distractors: Vectors | None = None,
    rates: AllPairsRates = AllPairsRates(),
    *,
    device: str = "cpu",
    progress: Progress = silent,
) -> ProtocolFigures:
    """TPR at each FPR over all pairs of ``faces[N, D]`` and ``distractors[M, D]``, which are compared in blocks.

    Verification: genuine are all pairs of one person, once each; impostors all pairs of two people and all pairs of a
    face and a distractor. Identification: each face searches all faces of others and all distractors; FPR is the share
    of these searches whose best answer is accepted, TPR that of the ordered pairs of a face and a mate that is. The
    threshold is strict in both: at most FPR is accepted. The intervals draw people.

    Vectors are float32 of length 1, ``person[N]`` numbers from 0. Memory is bounded: see
    `purify.evaluation.protocols.top_scores.top_impostors`.
    """
    mates = mate_pairs(faces, person)
    if not len(mates.scores):
        raise InputError("TPR needs people with two images or more")
    further = 0 if distractors is None else len(distractors)
    impostors = count_impostors(person, further)
    usable = [fpr for fpr in rates.fprs if allowed_accepts(fpr, impostors) >= 1]
    kept = 2 * int(allowed_accepts(max(usable), impostors)) + 1 if usable else 1
    top = top_impostors(faces, person, distractors, most=kept, device=device, progress=progress)
    searching = [fpr for fpr in rates.search_fprs if allowed_accepts(fpr, len(faces)) >= 1]
    measured = _Measured(mates, top, person, further, usable, searching)
    names = _names(usable, searching)
    figures = drawn_figures(names, measured.values, int(person.max()) + 1, samples=rates.samples, seed=rates.seed)
    refused = refusals("TPR@FPR", rates.fprs, usable, impostors)
    refused |= refusals("identification TPR@FPR", rates.search_fprs, searching, len(faces), kind="searches")
    counts = {"faces": len(faces), "distractors": further, "genuine": len(mates.scores) // 2, "impostors": impostors}
    return ProtocolFigures(figures, refused, counts, "people")


def count_impostors(person: Ids, distractors: int) -> int:
    """Number of pairs of two people, once each, and of a face and a distractor."""
    sizes = np.bincount(person).astype(object)  # Python's integers don't overflow
    faces = len(person)
    return int(faces * (faces - 1) // 2 - sum(sizes * (sizes - 1)) // 2 + faces * distractors)


def _names(fprs: Sequence[float], search_fprs: Sequence[float]) -> list[str]:
    verification = [far_name("TPR@FPR", fpr) for fpr in fprs]
    return verification + [far_name("identification TPR@FPR", fpr) for fpr in search_fprs]


@dataclass(frozen=True, eq=False)
class _Measured:
    mates: MatePairs
    top: TopPairs
    person: Ids
    distractors: int
    fprs: Sequence[float]
    search_fprs: Sequence[float]

    def values(self, drawn: Floats) -> list[float]:
        """TPR at each FPR with each person as often as ``drawn[U]`` says."""
        own = drawn[self.person[self.mates.probe]]
        if not own.any():
            return [np.nan] * (len(self.fprs) + len(self.search_fprs))
        weights, total = self._impostor_weights(drawn)
        limits = [weighted_threshold(self.top.scores, weights, total, fpr) for fpr in self.fprs]
        limits += [self._search_threshold(drawn, fpr) for fpr in self.search_fprs]
        return [float((own * (self.mates.scores > limit)).sum() / own.sum()) for limit in limits]

    def _impostor_weights(self, drawn: Floats) -> tuple[Floats, float]:
        """Weights of the top pairs, and of all impostor pairs together; a distractor is nobody's, and counts once."""
        faces = len(self.person)
        among = self.top.second < faces
        weights = drawn[self.person[self.top.first]].copy()
        weights[among] *= drawn[self.person[self.top.second[among]]]
        of_person = drawn * np.bincount(self.person, minlength=len(drawn))
        pairs = (of_person.sum() ** 2 - (of_person**2).sum()) / 2
        return weights, float(pairs + of_person.sum() * self.distractors)

    def _search_threshold(self, drawn: Floats, fpr: float) -> float:
        best: Scores = self.top.best
        order = np.argsort(-best, kind="stable")
        weights = drawn[self.person[order]]
        return weighted_threshold(best[order], weights, float(weights.sum()), fpr)
