"""The largest scores among more pairs than fit into memory: blocked products, of which a few survive.

FPR 1e-9 over 1e10 pairs is the tenth-largest score. Blocks of the score matrix are computed one after another on the
CPU or a GPU in float32; only pairs above the present m-th largest are kept, and these are computed anew in float64, so
that the answer doesn't depend on the block, the threads or the device.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from purify.arrays import Floats, Ids, Vectors
from purify.evaluation.verification import Scores
from purify.progress import Progress, silent

#: Rows and columns of a block: 67 MB of scores.
_BLOCK = 4096
#: Rounding of a float32 product of unit vectors, at most; pairs this near to the limit are kept until float64 decides.
_ROUNDING = 1e-5
#: Pairs that are computed in float64 at a time.
_EXACT_ROWS = 1 << 15
#: Pairs kept beyond the m wanted, before the smallest are let go.
_SPARE = 1 << 20


@dataclass(frozen=True, eq=False)
class TopPairs:
    """The largest impostor scores.

    Attributes
    ----------
    scores
        float64[m], falling.
    first, second
        Rows int64[m] of each pair; `second` counts on behind the labeled faces for distractors.
    pairs
        Number of impostor pairs that were compared.
    best
        The largest impostor score of each labeled face, float64[N].
    """

    scores: Scores
    first: Ids
    second: Ids
    pairs: int
    best: Scores


def top_impostors(
    faces: Vectors,
    person: Ids,
    distractors: Vectors | None = None,
    *,
    most: int,
    within: bool = True,
    device: str = "cpu",
    block: int = _BLOCK,
    progress: Progress = silent,
) -> TopPairs:
    """The `most` largest scores of pairs of two people.

    The pairs are all of ``faces[N, D]`` with each other, once each, if `within`, and all of them with all of
    ``distractors[M, D]``, who are nobody in ``person[N]``. Rows are of length 1, float32. Memory: the vectors, two
    blocks of scores, and the kept pairs; nothing grows with the number of pairs.
    """
    kept = _Kept(most, len(faces))
    blocks = _Blocks(faces, person, distractors, torch.device(device), block)
    parts = [*(blocks.among_faces() if within else ()), *blocks.to_distractors()]
    for done, (rows, columns) in enumerate(parts):
        progress(done, len(parts))
        kept.add(*blocks.scores(rows, columns), rows, columns)
    progress(len(parts), len(parts))
    return kept.finish(blocks)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The blocks of the score matrix: rows are faces, columns faces and then distractors."""

    faces: Vectors
    person: Ids
    distractors: Vectors | None
    device: torch.device
    size: int

    def among_faces(self) -> list[tuple[slice, slice]]:
        """Blocks on and above the diagonal."""
        starts = range(0, len(self.faces), self.size)
        return [(self._part(row), self._part(column)) for row in starts for column in starts if column >= row]

    def to_distractors(self) -> list[tuple[slice, slice]]:
        """Blocks of faces and distractors, counted on behind the faces."""
        known, further = len(self.faces), 0 if self.distractors is None else len(self.distractors)
        columns = range(known, known + further, self.size)
        return [
            (self._part(row), slice(column, min(column + self.size, known + further)))
            for row in range(0, known, self.size)
            for column in columns
        ]

    def _part(self, start: int) -> slice:
        return slice(start, min(start + self.size, len(self.faces)))

    def scores(self, rows: slice, columns: slice) -> tuple[Tensor, int]:
        """Scores float32[r, c], -inf where a pair is not one of two people or is counted elsewhere; the count."""
        left, right = (torch.from_numpy(self.vectors(part)).to(self.device) for part in (rows, columns))
        scores = left @ right.T
        if columns.start >= len(self.faces) or self._strangers(rows, columns):
            return scores, scores.numel()
        person = [torch.from_numpy(self.person[part]).to(self.device) for part in (rows, columns)]
        excluded = person[0][:, None] == person[1][None, :]
        if rows == columns:
            excluded |= torch.ones_like(excluded).tril()
        return scores.masked_fill_(excluded, -torch.inf), scores.numel() - int(excluded.sum())

    def _strangers(self, rows: slice, columns: slice) -> bool:
        """Whether nobody can be in both, as in most blocks of faces that are sorted by person."""
        first, second = self.person[rows], self.person[columns]
        return bool(first.max() < second.min() or second.max() < first.min())

    def vectors(self, rows: slice | Ids) -> Vectors:
        """Vectors of rows, all of them faces or all distractors."""
        first = rows.start if isinstance(rows, slice) else 0
        if self.distractors is None or first < len(self.faces):
            return self.faces[rows]
        shift = len(self.faces)
        assert isinstance(rows, slice)
        return self.distractors[rows.start - shift : rows.stop - shift]

    def exact(self, first: Ids, second: Ids) -> Scores:
        """Scores of pairs in float64, some at a time."""
        scores = np.empty(len(first))
        for start in range(0, len(first), _EXACT_ROWS):
            rows = slice(start, start + _EXACT_ROWS)
            left = self.faces[first[rows]].astype(np.float64)
            scores[rows] = np.einsum("pd,pd->p", left, self._others(second[rows]))
        return scores

    def _others(self, second: Ids) -> Floats:
        other = np.empty((len(second), self.faces.shape[1]))
        is_face = second < len(self.faces)
        other[is_face] = self.faces[second[is_face]]
        if self.distractors is not None:
            other[~is_face] = self.distractors[second[~is_face] - len(self.faces)]
        return other


