"""How alike the spellings of two labels are, and how much that tells.

Word order, accents, punctuation and digits don't count: "Choi Sung-hong" is "Sung_Hong_Choi". Relatives share a
surname, so every word of the shorter name must have its like in the longer one; a single shared word adds little, and
the less the more labels have it. Labels without letters, such as numbers, tell nothing.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from purify.arrays import Floats

#: Share of the duplicate labels that are expected to be spelled alike.
_SHARE_ALIKE = 0.5
#: Similarity from which two labels are spelled alike.
SPELLED_ALIKE = 0.6
#: Largest factor of the odds, if alike in every word and in one word.
_MOST = 1000.0
_MOST_OF_A_WORD = 5.0
_LETTERS = re.compile(r"[^\W\d_]+")
#: Minimum letters of a shared word.
_LEAST_LETTERS = 3


@lru_cache(maxsize=65_536)
def words(label: str) -> tuple[str, ...]:
    """Words of a label, in lower case, without accents and digits."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", label) if not unicodedata.combining(c))
    return tuple(_LETTERS.findall(plain.casefold()))


def similarity(one: str, other: str) -> float:
    """Similarity of two labels in [0, 1]: that of the worst matched word of the shorter one; NaN without letters.

    Words run together or apart don't matter, where all letters are the same.
    """
    shorter, longer = sorted((words(one), words(other)), key=lambda found: (len(found), found))
    if not shorter:
        return float("nan")
    if "".join(shorter) == "".join(longer):
        return 1.0
    if len(shorter) == 1 and len(longer) > 1:
        return 0.0
    left = list(longer)
    worst = 1.0
    for word in sorted(shorter, key=len, reverse=True):
        ratios = [_ratio(word, candidate) for candidate in left]
        best = int(np.argmax(ratios))
        worst = min(worst, ratios[best])
        left.pop(best)
    return worst


def spelling_odds(
    labels: Sequence[str], pairs: Sequence[tuple[int, int]], different: Sequence[tuple[int, int]]
) -> Floats:
    """Factor [P] by which the spellings of the `pairs` of labels raise the odds that these are one person; at least 1.

    `different` are pairs of labels of people who look alike but differ, most of them: a similarity tells as much as it
    is rare among these.
    """
    known = np.array([similarity(labels[a], labels[b]) for a, b in different])
    known = np.sort(known[~np.isnan(known)])
    asked = np.array([similarity(labels[a], labels[b]) for a, b in pairs], np.float64).reshape(len(pairs))
    as_alike = len(known) - np.searchsorted(known, asked) + 1
    odds = np.clip(_SHARE_ALIKE * (len(known) + 1) / as_alike, 1, _MOST)
    number = Counter(word for label in labels for word in set(words(label)))
    shared = np.array([_shared_word(labels[a], labels[b], number) for a, b in pairs], np.float64).reshape(len(pairs))
    return np.maximum(np.where(asked >= SPELLED_ALIKE, odds, 1), 1 + (_MOST_OF_A_WORD - 1) * shared)


def _shared_word(one: str, other: str, number: Counter[str]) -> float:
    """1 for a word that only these two labels share, less for a frequent one, 0 without."""
    shared = [word for word in set(words(one)) & set(words(other)) if len(word) >= _LEAST_LETTERS]
    return max((2 / number[word] for word in shared), default=0.0)


@lru_cache(maxsize=262_144)
def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
