"""The two sets of an overlap: their usable rows with embeddings of one extractor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from purify.analysis.identities.shared_people import LabeledSet
from purify.config import PurifyConfig
from purify.embedding.store import MADE_WITH_KEY, read_embeddings
from purify.errors import InputError
from purify.pipeline.embedding_stage import embed_manifest
from purify.progress import Progress
from purify.storage.files import open_parquet, read_columns
from purify.storage.locations import Location, to_location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import is_manifest, load_manifest, ok_rows


@dataclass(frozen=True)
class GivenSet:
    """A set as named by the user: a table or a run, and perhaps the embeddings of its images."""

    name: str
    place: Location
    embeddings: Location | None = None


@dataclass(frozen=True)
class OverlapSide:
    """One of the two sets.

    `table` has all its rows and columns, `rows` the usable ones as in a manifest, `vectors` their embeddings [N, D].
    ``label_index[N]`` numbers the sorted `labels`.
    """

    name: str
    place: str
    table: pa.Table
    rows: pa.Table
    vectors: LabeledSet
    labels: list[str]


def load_sides(
    given: tuple[GivenSet, GivenSet], *, model: Path | None, out: Path, config: PurifyConfig, progress: Progress
) -> tuple[OverlapSide, OverlapSide]:
    """Read both sets; with a `model`, embed them into ``OUT/embeddings-a.parquet`` and ``-b``.

    InputError if a set can't be read, or its embeddings are missing or not of the extractor of the other's.
    """
    tables = [_table_at(one) for one in given]
    files = [
        one.embeddings or _run_embeddings(one)
        if model is None
        else _embedded(one, manifest, model, out, config, progress)
        for one, (_, manifest) in zip(given, tables, strict=True)
    ]
    _require_one_extractor(files)
    a, b = (_side(one, table, file) for one, table, file in zip(given, tables, files, strict=True))
    return a, b


def _table_at(given: GivenSet) -> tuple[Location, pa.Table]:
    """The table of a set and its place; a run stands for its cleaned set, if it has one."""
    place = given.place
    if place.suffix and not (isinstance(place, Path) and place.is_dir()):
        return place, load_manifest(place)
    run = RunFolder.at(place)
    run.pull()
    table = run.cleaned if run.cleaned.exists() else run.manifest
    if not table.exists():
        raise InputError(f"{place}: no run with a manifest in this folder; give a table or a run")
    return table, load_manifest(table)


def _run_embeddings(given: GivenSet) -> Location:
    run = RunFolder.at(given.place)
    if run.info.exists():
        if run.embeddings.exists():
            return run.embeddings
        if noted := run.read_info().get("embeddings"):
            return to_location(noted)
    raise InputError(
        f"{given.place}: no embeddings of set {given.name.upper()}; give them with --embeddings-{given.name}, "
        "or a model with --checkpoint"
    )


def _embedded(
    given: GivenSet, manifest: pa.Table, model: Path, out: Path, config: PurifyConfig, progress: Progress
) -> Location:
    path = out / f"embeddings-{given.name}.parquet"
    embed_manifest(manifest, model, path, config, progress=progress)
    return path


def _require_one_extractor(files: list[Location]) -> None:
    origins = []
    for path in files:
        with open_parquet(path) as file:
            origins.append((file.schema_arrow.metadata or {}).get(MADE_WITH_KEY))
    if None not in origins and origins[0] != origins[1]:
        raise InputError(
            f"{files[0]} and {files[1]} are embeddings of different models, which can't be compared; "
            "give one model for both with --checkpoint"
        )


def _side(given: GivenSet, table: tuple[Location, pa.Table], file: Location) -> OverlapSide:
    place, manifest = table
    rows = ok_rows(manifest)
    if not len(rows):
        raise InputError(f"{place}: no usable images in set {given.name.upper()}")
    vectors = read_embeddings(file, rows["sample_id"].to_pylist())
    labels, index = np.unique(np.array(rows["label"].to_pylist(), dtype=object), return_inverse=True)
    own = _all_columns(place) if is_manifest(place) else manifest
    return OverlapSide(
        given.name, str(given.place), own, rows, LabeledSet(vectors, index.astype(np.int64)), labels.tolist()
    )


def _all_columns(place: Location) -> pa.Table:
    with open_parquet(place) as file:
        schema = file.schema_arrow
        return read_columns(place, file, schema.names).replace_schema_metadata(schema.metadata)
