"""Files of a run: atomic and reproducible writes, and reads with actionable errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from purify.errors import InputError, PurifyError
from purify.storage import remote
from purify.storage.hashes import sha256_text
from purify.storage.integrity import file_digest, recorded, verify
from purify.storage.locations import Location
from purify.storage.own_files import discard_scratch, scratch_path
from purify.storage.parquet_pages import parquet_file

#: Metadata key of a Parquet file: the kind of table, ``<table>/<version>``.
SCHEMA_KEY = b"purify.schema"
#: Columns that some tables of the project's earlier versions lack; there they are null.
_WITH_MANIFEST = ("manifest/", "cleaned/", "removed/")
_LATER_COLUMNS = dict.fromkeys(
    (
        "split",
        *("photo_uri", "photo_sha256", "box", "points", "face_score", "faces", "yaw", "face_choice"),
    ),
    _WITH_MANIFEST,
)
#: How every table is written: a reader that verifies the checksums finds a flipped bit in a page.
PARQUET_FORMAT: dict[str, Any] = {"compression": "zstd", "version": "2.6", "write_page_checksum": True}
_ROW_GROUP_ROWS = 1 << 16
_BLOCK_ROWS = 1 << 13


@contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix) that replaces `path` when the block succeeds.

    Missing parent folders are created. A reader sees the old file or the new one, never a part; if the block
    raises, the temporary file is removed and `path` stays unchanged. In a run the hash of the file is recorded
    (`purify.storage.integrity`). A `durable` file also survives a power failure. PurifyError if the file system
    refuses (no space, no permission, a folder at `path`).
    """
    temporary = scratch_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if durable:
                _sync(temporary)
            with recorded(path, temporary, durable=durable):
                temporary.replace(path)
            if durable:
                _sync(path.parent)
        finally:
            discard_scratch(temporary)
    except OSError as error:
        raise PurifyError(f"{path}: can't be written: {error.strerror or error}") from error


def write_table(table: pa.Table, path: Path, *, durable: bool = False) -> None:
    """Write `table` as Parquet, its pages with checksums; equal tables (schema metadata included) give equal bytes.

    A `durable` table survives a power failure.
    """
    write_blocks([table], table.schema, path, durable=durable)


def write_blocks(blocks: Iterable[pa.Table], schema: pa.Schema, path: Path, *, durable: bool = False) -> None:
    """Write a table that comes in `blocks`, as `write_table` writes all of it; memory holds one row group.

    If an error ends the blocks, `path` stays unchanged.
    """
    with (
        atomic_path(path, durable=durable) as temporary,
        temporary.open("wb") as stream,
        pq.ParquetWriter(stream, schema, **PARQUET_FORMAT) as writer,
    ):
        rows = schema.empty_table()
        for block in blocks:
            rows = pa.concat_tables([rows, block])
            while len(rows) > _ROW_GROUP_ROWS:  # never all of them: the last row group is not empty
                _write_row_group(writer, rows.slice(0, _ROW_GROUP_ROWS))
                rows = rows.slice(_ROW_GROUP_ROWS)
        _write_row_group(writer, rows)


