"""Samples of a source before their images are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Listing:
    """Samples of a source, one per row.

    Attributes
    ----------
    sample_ids
        Unique.
    labels
        As given; empty for an image without a label, which has a problem.
    true_labels
        None: not known. Empty: belongs to no class.
    uris
        None where there is nothing to read.
    problems
        The reason for that, beginning with the code of a `Defect`; None for readable files.
    warnings
        Sentences for the user: rows that can't be used for a reason that is easily mended.
    """

    sample_ids: Sequence[str]
    labels: Sequence[str]
    true_labels: Sequence[str | None]
    uris: Sequence[str | None]
    problems: Sequence[str | None]
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """Something that lists samples."""

    def listing(self) -> Listing:
        """All samples in the order of the manifest; InputError where the user has to mend the source."""


def and_so_on(examples: Sequence[str], most: int = 3) -> str:
    """The first examples, separated by commas."""
    return ", ".join(examples[:most]) + (", ..." if len(examples) > most else "")
