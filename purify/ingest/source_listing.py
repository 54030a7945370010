"""Samples of a source before their images are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Listing:
    """Samples of a source, one per row."""

    #: Unique.
    sample_ids: Sequence[str]
    #: As given; empty for an image without a label, which has a problem.
    labels: Sequence[str]
    #: None: not known. Empty: belongs to no class.
    true_labels: Sequence[str | None]
    #: None where there is nothing to read.
    uris: Sequence[str | None]
    #: The reason for that, beginning with the code of a `Defect`; None for readable files.
    problems: Sequence[str | None]
    #: Sentences for the user: rows that can't be used for a reason that is easily mended.
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """Something that lists samples."""

    def listing(self) -> Listing:
        """All samples in the order of the manifest; InputError where the user has to mend the source."""


def and_so_on(examples: Sequence[str], most: int = 3) -> str:
    """The first examples, separated by commas."""
    return ", ".join(examples[:most]) + (", ..." if len(examples) > most else "")
