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
    #: None: unknown. Empty: no class.
    true_labels: Sequence[str | None]
    #: None if there is nothing to read.
    uris: Sequence[str | None]
    #: Reason for a missing uri, beginning with the code of a `Defect`; None for readable files.
    problems: Sequence[str | None]
    #: Warnings for the user, such as unusable rows with an easy remedy.
    warnings: tuple[str, ...] = ()
    #: Split of each sample, such as ``train`` or ``test``; None: in none. Empty: the source has no splits.
    splits: Sequence[str | None] = ()


class Source(Protocol):
    """A source of samples."""

    def listing(self) -> Listing:
        """All samples in the order of the manifest; InputError if the source has faults."""


def and_so_on(examples: Sequence[str], most: int = 3) -> str:
    """The first examples, separated by commas, and dots for the rest."""
    return ", ".join(examples[:most]) + (", ..." if len(examples) > most else "")
