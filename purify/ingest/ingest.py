"""Source -> manifest: every image decoded once, every row kept, unusable ones with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.arrow_memory import tight_arrow_memory
from purify.ingest.inspection import Inspections, inspect_blocks
from purify.ingest.source_listing import Listing
from purify.ingest.sources import open_source
from purify.progress import Progress, silent
from purify.storage.files import write_blocks
from purify.storage.locations import Location
from purify.tables.schema import MANIFEST, PHOTO_COLUMNS, Status


@dataclass(frozen=True)
class Ingested:
    """The present state of a source."""

    #: Schema `MANIFEST`, in the order of the source.
    manifest: pa.Table
    #: Facts about its images; a later ingest reads only changed files.
    inspections: Inspections
    #: Warnings to show first, such as unusable images with an easy remedy.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class IngestedFile:
    """A manifest that was written."""

    #: Status -> number of images.
    counts: Mapping[str, int]
    #: See `Ingested`.
    warnings: tuple[str, ...]


def ingest(
    source: Location, images: Sequence[Location], config: IngestConfig, *, progress: Progress = silent
) -> pa.Table:
    """Read a source into a manifest (schema `MANIFEST`), in the order of the source.

    The source is a folder of ``label/image`` or a tar of one (rows sorted by ``sample_id``), or a Parquet or CSV table
    (rows in its order), whose paths are looked up in the folders or tars `images`; none: the table's folder. The
    number of threads doesn't change the result; `progress` counts images. InputError if the source can't be used as a
    whole, or none of its images can.
    """
    return ingest_again(source, images, config, known=None, progress=progress).manifest


def ingest_file(
    source: Location, images: Sequence[Location], config: IngestConfig, path: Path, *, progress: Progress = silent
) -> IngestedFile:
    """As `ingest`, into a file at `path`; of the manifest, memory holds some thousand rows at a time."""
    rows = _Rows(source, open_source(source, images, config).listing())
    with closing(rows.blocks(config, None, progress)) as blocks:
        write_blocks((manifest for manifest, _ in blocks), MANIFEST, path)
    return IngestedFile(dict(rows.counts), rows.listing.warnings)


def ingest_again(
    source: Location,
    images: Sequence[Location],
    config: IngestConfig,
    *,
    known: pa.Table | None,
    progress: Progress = silent,
) -> Ingested:
    """As `ingest`; images that are `known` (`Inspections.lasting`) are read only if their files changed."""
    with tight_arrow_memory():
        rows = _Rows(source, open_source(source, images, config).listing())
        with closing(rows.blocks(config, known, progress)) as blocks:
            manifests, inspected = zip(*blocks, strict=True)
    return Ingested(pa.concat_tables(manifests), Inspections.of(inspected), rows.listing.warnings)


class _Rows:
    """The rows of a manifest, a block at a time, and their number by status."""

    def __init__(self, source: Location, listing: Listing) -> None:
        self.listing = listing
        self.counts: Counter[str] = Counter()
        self._source = source
        self._defects: Counter[str] = Counter()
        self._first = ""

    def blocks(
        self, config: IngestConfig, known: pa.Table | None, progress: Progress
    ) -> Generator[tuple[pa.Table, pa.Table], None, None]:
        """Yield rows (schema `MANIFEST`) with their inspections; InputError if no image can be used."""
        uris, problems = self.listing.uris, self.listing.problems
        with closing(inspect_blocks(uris, problems, config, known=known, progress=progress)) as blocks:
            for inspected in blocks:
                manifest = _manifest(self.listing, self.counts.total(), inspected)
                self._count(manifest)
                yield manifest, inspected
        if not self.counts[Status.OK.value]:
            raise InputError(
                f"{self._source}: none of its {self.counts.total()} images can be used "
                f"({', '.join(f'{count} {code}' for code, count in self._defects.most_common())}); "
                f"the first is {self._first}"
            )

    def _count(self, manifest: pa.Table) -> None:
        if not self.counts:
            self._first = f"{manifest['sample_id'][0]}: {manifest['status_reason'][0]}"
        self.counts.update(manifest["status"].to_pylist())
        reasons = manifest["status_reason"].drop_null().to_pylist()
        self._defects.update(reason.partition(":")[0] for reason in reasons)


def _manifest(listing: Listing, start: int, inspected: pa.Table) -> pa.Table:
    """The rows of a listing from `start` on, with their inspections."""
    part = slice(start, start + len(inspected))
    columns = {
        "sample_id": pa.array(listing.sample_ids[part], pa.string()),
        "label": pa.array(listing.labels[part], pa.string()),
        "true_label": pa.array(listing.true_labels[part], pa.string()),
        "split": pa.array(listing.splits[part] or [None] * len(inspected), pa.string()),
    }
    columns |= {name: inspected[name] for name in MANIFEST.names if name in inspected.column_names}
    columns |= {name: pa.nulls(len(inspected), MANIFEST.field(name).type) for name in PHOTO_COLUMNS}
    return pa.table([columns[name] for name in MANIFEST.names], schema=MANIFEST)
