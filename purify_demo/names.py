"""Invented names."""

from __future__ import annotations

import numpy as np

_FIRST = (
    "Mar",
    "Tes",
    "Jo",
    "Eli",
    "Ka",
    "No",
    "Sa",
    "Ru",
    "Ami",
    "Da",
    "Le",
    "Vi",
    "Ori",
    "Ze",
    "Ta",
    "Be",
    "Yu",
    "Fe",
)
_SECOND = ("lo", "sa", "ren", "ya", "mir", "na", "vin", "ra", "del", "ko", "lia", "ton", "ri", "mo", "nis", "ba")
_LAST_START = ("Ve", "Or", "Hal", "Qui", "Da", "Ber", "Sol", "Ka", "Ny", "Wes", "Ar", "Tor", "Mi", "Lun", "Gra", "Po")
_LAST_END = (
    "nn",
    "ley",
    "sen",
    "dar",
    "vik",
    "mont",
    "ra",
    "lane",
    "quist",
    "tos",
    "berg",
    "no",
    "well",
    "shi",
    "den",
    "ro",
)
_FREE_OF_SUFFIX = len(_FIRST) * len(_SECOND) * len(_LAST_START) * len(_LAST_END)


def invent_names(count: int, rng: np.random.Generator) -> list[str]:
    """`count` different names such as ``Marlo_Venn``, usable as folder names."""
    if count > _FREE_OF_SUFFIX:
        raise ValueError(f"{count} names asked for, there are {_FREE_OF_SUFFIX}")
    parts = (_FIRST, _SECOND, _LAST_START, _LAST_END)
    numbers = rng.choice(_FREE_OF_SUFFIX, size=count, replace=False)
    chosen = zip(*np.unravel_index(numbers, [len(part) for part in parts]), strict=True)
    return ["{}{}_{}{}".format(*(part[i] for part, i in zip(parts, index, strict=True))) for index in chosen]