@dataclass(eq=False)
class _Kept:
    """Pairs that may be among the `most` largest, and the best score of each face."""

    most: int
    faces: int
    floor: float = -np.inf
    pairs: int = 0
    held: int = 0
    parts: list[tuple[Vectors, Ids, Ids]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.best = np.full(self.faces, -np.inf)
        self.best_of = np.full(self.faces, -1, np.int64)

    def add(self, scores: Tensor, pairs: int, rows: slice, columns: slice) -> None:
        """Take the pairs of a block that reach the floor."""
        self.pairs += pairs
        largest = self._note_best(scores, rows, columns.start)
        if columns.start < self.faces:
            self._note_best(scores.T, columns, rows.start)
        if largest > self.floor:
            self._take(scores, rows.start, columns.start)

    def _note_best(self, scores: Tensor, rows: slice, column: int) -> float:
        """Note the best of each row of a block, and where it is; the best of all."""
        best = scores.amax(dim=1)
        found = best.double().cpu().numpy()
        better = np.flatnonzero(found > self.best[rows])
        if len(better):
            place = scores[torch.from_numpy(better).to(scores.device)].argmax(dim=1).cpu().numpy()
            self.best[rows.start + better] = found[better]
            self.best_of[rows.start + better] = column + place
        return float(found.max())

    def _take(self, scores: Tensor, row: int, column: int) -> None:
        flat = scores.flatten()
        spare = self.most + _SPARE
        if np.isinf(self.floor) and flat.numel() > spare:  # the first block sets a floor of its own
            self.floor = float(flat.topk(self.most).values[-1]) - _ROUNDING
        chosen = (flat > self.floor).nonzero().squeeze(1)
        place = chosen.cpu().numpy()
        width = scores.shape[1]
        self.parts.append((flat[chosen].cpu().numpy(), row + place // width, column + place % width))
        self.held += len(place)
        if self.held > spare:
            self._shrink()

    def _shrink(self) -> None:
        """Let the pairs go that can't be among the largest; of too many equal ones, any."""
        scores, first, second = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        order = np.argsort(-scores, kind="stable")[: self.most + _SPARE // 2]
        if len(order) > self.most:
            self.floor = float(scores[order[self.most - 1]]) - _ROUNDING
            order = order[scores[order] > self.floor]
        self.parts = [(scores[order], first[order], second[order])]
        self.held = len(order)

    def finish(self, blocks: _Blocks) -> TopPairs:
        """The largest pairs, and the best of each face, by float64 scores."""
        known = np.flatnonzero(self.best_of >= 0)
        self.best[known] = blocks.exact(known, self.best_of[known])
        if not self.parts:
            empty = np.empty(0, np.int64)
            return TopPairs(np.empty(0), empty, empty, self.pairs, self.best)
        self._shrink()
        _, first, second = self.parts[0]
        exact = blocks.exact(first, second)
        order = np.argsort(-exact, kind="stable")[: self.most]
        return TopPairs(exact[order], first[order], second[order], self.pairs, self.best)
