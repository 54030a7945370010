"""Metadata files of IJB-B and IJB-C, as InsightFace ships them: templates and media, pairs, face points, searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from purify.arrays import Floats, Ids, Mask
from purify.errors import InputError
from purify.storage.files import local_file, one_line, readable
from purify.storage.locations import Location

_POINTS = [f"{axis}{number}" for number in range(1, 6) for axis in "xy"]


@dataclass(frozen=True, eq=False)
class TemplateImages:
    """N images: `names`, and the numbers of their ``template[N]`` and ``media[N]``."""

    names: Sequence[str]
    template: Ids
    media: Ids


@dataclass(frozen=True, eq=False)
class FacePoints:
    """N images: `names`, five points float64[N, 5, 2] in pixels, and the detector's ``score[N]``."""

    names: Sequence[str]
    points: Floats
    score: Floats


@dataclass(frozen=True, eq=False)
class SearchList:
    """Templates of a gallery or of probes, once each, and the numbers of their people."""

    template: Ids
    subject: Ids


def read_template_images(path: Location) -> TemplateImages:
    """Read ``*_face_tid_mid.txt``: a name, a template and a medium a line."""
    table = _columns(path, {"name": pa.string(), "template": pa.int64(), "media": pa.int64()})
    numbers = [_numbers(path, table[name]) for name in ("template", "media")]
    return TemplateImages(table["name"].to_pylist(), *numbers)


def read_template_pairs(path: Location) -> tuple[Ids, Ids, Mask]:
    """Read ``*_template_pair_label.txt``: two templates and 1 (one person) or 0 a line."""
    table = _columns(path, {"first": pa.int64(), "second": pa.int64(), "same": pa.int64()})
    first, second, same = (_numbers(path, table[name]) for name in table.column_names)
    if (odd := np.flatnonzero((same != 0) & (same != 1))).size:
        raise InputError(f"{path}: row {odd[0] + 1}: the label is {same[odd[0]]}, expected 1 or 0")
    if same.all() or not same.any():
        raise InputError(f"{path}: all pairs are {'same' if same.all() else 'different'} ones; both kinds are needed")
    return first, second, same == 1


def read_face_points(path: Location) -> FacePoints:
    """Read ``*_name_5pts_score.txt``: a name, x and y of five points, and a score a line."""
    table = _columns(path, {"name": pa.string(), **dict.fromkeys(_POINTS, pa.float64()), "score": pa.float64()})
    numbers = np.stack([table[name].to_numpy() for name in (*_POINTS, "score")], axis=1).astype(np.float64)
    if (bad := np.flatnonzero(~np.isfinite(numbers).all(axis=1))).size:
        raise InputError(f"{path}: row {bad[0] + 1}: a point or the score is missing or not finite")
    return FacePoints(table["name"].to_pylist(), numbers[:, :-1].reshape(-1, 5, 2), numbers[:, -1])


def read_search_list(path: Location) -> SearchList:
    """Read ``*_1N_gallery_*.csv`` or ``*_1N_probe_*.csv``: TEMPLATE_ID and SUBJECT_ID in the first columns."""
    with readable(path), local_file(path).open("rb") as stream:
        try:
            table = pv.read_csv(stream)
        except pa.ArrowException as error:
            raise InputError(f"{path}: not a CSV file with a header: {one_line(error)}") from error
    if any(name.strip().isdigit() for name in table.column_names[:2]):
        raise InputError(f"{path}: row 1 is no header: TEMPLATE_ID,SUBJECT_ID,...")
    if table.num_columns < 2 or not all(pa.types.is_integer(table.column(k).type) for k in (0, 1)):
        raise InputError(f"{path}: expected the numbers TEMPLATE_ID and SUBJECT_ID in the first two columns")
    listed, subject = (_numbers(path, table.column(number)) for number in (0, 1))
    template, first = np.unique(listed, return_index=True)
    whose = dict(zip(template.tolist(), subject[first].tolist(), strict=True))
    for row, (one, person) in enumerate(zip(listed.tolist(), subject.tolist(), strict=True), 1):
        if whose[one] != person:
            raise InputError(f"{path}: row {row}: template {one} is of subject {person} here, of {whose[one]} before")
    return SearchList(template, subject[first])


def _columns(path: Location, kinds: Mapping[str, pa.DataType]) -> pa.Table:
    """A list without a header, its values separated by single spaces or tabs."""
    with readable(path), local_file(path).open("rb") as stream:
        separator = "\t" if b"\t" in stream.readline() else " "
        stream.seek(0)
        try:
            return pv.read_csv(
                stream,
                read_options=pv.ReadOptions(column_names=list(kinds)),
                parse_options=pv.ParseOptions(delimiter=separator, quote_char=False),
                convert_options=pv.ConvertOptions(column_types=dict(kinds), strings_can_be_null=False),
            )
        except pa.ArrowException as error:
            raise InputError(
                f"{path}: expected lines of {', '.join(kinds)}, separated by single spaces: {one_line(error)}"
            ) from error


def _numbers(path: Location, column: pa.ChunkedArray) -> Ids:
    if column.null_count:
        row = column.is_null().index(pa.scalar(True)).as_py() + 1
        raise InputError(f"{path}: row {row} lacks a number")
    return column.to_numpy().astype(np.int64)
