"""MegaFace: probes find their mates among a million distractors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from purify.arrays import Floats, Ids, Mask, Vectors
from purify.errors import InputError
from purify.evaluation.people_bootstrap import weighted_threshold
from purify.evaluation.protocols.protocol_figures import ProtocolFigures, drawn_figures, far_name, refusals
from purify.evaluation.protocols.top_scores import TopPairs, top_impostors
from purify.evaluation.verification import Scores, allowed_accepts
from purify.progress import Progress, silent

#: Distractors and probes of a block.
_BLOCK, _ROWS = 4096, 1024
_NOISE = 1e-3


@dataclass(frozen=True, eq=False)
class MatePairs:
    """Ordered pairs of two images of one person: rows of the probe and the mate [G], and their scores."""

    probe: Ids
    mate: Ids
    scores: Scores


def mate_pairs(faces: Vectors, person: Ids) -> MatePairs:
    """All ordered pairs of two images of one person, by ``person[N]``, with their cosines in float64."""
    order = np.argsort(person, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(person[order])) + 1)
    probe, mate, scores = [], [], []
    for rows in groups:
        vectors = faces[rows].astype(np.float64)
        first, second = np.nonzero(~np.eye(len(rows), dtype=bool))
        probe.append(rows[first])
        mate.append(rows[second])
        scores.append((vectors @ vectors.T)[first, second])
    return MatePairs(np.concatenate(probe), np.concatenate(mate), np.concatenate(scores))


def best_distractors(
    faces: Vectors, distractors: Vectors, most: int, *, device: str = "cpu", progress: Progress = silent
) -> Floats:
    """The `most` best distractor scores [N, most] of each face, falling, in blocks; -inf where there are fewer."""
    place, best = torch.device(device), np.full((len(faces), most), -np.inf)
    columns = range(0, len(distractors), _BLOCK)
    for done, column in enumerate(columns):
        progress(done, len(columns))
        right = torch.from_numpy(distractors[column : column + _BLOCK]).to(place)
        for row in range(0, len(faces), _ROWS):
            rows = slice(row, row + _ROWS)
            scores = torch.from_numpy(faces[rows]).to(place) @ right.T
            chosen = scores.topk(min(most, scores.shape[1]), dim=1).indices
            exact = np.einsum("nd,nkd->nk", faces[rows].astype(np.float64), distractors[column + chosen.cpu().numpy()])
            best[rows] = -np.sort(-np.concatenate([best[rows], exact], axis=1), axis=1)[:, :most]
    progress(len(columns), len(columns))
    return best


@dataclass(frozen=True)
class DistractorRates:
    """What is measured: `ranks`, false accept rates `fars`, and the bootstrap."""

    ranks: Sequence[int] = (1, 10)
    fars: Sequence[float] = (1e-6,)
    samples: int = 200
    seed: int = 0


def search_among_distractors(
    faces: Vectors,
    person: Ids,
    distractors: Vectors,
    rates: DistractorRates = DistractorRates(),
    *,
    device: str = "cpu",
    progress: Progress = silent,
) -> ProtocolFigures:
    """Rank-k identification and TAR at FAR, as MegaFace's challenge 1 defines them.

    For each ordered pair of a probe and a mate, the mate is put among the distractors: rank-k is the share of these
    pairs in which fewer than k distractors score as high as the mate. For TAR, the mates are the genuine pairs, and
    all pairs of a probe and a distractor the impostors. Faces of other people are no distractors. The intervals draw
    people. Vectors are float32 of length 1.
    """
    genuine = mate_pairs(faces, person)
    if not len(genuine.scores) or not len(distractors):
        raise InputError("rank and TAR need people with two images or more, and distractors")
    best = best_distractors(faces, distractors, max(rates.ranks), device=device, progress=progress)
    impostors = len(faces) * len(distractors)
    usable = [far for far in rates.fars if allowed_accepts(far, impostors) >= 1]
    kept = 2 * int(allowed_accepts(max(usable), impostors)) + 1 if usable else 1
    top = top_impostors(faces, person, distractors, most=kept, within=False, device=device, progress=progress)
    measured = _Measured(genuine, best, top, person, rates.ranks, usable)
    names = [f"rank-{k}" for k in rates.ranks] + [far_name("TAR@FAR", far) for far in usable]
    figures = drawn_figures(names, measured.values, int(person.max()) + 1, samples=rates.samples, seed=rates.seed)
    refused = refusals("TAR@FAR", rates.fars, usable, impostors, kind="pairs with distractors")
    counts = {
        "probes": len(faces),
        "distractors": len(distractors),
        "mates": len(genuine.scores),
        "impostors": impostors,
    }
    return ProtocolFigures(figures, refused, counts, "people")


@dataclass(frozen=True, eq=False)
class _Measured:
    genuine: MatePairs
    best: Floats
    top: TopPairs
    person: Ids
    ranks: Sequence[int]
    fars: Sequence[float]

    def values(self, drawn: Floats) -> list[float]:
        """Rank-k and TAR with each person as often as ``drawn[U]`` says."""
        own = drawn[self.person[self.genuine.probe]]
        if not own.any():
            return [np.nan] * (len(self.ranks) + len(self.fars))
        found = [self.genuine.scores > self.best[self.genuine.probe, k - 1] for k in self.ranks]
        weights = drawn[self.person[self.top.first]]
        total = drawn[self.person].sum() * (self.top.pairs / len(self.person))
        for far in self.fars:
            found.append(self.genuine.scores > weighted_threshold(self.top.scores, weights, total, far))
        return [float((own * passing).sum() / own.sum()) for passing in found]


def replace_noise_as_insightface(faces: Vectors, person: Ids, noisy: Mask, *, seed: int = 0) -> Vectors:
    """Faces with the `noisy` ones replaced as InsightFace's ``remove_noises.py`` does: by their person's mean.

    The mean is over the right images of the person, with noise of at most 0.001 in each value, normalized: these
    probes are then found nearly always. (Distractors on the list are pushed away there, which `noise-free` sets
    reach by leaving them out.) InputError if a person has no right image.
    """
    rng = np.random.default_rng(seed)
    replaced = faces.copy()
    for row in np.flatnonzero(noisy):
        right = (person == person[row]) & ~noisy
        if not right.any():
            raise InputError(f"every image of person {person[row]} is on the noise list; the script needs a right one")
        center = faces[right].sum(axis=0, dtype=np.float64) + rng.uniform(-_NOISE, _NOISE, faces.shape[1])
        replaced[row] = center / np.linalg.norm(center)
    return replaced
