"""The people of verification pairs, and resamples of them.

Pairs that share a person are not independent: a face that is hard for a model spoils all of its pairs. So the bootstrap
draws people, and a pair is drawn as often as its people are (the vertex bootstrap; Snijders and Borgatti, 1999).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.evaluation.intervals import MOST_CELLS, Weights
from purify.evaluation.verification import Same
from purify.tables.pairs import Pairs


@dataclass(frozen=True)
class People:
    """Numbers ``a[P]`` and ``b[P]`` of the people of P pairs, from 0, and how many people there are."""

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    count: int


def people_of(pairs: Pairs) -> People:
    """Who is who in `pairs`: images of one folder, and images linked by same pairs, are one person.

    A folder with a different pair inside holds several people, and tells nothing.
    """
    person = _Links(pairs).of
    return People(*_numbered([person(name) for name in (*pairs.a, *pairs.b)]))


def linked_images(pairs: Pairs) -> dict[str, str]:
    """Image -> a name of its person, for all images of `pairs`; see `people_of`."""
    person = _Links(pairs).of
    return {name: person(name) for name in (*pairs.a, *pairs.b)}


def crowds(pairs: Pairs) -> set[str]:
    """Folders with a different pair inside: they hold several people."""
    sides = zip(pairs.person_a, pairs.person_b, pairs.same.tolist(), strict=True)
    return {one for one, other, same in sides if one is not None and one == other and not same}


def resample_people(people: People, same: Same, *, samples: int, seed: int) -> Iterator[Weights]:
    """Yield blocks of weights [B, P], `samples` rows in all: how often each pair is drawn with its people.

    ``people.count`` people are drawn with replacement; a pair of one person counts as often as that person, a pair of
    two as often as both together (the product). Draws without a pair of each kind are drawn again.

    Parameters
    ----------
    people
        The people of P pairs.
    same
        bool[P]: pairs of one person; both kinds are there.
    samples
        Number of resamples.
    seed
        Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    most = max(1, MOST_CELLS // len(same))
    for start in range(0, samples, most):
        rows = min(most, samples - start)
        block = np.zeros((0, len(same)))
        while len(block) < rows:
            weights = _weights(people, rng, rows - len(block))
            usable = weights[:, same].any(axis=1) & weights[:, ~same].any(axis=1)
            block = np.concatenate([block, weights[usable]])
        yield block


def _weights(people: People, rng: np.random.Generator, rows: int) -> Weights:
    drawn = rng.multinomial(people.count, np.full(people.count, 1 / people.count), size=rows).astype(np.float64)
    return np.where(people.a == people.b, drawn[:, people.a], drawn[:, people.a] * drawn[:, people.b])


def _numbered(names: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    known, index = np.unique(np.asarray(names, dtype=object), return_inverse=True)
    a, b = index.astype(np.int64).reshape(2, -1)
    return a, b, len(known)


class _Links:
    """Groups of linked images (union-find), each named after one of its images."""

    def __init__(self, pairs: Pairs) -> None:
        self._above: dict[str, str] = {}
        sides = list(zip(pairs.a, pairs.b, pairs.person_a, pairs.person_b, pairs.same.tolist(), strict=True))
        several = crowds(pairs)
        of_folder: dict[str, list[str]] = defaultdict(list)
        for a, b, one, other, same in sides:
            if same:
                self._join(a, b)
            for name, folder in ((a, one), (b, other)):
                if folder is not None and folder not in several:
                    of_folder[folder].append(name)
        for names in of_folder.values():
            for name in names[1:]:
                self._join(names[0], name)

    def of(self, name: str) -> str:
        while (above := self._above.get(name, name)) != name:
            self._above[name] = self._above.get(above, above)
            name = above
        return name

    def _join(self, first: str, second: str) -> None:
        low, high = sorted((self.of(first), self.of(second)))
        if low != high:
            self._above[high] = low