def _write_row_group(writer: pq.ParquetWriter, rows: pa.Table) -> None:
    """Write rows in one chunk: page boundaries must not depend on the chunks of a table."""
    writer.write_table(rows.combine_chunks(), row_group_size=_ROW_GROUP_ROWS)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_table(path: Location, schema: pa.Schema, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file as `schema`, or only `columns` of it; columns are taken by name and cast, others dropped.

    A file of an earlier version may lack columns that were added since: they are null. InputError if the file is
    missing, not Parquet, another of the project's tables, or lacks a column or has one that can't be cast.
    """
    wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns], schema.metadata)
    with open_parquet(path) as file:
        require_kind(path, file.schema_arrow, schema)
        present = file.schema_arrow.names
        kind = table_kind(file.schema_arrow) or ""
        later = {name for name, kinds in _LATER_COLUMNS.items() if kind.startswith(kinds) and name not in present}
        names = [name for name in wanted.names if name not in later]
        require_columns(path, present, names)
        table = read_columns(path, file, names)
    for name in wanted.names:
        if name in later:
            table = table.append_column(name, pa.nulls(len(table), wanted.field(name).type))
    return cast_table(path, table, wanted)


@contextmanager
def open_parquet(path: Location) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; InputError if it is missing, unreadable, not Parquet, or not what was written.

    It is opened here and not by the reader, which would take parts of the path for partition columns; and as a native
    file, since Arrow's threads may release a Python one after the end of the interpreter, which aborts the process.
    """
    verify(local_file(path))
    with readable(path), pa.OSFile(os.fspath(local_file(path)), "rb") as stream:
        try:
            file = parquet_file(stream)
            file.schema_arrow  # noqa: B018 - names that are not UTF-8 are found here, not by every reader
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a Parquet file, or a damaged one: {one_line(error)}") from error
        yield file


def read_columns(path: Location, file: pq.ParquetFile, columns: Sequence[str]) -> pa.Table:
    """Read `columns` of an open Parquet file, in that order; text must be UTF-8."""
    try:
        table = file.read(columns=list(columns)).select(list(columns))
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: damaged Parquet file: {one_line(error)}") from error
    return table


def read_blocks(path: Location, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield `columns` of a Parquet file a block at a time; errors as of `open_parquet` and `read_columns`."""
    with open_parquet(path) as file:
        try:
            for batch in file.iter_batches(_BLOCK_ROWS, columns=list(columns), use_threads=False):
                batch.validate(full=True)
                yield pa.Table.from_batches([batch]).select(list(columns))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: damaged Parquet file: {one_line(error)}") from error


def cast_table(path: Location, table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast `table` (columns as in `schema`); InputError naming a column that can't be cast."""
    for field in schema:
        if not field.nullable and (nulls := table[field.name].null_count):
            row = table[field.name].is_null().index(pa.scalar(True)).as_py() + 1
            raise InputError(f"{path}: row {row}: {field.name} is missing ({nulls} such rows); fill it in")
    columns = []
    for field in schema:
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowException, ValueError) as error:
            found = table.schema.field(field.name).type
            raise InputError(f"{path}: column {field.name!r} is {found}, expected {field.type}") from error
    return pa.table(columns, schema=schema)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column type is one of Arrow's kinds of text, or a dictionary of it."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def require_kind(path: Location, found: pa.Schema, wanted: pa.Schema) -> None:
    """InputError if `found` and `wanted` are schemas of different tables of the project."""
    here, there = table_kind(found), table_kind(wanted)
    if here and there and here != there:
        raise InputError(f"{path}: holds {here}, expected {there}; give the file of that name")


def require_columns(path: Location, present: Sequence[str], wanted: Sequence[str], *, remedy: str = "") -> None:
    """InputError unless each of `wanted` is `present` exactly once; it ends with the `remedy` for missing ones."""
    if missing := [name for name in wanted if name not in present]:
        raise InputError(
            f"{path}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"the file has: {', '.join(present) or 'no columns'}{'; ' * bool(remedy)}{remedy}"
        )
    if twice := [name for name in wanted if present.count(name) > 1]:
        raise InputError(f"{path}: column {twice[0]!r} occurs twice; rename one")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically (`atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` as JSON: sorted keys, two spaces, a final newline; NaN, which JSON lacks, is refused."""
    text = json.dumps(obj, sort_keys=True, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def read_json(path: Location) -> Any:
    """Read a JSON file; InputError if it is missing, damaged, or not what was written."""
    with readable(path):
        verify(local_file(path))
        content = local_file(path).read_bytes()
    try:
        return parse_json(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file, or a damaged one: {error}") from error


def parse_json(content: bytes) -> Any:
    r"""The value of a JSON text; ValueError or RecursionError if it is none, or holds halves of characters.

    JSON can hold those (``"\ud800"``), and no table and no file can.
    """
    value = json.loads(content)
    if b"\\u" in content:
        json.dumps(value, ensure_ascii=False).encode()  # a UnicodeEncodeError is a ValueError
    return value


def sha256_file(path: Location) -> str:
    """Hex SHA-256 of a file's bytes; InputError if it can't be read."""
    with readable(path):
        return file_digest(local_file(path))


def local_file(place: Location) -> Path:
    """Return `place` itself, or a local copy of the file at a URL, reused until the file on the store changes.

    Copies of former versions stay in the cache: another process may be reading them.

    InputError if the file at the URL is missing or may not be read.
    """
    if isinstance(place, Path):
        return place
    versions = remote.cache_path("files", place).parent
    copy = versions / sha256_text(remote.version(place))[:16] / place.name
    if not copy.exists():
        with atomic_path(copy) as temporary:
            remote.download(place, temporary)
    return copy


@contextmanager
def readable(path: Location) -> Iterator[None]:
    """Turn errors of the operating system on reading `path` into an InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from error


def table_kind(schema: pa.Schema) -> str | None:
    """``<table>/<version>`` of one of the project's tables; None for a user's table."""
    kind = (schema.metadata or {}).get(SCHEMA_KEY)
    return kind.decode("utf-8", "replace") if kind else None


def one_line(error: BaseException) -> str:
    """The text of an error without line breaks."""
    return " ".join(str(error).split())
