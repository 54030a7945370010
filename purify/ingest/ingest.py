"""Source -> manifest: every image decoded once, every row kept, unusable ones with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.arrow_memory import tight_arrow_memory
from purify.ingest.inspection import Inspections, inspect_images
from purify.ingest.source_listing import Listing
from purify.ingest.sources import open_source
from purify.progress import Progress, silent
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
        listing = open_source(source, images, config).listing()
        inspections = inspect_images(listing.uris, listing.problems, config, known=known, progress=progress)
        manifest = _manifest(listing, inspections.rows)
    _require_usable(source, manifest)
    return Ingested(manifest, inspections, listing.warnings)


def _manifest(listing: Listing, inspections: pa.Table) -> pa.Table:
    columns = {
        "sample_id": pa.array(listing.sample_ids, pa.string()),
        "uri": inspections["uri"],
        "label": pa.array(listing.labels, pa.string()),
        "true_label": pa.array(listing.true_labels, pa.string()),
        "split": pa.array(listing.splits or [None] * len(listing.sample_ids), pa.string()),
    }
    columns |= {name: inspections[name] for name in MANIFEST.names if name in inspections.column_names[2:]}
    columns |= {name: pa.nulls(len(inspections), MANIFEST.field(name).type) for name in PHOTO_COLUMNS}
    return pa.table(columns, schema=MANIFEST)


def _require_usable(source: Location, manifest: pa.Table) -> None:
    if Status.OK.value in manifest["status"].unique().to_pylist():
        return
    codes = Counter(str(reason).partition(":")[0] for reason in manifest["status_reason"].to_pylist())
    counts = ", ".join(f"{count} {code}" for code, count in codes.most_common())
    raise InputError(
        f"{source}: none of its {len(manifest)} images can be used ({counts}); the first is "
        f"{manifest['sample_id'][0]}: {manifest['status_reason'][0]}"
    )
