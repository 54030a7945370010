"""Source -> manifest: every image decoded once, every row kept, unusable ones with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.inspection import Readings, read_images
from purify.ingest.sources import Listing, open_source
from purify.progress import Progress, silent
from purify.storage.files import cast_table, open_parquet, read_columns
from purify.storage.locations import Location
from purify.tables.schema import MANIFEST, Status
from purify.tables.user_tables import first_row, read_samples

_SAMPLE_COLUMNS = ("sample_id", "label", "true_label")


@dataclass(frozen=True)
class Ingested:
    """A source as it is now.

    Attributes
    ----------
    manifest
        Schema `MANIFEST`, in the order of the source.
    readings
        What its images are known by; a later ingest need not read these again.
    """

    manifest: pa.Table
    readings: Readings


def ingest(
    source: Location, images: Sequence[Location], config: IngestConfig, *, progress: Progress = silent
) -> pa.Table:
    """Read a source into a manifest (schema `MANIFEST`), in the order of the source.

    Parameters
    ----------
    source
        A folder of ``label/image`` or a tar of one (rows sorted by ``sample_id``), or a Parquet or CSV table
        (rows in its order).
    images
        Folders or tars in which a table's paths are looked up; none: the table's folder.
    config
        Limits and the number of threads; they don't change the order.
    progress
        Told the number of images.

    Raises
    ------
    InputError
        If the source can't be used as a whole, or not one of its images can.
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
    """Like `ingest`, but images that are `known` (`Readings.lasting`) are read only where their files changed."""
    listing = open_source(source, images).listing()
    readings = read_images(listing.uris, listing.problems, config, known=known, progress=progress)
    manifest = _manifest(listing, readings.rows)
    _require_usable(source, manifest)
    return Ingested(manifest, readings)


def load_manifest(path: Location) -> pa.Table:
    """A manifest file, or a user's table of ``path,label`` as a manifest (all rows ok, no uri).

    Raises
    ------
    InputError
        If the file is missing or damaged, lacks a column, or has an empty label, an unknown status, or an id
        twice; the message names the row.
    """
    samples = read_samples(path, optional=("true_label",))
    further = _further_columns(path)
    columns = {name: further.get(name, pa.nulls(len(samples))) for name in MANIFEST.names}
    columns |= {name: samples[name] for name in samples.column_names}
    if "status" not in further:
        columns["status"] = pa.repeat(Status.OK.value, len(samples))
    manifest = cast_table(path, pa.table(columns), MANIFEST)
    known = pc.is_in(manifest["status"], pa.array([status.value for status in Status]))
    if row := first_row(pc.invert(known)):
        raise InputError(f"{path}: row {row}: unknown status; there are {', '.join(Status)}")
    return manifest


def load_truth(path: Location) -> pa.Table:
    """``sample_id`` and ``true_label`` (null: not known; empty: belongs to no class) of a table of samples.

    A benchmark's ``kind`` of noise is read too, if there is one.

    Raises
    ------
    InputError
        As `load_manifest`; the column ``true_label`` is required, ``label`` is not.
    """
    return read_samples(path, required=("true_label",), optional=("kind",))


def _further_columns(path: Location) -> dict[str, pa.ChunkedArray]:
    """What a manifest has and a user's table has not; ``uri`` and ``status`` together tell them apart."""
    if path.suffix.lower() != ".parquet":
        return {}
    with open_parquet(path) as file:
        present = file.schema_arrow.names
        if not {"uri", "status"} <= set(present):
            return {}
        names = [name for name in MANIFEST.names if name in present and name not in _SAMPLE_COLUMNS]
        table = read_columns(path, file, names)
    return {name: table[name] for name in names}


def _manifest(listing: Listing, readings: pa.Table) -> pa.Table:
    columns = {
        "sample_id": pa.array(listing.sample_ids, pa.string()),
        "uri": readings["uri"],
        "label": pa.array(listing.labels, pa.string()),
        "true_label": pa.array(listing.true_labels, pa.string()),
    }
    columns |= {name: readings[name] for name in MANIFEST.names if name not in columns}
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
