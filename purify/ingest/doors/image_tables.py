"""Tables with images inside: Parquet, as Hugging Face's hub hands it out, and folders of ``datasets.save_to_disk``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import pyarrow as pa

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.doors.door import Door
from purify.ingest.doors.image_columns import choose_columns, find_image_column
from purify.ingest.doors.keyed_rows import KeyedRows, local_source, split_called, split_of
from purify.ingest.shard_numbers import missing_files
from purify.ingest.source_listing import Listing, Source
from purify.ingest.split_folders import SPLITS
from purify.storage.arrow_container import map_batches
from purify.storage.files import open_parquet, read_blocks, read_json, table_kind
from purify.storage.locations import Location, container_uri
from purify.storage.parquet_container import row_key
from purify.tables.user_tables import to_text

_PARQUET = ".parquet"
_NEAR = ("data", "default", *SPLITS, *(f"default/{split}" for split in SPLITS))
_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"

#: Yields columns of a file, a block at a time.
ReadColumns = Callable[[Path, Sequence[str]], Iterator[pa.Table]]


@dataclass(frozen=True)
class ImageTableSource:
    """Parquet or Arrow files with images inside; a sample is called ``<file>#<row>``, rows counted from 0."""

    path: Path
    #: Files with the split of each, in order.
    files: Sequence[tuple[Path, str | None]]
    #: Kind of the container: ``parquet`` or ``arrow``.
    kind: str
    columns: Mapping[str, str]

    def listing(self) -> Listing:
        """See `Source`."""
        rows, faults = KeyedRows(), []
        root = self.path if self.path.is_dir() else self.path.parent
        if self.path.is_dir():
            rows.warnings += missing_files(file.relative_to(root).as_posix() for file, _ in self.files)
        for file, split in self.files:
            try:
                self._add(rows, file, file.relative_to(root).as_posix(), split)
            except InputError as error:
                faults.append(str(error))
        if faults:
            raise InputError("\n  ".join(faults))
        return rows.listing(self.path, nothing="its tables hold no rows with images")

    def _add(self, rows: KeyedRows, path: Path, name: str, split: str | None) -> None:
        schema = _SCHEMAS[self.kind](path)
        if len(self.files) > 1 and find_image_column(schema, self.columns.get("image")) is None:
            rows.warnings.append(f"{path}: holds no images and was skipped")
            return
        info = path.with_name(_INFO)
        chosen = choose_columns(path, schema, self.columns, info=info if info.is_file() else None)
        further = [column for column in (chosen.true_label, chosen.split) if column is not None]
        place, start = str(path.resolve()), 0
        for block in _READERS[self.kind](path, list(dict.fromkeys([chosen.label, *further]))):
            labels = chosen.labels(path, block[chosen.label], start)
            truth, splits = (
                to_text(path, block[column], column).to_pylist() if column else repeat(otherwise, len(block))
                for column, otherwise in ((chosen.true_label, None), (chosen.split, split))
            )
            for row, (label, true_label, part) in enumerate(zip(labels, truth, splits, strict=True), start=start):
                uri = container_uri(self.kind, row_key(chosen.image, row), place)
                rows.add(f"{name}#{row}", label, uri, split=split_called(part), true_label=true_label)
            start += len(block)


def _parquet_schema(path: Path) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _arrow_schema(path: Path) -> pa.Schema:
    source, schema, _ = map_batches(path)
    source.close()
    return schema


def _read_arrow(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    source, _, batches = map_batches(path)
    with source:
        for batch in batches:
            yield pa.Table.from_batches([batch]).select(columns)


_SCHEMAS: Mapping[str, Callable[[Path], pa.Schema]] = {"parquet": _parquet_schema, "arrow": _arrow_schema}
_READERS: Mapping[str, ReadColumns] = {"parquet": read_blocks, "arrow": _read_arrow}


def _parquet_files(path: Path) -> Iterator[Path]:
    """Parquet files of a folder and of the folders in it, as the hub lays them out; hidden ones are left out."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob(f"*{_PARQUET}")):
        if not any(part.startswith(".") for part in file.relative_to(path).parts):
            yield file


def _is_image_parquet(source: Location) -> bool:
    """Whether a Parquet file, or the first of a folder, holds images."""
    if not isinstance(source, Path) or not (source.is_dir() or source.suffix.lower() == _PARQUET):
        return False
    candidates = _parquet_files(source) if source.is_file() else _near_parquet(source)
    return any(_holds_images(file) for file in candidates)


def _near_parquet(folder: Path) -> Iterator[Path]:
    """The first Parquet file of a folder, and of the folders in it that the hub's layouts have."""
    for name in ("", *_NEAR):
        yield from sorted((folder / name).glob(f"*{_PARQUET}"))[:1]


def _holds_images(path: Path) -> bool:
    try:
        schema = _parquet_schema(path)
    except InputError:
        return False
    return table_kind(schema) is None and find_image_column(schema) is not None


def _open_parquet(source: Location, _images: Sequence[Location], config: IngestConfig) -> Source:
    path = local_source(source)
    files = list(_parquet_files(path))
    splits = [split_of(file.relative_to(path)) if path.is_dir() else None for file in files]
    return ImageTableSource(path, list(zip(files, splits, strict=True)), "parquet", config.columns)


def _is_saved_dataset(source: Location) -> bool:
    if not isinstance(source, Path):
        return False
    if source.is_dir():
        return (source / _STATE).is_file() or (source / _SPLITS).is_file()
    return source.suffix.lower() == ".arrow"


def _open_saved(source: Location, _images: Sequence[Location], config: IngestConfig) -> Source:
    path = local_source(source)
    if path.is_file():
        return ImageTableSource(path, [(path, None)], "arrow", config.columns)
    if not (path / _SPLITS).is_file():
        return ImageTableSource(path, [(file, None) for file in _saved_files(path)], "arrow", config.columns)
    splits = read_json(path / _SPLITS).get("splits", [])
    files = [(file, str(split)) for split in splits for file in _saved_files(path / str(split))]
    return ImageTableSource(path, files, "arrow", config.columns)


def _saved_files(folder: Path) -> list[Path]:
    """The files that ``state.json`` names, in their order."""
    state = read_json(folder / _STATE)
    if not isinstance(state, dict) or not isinstance(state.get("_data_files"), list):
        raise InputError(f"{folder / _STATE}: not the state of a saved data set; save it anew")
    if state.get("_indices_data_files"):
        raise InputError(f"{folder}: saved with a selection of rows; call flatten_indices() and save it anew")
    names = [entry.get("filename") for entry in state["_data_files"]]
    if any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise InputError(f"{folder / _STATE}: names files outside of its folder; save it anew")
    return [folder / name for name in names]


IMAGE_PARQUET = Door(
    "parquet", "Parquet with images inside (a file, or a folder of shards)", _is_image_parquet, _open_parquet
)
SAVED_DATASET = Door("arrow", "a folder of datasets.save_to_disk", _is_saved_dataset, _open_saved)
