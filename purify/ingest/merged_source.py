"""Several sources as one: each with a prefix to its ids, and to its labels unless these mean the same people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from purify.errors import InputError
from purify.ingest.source_listing import Listing, Source
from purify.ingest.text_column import TextColumn
from purify.storage.locations import Location, as_text

_SUFFIXES = re.compile(r"(\.(tar|gz|zst|xz|bz2|tgz|zip|rec|parquet|arrow|csv|tsv|jsonl|lst|lmdb))+$", re.IGNORECASE)


@dataclass(frozen=True)
class MergedSource:
    """Sources by prefix, in order: the sample ``1.jpg`` of ``faces`` is ``faces/1.jpg``.

    Equal labels of two sources are two people, ``faces/Ann`` and ``web/Ann``, unless `same_labels`.
    """

    sources: Mapping[str, Source]
    same_labels: bool

    def listing(self) -> Listing:
        """See `Source`."""
        listings, faults = {}, []
        for prefix, source in self.sources.items():
            try:
                listings[prefix] = source.listing()
            except InputError as error:
                faults.append(str(error))
        if faults:
            raise InputError("\n  ".join(faults))
        columns = [self._columns(prefix, listing) for prefix, listing in listings.items()]
        ids, labels, true_labels, uris, problems, splits = (
            TextColumn[Any](chain.from_iterable(parts)) for parts in zip(*columns, strict=True)
        )
        has_splits = any(listing.splits for listing in listings.values())
        warnings = (f"{prefix}: {warning}" for prefix, part in listings.items() for warning in part.warnings)
        return Listing(ids, labels, true_labels, uris, problems, tuple(warnings), splits if has_splits else ())

    def _columns(self, prefix: str, part: Listing) -> Sequence[Iterable[str | None]]:
        """Ids, labels, true labels, uris, problems and splits of a source, with its prefix."""

        def named(label: str | None) -> str | None:
            return f"{prefix}/{label}" if label and not self.same_labels else label

        return (
            (f"{prefix}/{sample_id}" for sample_id in part.sample_ids),
            (named(label) or "" for label in part.labels),
            map(named, part.true_labels),
            part.uris,
            part.problems,
            part.splits or repeat(None, len(part.uris)),
        )


def prefixes(places: Sequence[Location]) -> list[str]:
    """A prefix for each source: its name without suffixes, numbered from the second of a name on (``faces-2``)."""
    chosen: list[str] = []
    for place in places:
        name = _name(place)
        number = 1
        while (prefix := name if number == 1 else f"{name}-{number}") in chosen:
            number += 1
        chosen.append(prefix)
    return chosen


def _name(place: Location) -> str:
    name = place.resolve().name if isinstance(place, Path) else place.name
    name = _SUFFIXES.sub("", re.sub(r"\{[^{}]*\}", "", name)).strip("-_. ")
    return as_text(name or place.parent.name or "set")
