"""Text files with an image in base64 on each line: MS-Celeb-1M's TSV, or other columns by number or name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from purify.config import IngestConfig
from purify.errors import InputError
from purify.images.defects import Defect
from purify.ingest.doors.door import Door
from purify.ingest.doors.keyed_rows import KeyedRows, local_source
from purify.ingest.source_listing import Listing, Source
from purify.storage.files import readable
from purify.storage.locations import Location, container_uri
from purify.storage.tsv_container import text_key

#: First characters of JPEG, PNG, GIF, WebP and BMP in base64.
_SIGNATURES = (b"/9j/", b"iVBORw0KGgo", b"R0lGOD", b"UklGR", b"Qk0")
_LEAST_IMAGE = 64
_SUFFIXES = (".tsv", ".txt")
#: Most bytes of a line; a file without line ends must not fill the memory.
_MOST_LINE = 1 << 26
#: Lines read to recognize the columns: a header, and images.
_FIRST_LINES = 3

#: Columns of MS-Celeb-1M: the person's id, the rank in the search, two addresses, the number of the face, its box, and
#: the crop. Its images, and the lists of clean ones, are called ``PERSON/RANK-FACE.jpg``.
_CELEB = (0, 1, 4)
_CELEB_COLUMNS = 7
_CELEB_NAME = re.compile(rb"[\w.]+/\d+-FaceId-\d+")

Line = tuple[int, list[bytes]]


@dataclass(frozen=True)
class _Columns:
    """Numbers of the columns, from 0, and how many there are."""

    image: int
    label: int
    has_header: bool
    count: int


@dataclass(frozen=True)
class Base64Source:
    """A tab-separated file of images in base64; a sample is called ``<file>#<line>``, lines counted from 0.

    Of MS-Celeb-1M it is called ``<file>#<line>/<person>/<rank>-FaceId-<n>``, by which published lists find it.

    Without `columns` (ours -> number from 0, or name in a header line) the image is the column that holds one, and the
    label the column ``label``, else the first, as in MS-Celeb-1M. Only positions are kept: images are read from their
    places in the file.
    """

    path: Path
    columns: Mapping[str, str]

    def listing(self) -> Listing:
        """See `Source`."""
        place, rows = str(self.path.resolve()), KeyedRows()
        with readable(self.path):
            columns = _find_columns(self.path, self.columns)
            lines = islice(_lines(self.path), int(columns.has_header), None)
            for number, (start, parts) in enumerate(lines):
                self._add(rows, place, columns, number, start, parts)
        return rows.listing(self.path, nothing="holds no lines")

    def _add(self, rows: KeyedRows, place: str, columns: _Columns, number: int, start: int, parts: list[bytes]) -> None:
        label = _text(parts[columns.label]) if columns.label < len(parts) else ""
        problem = None
        if len(parts) != columns.count:
            problem = f"{Defect.CORRUPT}: the line has {len(parts)} columns, the first one {columns.count}"
        at = start + sum(len(part) + 1 for part in parts[: columns.image])
        key = text_key(at, len(parts[columns.image]) if problem is None else 0)
        sample_id = f"{self.path.name}#{number}{_celeb_name(parts)}"
        rows.add(sample_id, label, container_uri("tsv", key, place), problem=problem)


def _celeb_name(parts: Sequence[bytes]) -> str:
    """Name of an image of MS-Celeb-1M, behind a slash; empty for a line of another form."""
    if len(parts) != _CELEB_COLUMNS:
        return ""
    name = b"%b/%b-%b" % tuple(parts[place] for place in _CELEB)
    return f"/{name.decode()}" if _CELEB_NAME.fullmatch(name) else ""


def _find_columns(path: Path, wanted: Mapping[str, str]) -> _Columns:
    first = [parts for _, parts in islice(_lines(path), _FIRST_LINES)]
    if not first:
        raise InputError(f"{path}: empty file; get it anew")
    names = [_text(part) for part in first[0]]
    image = _image_column(first[0])
    has_header = image is None and any(not column.isdecimal() for column in wanted.values())
    if image is None and (later := [found for parts in first[1:] if (found := _image_column(parts)) is not None]):
        image, has_header = later[0], True
    image = _number(path, wanted, "image", names) if "image" in wanted else image
    if image is None:
        raise InputError(
            f"{path}: no column holds images in base64; name it with --columns image=NUMBER (from 0), "
            "or read a table of paths with --format table"
        )
    if "label" in wanted:
        label = _number(path, wanted, "label", names)
    else:
        label = names.index("label") if has_header and "label" in names else 0
    return _Columns(image, label, has_header, len(names))


def _number(path: Path, wanted: Mapping[str, str], name: str, header: Sequence[str]) -> int:
    column = wanted[name]
    if column.isdecimal() and int(column) < len(header):
        return int(column)
    if column in header:
        return header.index(column)
    raise InputError(f"{path}: no column {column!r} for {name}; the lines have {len(header)} columns, from 0")


def _image_column(parts: Sequence[bytes]) -> int | None:
    """Number of the last column that begins like an image in base64; crops come after rectangles."""
    found = [
        number
        for number, part in enumerate(parts)
        if part.startswith(_SIGNATURES) and len(part) >= _LEAST_IMAGE and b" " not in part
    ]
    return found[-1] if found else None


def _lines(path: Path) -> Iterator[Line]:
    """Yield the position and the columns of each line that isn't empty."""
    position = 0
    with path.open("rb") as stream:
        while line := stream.readline(_MOST_LINE):
            if len(line) == _MOST_LINE:
                raise InputError(
                    f"{path}: a line of more than {_MOST_LINE} bytes at byte {position}; is it a text file?"
                )
            if content := line.rstrip(b"\r\n"):
                yield position, content.split(b"\t")
            position += len(line)


def _text(part: bytes) -> str:
    return part.decode("utf-8", "backslashreplace")


def _is_base64_text(source: Location) -> bool:
    if not isinstance(source, Path) or source.suffix.lower() not in _SUFFIXES or not source.is_file():
        return False
    try:
        return any(_image_column(parts) is not None for _, parts in islice(_lines(source), _FIRST_LINES))
    except (OSError, InputError):
        return False


def _open(source: Location, _images: Sequence[Location], config: IngestConfig) -> Source:
    return Base64Source(local_source(source), config.columns)


BASE64_TEXT = Door("tsv", "MS-Celeb-1M's TSV (an image in base64 on each line)", _is_base64_text, _open)
