"""Near duplicates dropped when verdicts are applied: found by the embeddings, confirmed by the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from purify.pipeline.pixel_pairs import compare_pixels
from purify.tables.near_duplicates import drop_samples, near_duplicates


@dataclass(frozen=True)
class Deduplicated:
    """Verdicts with the near duplicates dropped, and what became of these."""

    verdicts: pa.Table
    confirmed: int
    #: Ids that are kept: their pixels show another picture.
    refuted: Sequence[str]
    #: Ids that are dropped by their embeddings alone: an image can't be read.
    unchecked: Sequence[str]

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences without a full stop."""
        if not self.unchecked:
            return ()
        return (
            f"{len(self.unchecked)} near duplicates (the first: {self.unchecked[0]}) were dropped by their embeddings "
            "alone: an image of the pair can't be read",
        )

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of near duplicates of each kind."""
        return {
            "duplicates_dropped": self.confirmed + len(self.unchecked),
            "duplicates_unchecked": len(self.unchecked),
            "duplicates_kept": len(self.refuted),
        }


def drop_near_duplicates(manifest: pa.Table, verdicts: pa.Table) -> Deduplicated:
    """Drop each kept near duplicate unless its pixels differ from those of the image that it repeats.

    Images are read by the manifest's uris; equal ``sha256`` need no reading.
    """
    pairs = near_duplicates(verdicts)
    columns = (manifest[name].to_pylist() for name in ("sample_id", "uri", "sha256"))
    places = {sample_id: (uri, digest) for sample_id, uri, digest in zip(*columns, strict=True)}
    nowhere = (None, None)
    found = compare_pixels([(places.get(one, nowhere), places.get(other, nowhere)) for one, other in pairs])
    refuted = [pair[0] for pair, same in zip(pairs, found, strict=True) if same is False]
    unchecked = [pair[0] for pair, same in zip(pairs, found, strict=True) if same is None]
    dropped = [pair[0] for pair, same in zip(pairs, found, strict=True) if same is not False]
    return Deduplicated(drop_samples(verdicts, dropped), len(dropped) - len(unchecked), refuted, unchecked)
