"""Source -> manifest: every image decoded once, every row kept, unusable ones with the reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from purify.config import IngestConfig
from purify.errors import InputError
from purify.manifest.blobs import BlobReader
from purify.manifest.decode import ImageFacts, inspect_image
from purify.manifest.defects import Defect, describe_os_error
from purify.manifest.io import cast_table, open_parquet, read_columns
from purify.manifest.loading import resolve_workers
from purify.manifest.schema import MANIFEST, Status
from purify.manifest.sources import Listing, open_source
from purify.manifest.tables import first_row, read_samples
from purify.manifest.uris import Location
from purify.progress import Progress, silent

_CHUNK_ROWS = 64
_SAMPLE_COLUMNS = ("sample_id", "label", "true_label")


@dataclass(frozen=True)
class _Row:
    """What reading an image adds to its row."""

    facts: ImageFacts
    sha256: str | None = None


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
    listing = open_source(source, images).listing()
    rows = _inspect_all(listing, config, progress)
    manifest = _manifest(listing, rows)
    _require_usable(source, manifest)
    return manifest


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


def _inspect_all(listing: Listing, config: IngestConfig, progress: Progress) -> list[_Row]:
    total = len(listing.sample_ids)
    rows: list[_Row] = []
    with BlobReader() as reader:

        def inspect_chunk(start: int) -> list[_Row]:
            chunk = slice(start, start + _CHUNK_ROWS)
            pairs = zip(listing.uris[chunk], listing.problems[chunk], strict=True)
            return [_inspect(reader, uri, problem, config) for uri, problem in pairs]

        pool = ThreadPoolExecutor(resolve_workers(config.workers), thread_name_prefix="ingest")
        try:
            for chunk_rows in pool.map(inspect_chunk, range(0, total, _CHUNK_ROWS)):
                rows.extend(chunk_rows)
                progress(len(rows), total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return rows


def _inspect(reader: BlobReader, uri: str | None, problem: str | None, config: IngestConfig) -> _Row:
    if uri is None:
        return _Row(_unreadable(problem or Defect.MISSING))
    try:
        data = reader.read(uri)
    except OSError as error:
        return _Row(_unreadable(str(describe_os_error(error))))
    facts = inspect_image(data, min_size=config.min_size, max_pixels=config.max_pixels)
    return _Row(facts, hashlib.sha256(data).hexdigest())


def _unreadable(reason: str) -> ImageFacts:
    return ImageFacts(None, None, Status.UNREADABLE, reason)


def _manifest(listing: Listing, rows: Sequence[_Row]) -> pa.Table:
    columns = {
        "sample_id": listing.sample_ids,
        "uri": listing.uris,
        "label": listing.labels,
        "true_label": listing.true_labels,
        "width": [row.facts.width for row in rows],
        "height": [row.facts.height for row in rows],
        "sha256": [row.sha256 for row in rows],
        "status": [row.facts.status.value for row in rows],
        "status_reason": [row.facts.reason for row in rows],
    }
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
