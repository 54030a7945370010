"""The format ``parquet``: shards as Hugging Face's `datasets` writes them, images inside, class names in the metadata.

Source of the layout: https://huggingface.co/docs/datasets/image_dataset and ``datasets.Features``: an image is a struct
of ``bytes`` and ``path``; the schema's metadata ``huggingface`` is JSON that holds the types of the columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from purify.export.export_job import Job, Part, ShardWriter, write_shards
from purify.export.image_stream import ExportedImage
from purify.export.safe_names import image_suffix, safe_name
from purify.storage.files import atomic_path

#: Bounds of a row group, the unit of reading.
_GROUP_ROWS, _GROUP_BYTES = 1000, 32 << 20
_CARD = "README.md"
#: Name of a set without splits.
_WHOLE = "images"


def write_parquet(job: Job) -> None:
    """Write ``data/SPLIT-00000.parquet`` and so on, and ``README.md``, which tells `datasets` the splits.

    Without splits the files are called ``images-...``, and are ``train`` for `datasets`.
    """
    stems = split_names(job.parts())
    write_shards(
        job,
        name=lambda part, number: f"data/{stems[part.name]}-{number:05d}.parquet",
        open_shard=_opener(job.selection.labels),
    )
    with atomic_path(job.folder.root / _CARD) as temporary:
        temporary.write_text("\n".join(_card(list(stems.values()))), encoding="utf-8")


def split_names(parts: Sequence[Part]) -> dict[str, str]:
    """Split -> its name for `datasets`, which allows letters, digits and underscores."""
    names: dict[str, str] = {}
    for part in parts:
        name = re.sub(r"\W", "_", part.split or _WHOLE, flags=re.ASCII)
        while name in names.values():
            name += "_"
        names[part.name] = name
    return names


def _card(stems: Sequence[str]) -> Iterator[str]:
    yield from ("---", "configs:", "- config_name: default", "  data_files:")
    for stem in stems:
        yield from (f"  - split: {'train' if stem == _WHOLE else stem}", f'    path: "data/{stem}-*.parquet"')
    yield from (
        "---",
        "",
        "Images with the name of a class each: `datasets.load_dataset` of this folder reads them.",
        "",
    )


def schema(labels: Sequence[str]) -> pa.Schema:
    """Schema of the shards, whose metadata name the classes."""
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(labels), "_type": "ClassLabel"},
        "sample_id": {"dtype": "string", "_type": "Value"},
    }
    image = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
    return pa.schema(
        [pa.field("image", image), pa.field("label", pa.int64()), pa.field("sample_id", pa.string())],
        metadata={b"huggingface": json.dumps({"info": {"features": features}}).encode()},
    )


def _opener(labels: Sequence[str]) -> Callable[[Path], AbstractContextManager[ShardWriter]]:
    shape = schema(labels)

    @contextmanager
    def open_shard(path: Path) -> Iterator[_ParquetShard]:
        compression = {"image.bytes": "NONE", "image.path": "ZSTD", "label": "ZSTD", "sample_id": "ZSTD"}
        with (
            path.open("wb") as stream,
            pq.ParquetWriter(
                stream, shape, compression=compression, use_dictionary=["label"], write_page_checksum=True
            ) as writer,
        ):
            shard = _ParquetShard(writer, shape)
            yield shard
            shard.flush()

    return open_shard


class _ParquetShard:
    """Gathers rows to row groups."""

    def __init__(self, writer: pq.ParquetWriter, shape: pa.Schema) -> None:
        self._writer = writer
        self._schema = shape
        self._images: list[ExportedImage] = []
        self._bytes = 0

    def add(self, image: ExportedImage) -> None:
        """Append a row."""
        self._images.append(image)
        self._bytes += len(image.data)
        if len(self._images) >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the gathered rows."""
        if not self._images:
            return
        columns = [
            [{"bytes": image.data, "path": _file_name(image)} for image in self._images],
            [image.label_id for image in self._images],
            [image.sample_id for image in self._images],
        ]
        arrays = [pa.array(column, item.type) for column, item in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema), row_group_size=len(self._images))
        self._images, self._bytes = [], 0


def _file_name(image: ExportedImage) -> str:
    name = safe_name(image.sample_id.rpartition("/")[2])
    return name if image_suffix(name) else f"{name}.{image.kind}"
