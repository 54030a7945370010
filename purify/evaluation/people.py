"""The people of verification pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from purify.arrays import Ids
from purify.tables.pairs import Pairs


@dataclass(frozen=True)
class People:
    """Numbers ``a[P]`` and ``b[P]`` of the people of P pairs, from 0, and how many people there are."""

    a: Ids
    b: Ids
    count: int

    @classmethod
    def named(cls, a: Sequence[str], b: Sequence[str]) -> People:
        """People by their names on the two sides of P pairs."""
        number = number_people([*a, *b])
        first, second = number.reshape(2, -1)
        return cls(first, second, int(number.max()) + 1)


def number_people(names: Sequence[str]) -> Ids:
    """Numbers int64[N] of people, from 0 in the order of their names."""
    return np.unique(np.asarray(names, dtype=object), return_inverse=True)[1].astype(np.int64)


def people_of(pairs: Pairs) -> People:
    """Who is who in `pairs`: images of one folder, and images linked by same pairs, are one person.

    A folder with a different pair inside holds several people, and tells nothing.
    """
    person = _Links(pairs).of
    return People.named([person(name) for name in pairs.a], [person(name) for name in pairs.b])


def linked_images(pairs: Pairs) -> dict[str, str]:
    """Image -> a name of its person, for all images of `pairs`; see `people_of`."""
    person = _Links(pairs).of
    return {name: person(name) for name in (*pairs.a, *pairs.b)}


def crowds(pairs: Pairs) -> set[str]:
    """Folders with a different pair inside: they hold several people."""
    sides = zip(pairs.person_a, pairs.person_b, pairs.same.tolist(), strict=True)
    return {one for one, other, same in sides if one is not None and one == other and not same}


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
