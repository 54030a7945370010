"""Near duplicates dropped when verdicts are applied: found by the embeddings, confirmed by the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from purify.errors import InputError
from purify.images.loading import resolve_workers
from purify.images.same_pixels import same_pixels
from purify.storage.image_bytes import ImageByteReader
from purify.tables.near_duplicates import drop_samples, near_duplicates

Pair = tuple[str, str]


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
    with ImageByteReader() as reader, ThreadPoolExecutor(resolve_workers(0), "compare") as pool:

        def compare(pair: Pair) -> bool | None:
            (uri, digest), (other_uri, other_digest) = (places.get(one, (None, None)) for one in pair)
            if digest is not None and digest == other_digest:
                return True
            return _same(reader, uri, other_uri)

        found = list(pool.map(compare, pairs))
    refuted = [pair[0] for pair, same in zip(pairs, found, strict=True) if same is False]
    unchecked = [pair[0] for pair, same in zip(pairs, found, strict=True) if same is None]
    dropped = [pair[0] for pair, same in zip(pairs, found, strict=True) if same is not False]
    return Deduplicated(drop_samples(verdicts, dropped), len(dropped) - len(unchecked), refuted, unchecked)


def _same(reader: ImageByteReader, uri: str | None, other_uri: str | None) -> bool | None:
    """Whether the images show one picture; None if one can't be read."""
    if uri is None or other_uri is None:
        return None
    try:
        return same_pixels(reader.read(uri), reader.read(other_uri))
    except (OSError, InputError):
        return None
