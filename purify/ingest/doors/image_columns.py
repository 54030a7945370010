"""Columns of tables with images inside: which holds the images, which the labels, and the names of the classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from purify.errors import InputError
from purify.storage.files import read_json
from purify.tables.user_tables import to_text

#: Usual names of the columns, first one first.
_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "face", "image_bytes", "bytes", "picture", "content", "data")
_LABELS = (
    "label",
    "labels",
    "cls",
    "class",
    "class_id",
    "label_id",
    "identity",
    "person",
    "person_id",
    "subject",
    "name",
)
_HUGGING_FACE = b"huggingface"


@dataclass(frozen=True)
class ImageColumns:
    """Names of the columns of a table with images inside."""

    image: str
    label: str
    true_label: str | None
    split: str | None
    #: Names of the classes, if the label is their number.
    names: Sequence[str] | None

    def labels(self, path: Path, column: pa.ChunkedArray, start: int) -> list[str | None]:
        """The labels in a column as text, from row `start` on, counted from 0; None: none.

        InputError if a column has another type, or an unknown number.
        """
        values = to_text(path, column, self.label).to_pylist()
        if self.names is None:
            return values
        return [self._name(path, row, value) for row, value in enumerate(values, start=start + 1)]

    def _name(self, path: Path, row: int, value: str | None) -> str | None:
        if value is None or value == "-1":  # Hugging Face's number for no label
            return None
        assert self.names is not None
        number = int(value)
        if not 0 <= number < len(self.names):
            raise InputError(
                f"{path}: row {row}: {self.label} is {number}, but the file names {len(self.names)} classes"
            )
        return self.names[number]


def find_image_column(schema: pa.Schema, wanted: str | None = None) -> str | None:
    """The column that holds images: `wanted`, else the first of the usual names, else the only one of bytes."""
    holding = [field.name for field in schema if _holds_bytes(field.type)]
    if wanted is not None:
        return wanted if wanted in holding else None
    usual = [name for name in _IMAGES for column in holding if column.lower() == name]
    if usual:
        return next(column for column in holding if column.lower() == usual[0])
    return holding[0] if len(holding) == 1 else None


def choose_columns(
    path: Path, schema: pa.Schema, columns: Mapping[str, str], *, info: Path | None = None
) -> ImageColumns:
    """The columns of a table with images; `columns` maps our names to those of the file.

    `info` is the ``dataset_info.json`` of its folder, if there is one. InputError if a column isn't there, or it can't
    be told which holds the labels.
    """
    if unknown := [name for name in columns.values() if name not in schema.names]:
        raise InputError(f"{path}: no column {', '.join(unknown)}; it has: {', '.join(schema.names)}")
    image = find_image_column(schema, columns.get("image"))
    if image is None:
        raise InputError(
            f"{path}: it can't be told which column holds the images (bytes); name it with --columns image=COLUMN; "
            f"it has: {', '.join(schema.names)}"
        )
    label = columns.get("label") or _usual(schema, image, _LABELS)
    if label is None:
        raise InputError(
            f"{path}: it can't be told which column is the label; name it with --columns label=COLUMN; "
            f"it has: {', '.join(schema.names)}"
        )
    return ImageColumns(
        image,
        label,
        columns.get("true_label") or _usual(schema, image, ("true_label",)),
        columns.get("split") or _usual(schema, image, ("split",)),
        _class_names(path, schema, info, label),
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _usual(schema: pa.Schema, image: str, names: Sequence[str]) -> str | None:
    others = [name for name in schema.names if name != image]
    return next((column for name in names for column in others if column.lower() == name), None)


def _class_names(path: Path, schema: pa.Schema, info: Path | None, label: str) -> Sequence[str] | None:
    """Names of the classes of a label by Hugging Face's ``ClassLabel``."""
    features = _features(path, schema, info)
    feature = features.get(label)
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    if not isinstance(names, list) or not pa.types.is_integer(schema.field(label).type):
        return None
    return [str(name) for name in names]


def _features(path: Path, schema: pa.Schema, info: Path | None) -> Mapping[str, Any]:
    written = (schema.metadata or {}).get(_HUGGING_FACE)
    try:
        content = json.loads(written).get("info") if written else read_json(info) if info else None
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path}: its Hugging Face metadata, which names the classes, is damaged: {error}") from error
    features = content.get("features") if isinstance(content, dict) else None
    return features if isinstance(features, dict) else {}
