"""Index of an uncompressed tar: the position of each member, so that any member is a single read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from purify.errors import InputError
from purify.storage import remote
from purify.storage.files import read_table, readable, write_table
from purify.storage.hashes import sha256_text
from purify.storage.integrity import file_stamp
from purify.storage.locations import Location, Url, as_text, inner_path
from purify.storage.packed_members import PackedMembers
from purify.storage.tar_headers import DamagedTarError, TarScan
from purify.storage.unpacked import compression, unpacked

_SHOWN = 3

#: Schema of the cached index of a remote tar; names are bytes, since not all are UTF-8.
_KEPT = pa.schema({"name": pa.binary(), "offset": pa.int64(), "size": pa.int64(), "refused": pa.string()})


@dataclass(frozen=True)
class TarIndex:
    """Members of a tar by normalized name, in the order of the archive."""

    #: Name -> (offset, size) in bytes of a plain file.
    members: PackedMembers
    #: Name -> kind, for links, devices and the like, which are never followed.
    refused: Mapping[str, str]
    #: What is wrong with an archive that could be read: "has no end mark ...".
    notes: tuple[str, ...] = ()

    def position(self, archive: Location, member: str) -> tuple[int, int]:
        """Offset and size of a member of `archive`; InputError if there is none."""
        try:
            return self.members[member]
        except KeyError:
            raise InputError(f"{archive}: holds no file {as_text(member)}") from None

    def positions(self, archive: Location, members: Sequence[str]) -> tuple[list[int], list[int]]:
        """Offsets and sizes of members, as `position`."""
        rows = self.members.find_rows(members)
        if (rows < 0).any():
            self.position(archive, members[int(np.argmin(rows))])
        places = self.members.places[rows]
        return places[:, 0].tolist(), places[:, 1].tolist()


def index_tar(place: Location) -> TarIndex:
    """Read the headers of a tar; an unchanged archive is not read again, a compressed one is unpacked to the cache.

    The index of a tar on a store is also cached: headers between small images lie so close that reading them means
    reading the whole archive. InputError if the archive is unreadable or damaged (or compressed, on a store), or
    has duplicate names or names that leave it.
    """
    if isinstance(place, Url):
        return _remote_index(place, remote.version(place))
    with readable(place):
        plain = unpacked(place)
        return _index(place, plain, file_stamp(plain.stat()))


@lru_cache(maxsize=8)
def _index(path: Path, plain: Path, _state: str) -> TarIndex:
    with plain.open("rb", buffering=0) as stream:  # headers lie apart: a buffer would read what is between them
        return _read_index(path, stream)


@lru_cache(maxsize=8)
def _remote_index(url: Url, version: str) -> TarIndex:
    digest = sha256_text(version)[:16]
    kept = remote.cache_path("tar-indexes", url).with_suffix(f".{digest}.parquet")
    try:
        return _from_table(read_table(kept, _KEPT))
    except InputError:  # missing or damaged
        with remote.reading(url) as stream:
            index = _read_index(url, stream)
        write_table(_to_table(index), kept)
        return index


def _to_table(index: TarIndex) -> pa.Table:
    names = [name.encode("utf-8", "surrogateescape") for name in (*index.members, *index.refused)]
    none = [None] * len(index.refused)
    places = list(index.members.values())
    offsets, sizes = ([place[k] for place in places] for k in (0, 1))
    kinds = [None] * len(index.members) + list(index.refused.values())
    rows = pa.table([names, offsets + none, sizes + none, kinds], schema=_KEPT)
    notes = [{"name": b"", "refused": note} for note in index.notes]  # no member has an empty name
    return pa.concat_tables([rows, pa.Table.from_pylist(notes, schema=_KEPT)])


def _from_table(table: pa.Table) -> TarIndex:
    plain = table.filter(table["refused"].is_null())
    refused: dict[str, str] = {}
    notes = []
    for row in table.filter(table["refused"].is_valid()).to_pylist():
        name = row["name"].decode("utf-8", "surrogateescape")
        if name:
            refused[name] = row["refused"]
        else:
            notes.append(row["refused"])
    places = np.stack([plain["offset"].to_numpy(), plain["size"].to_numpy()], axis=1)
    members = PackedMembers(plain["name"].combine_chunks().cast(pa.large_binary()), places)
    return TarIndex(members, MappingProxyType(refused), tuple(notes))


def _read_index(place: Location, stream: BinaryIO) -> TarIndex:
    _refuse_packed(place, stream)
    scan = TarScan(stream)
    try:
        return _read_members(place, scan)
    except DamagedTarError as error:
        raise InputError(f"{place}: not a tar archive, or a damaged tar archive: {error}; write it anew") from error


def _refuse_packed(path: Location, stream: BinaryIO) -> None:
    start = stream.read(8)
    packed = "zip" if start.startswith(b"PK\x03\x04") else compression(start)
    if packed:
        raise InputError(
            f"{path}: compressed ({packed}); images are read at random, so unpack it to an uncompressed .tar "
            "(or to a folder) first"
        )


def _read_members(path: Location, scan: TarScan) -> TarIndex:
    refused: dict[str, str] = {}
    unsafe: list[str] = []
    twice: list[str] = []

    def files() -> Iterator[tuple[str, int, int]]:
        for member in scan:
            if member.is_folder:
                continue
            try:
                name = inner_path(member.name)
            except InputError as error:
                unsafe.append(str(error))
                continue
            if member.kind is None:
                yield name, member.offset, member.size
            elif name in refused:
                twice.append(name)
            else:
                refused[name] = member.kind

    members = PackedMembers.of(files())
    twice += [*members.repeated, *(name for name in refused if name in members)]
    _refuse_names(path, unsafe, [f"{name} occurs twice" for name in twice])
    return TarIndex(members, MappingProxyType(refused), tuple(scan.notes))


def _refuse_names(path: Location, *kinds: list[str]) -> None:
    """Raise an InputError that counts the members with each kind of problem, if any."""
    lines = []
    for problems in filter(None, kinds):
        shown = "; member ".join(as_text(problem) for problem in problems[:_SHOWN])
        lines.append(f"member {shown}" + (f"; {len(problems)} such members" if len(problems) > 1 else ""))
    if lines:
        raise InputError(f"{path}: {'; '.join(lines)}; write the archive anew")
