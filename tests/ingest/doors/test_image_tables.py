"""Parquet and Arrow files with images inside as sources."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.storage import parquet_container
from purify.storage.image_bytes import ImageByteReader
from purify.storage.parquet_container import ParquetImages, row_key

Encode = Callable[..., bytes]
NAMES = ["Ann", "Bob", "Cid"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def hugging_face(label: dict | None = None) -> dict[str, str]:
    """Schema metadata, as `datasets` writes it."""
    label = {"names": NAMES, "_type": "ClassLabel"} if label is None else label
    return {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": label}}})}


def image_table(images: Sequence[bytes | None], labels: pa.Array, metadata: dict[str, str] | None = None) -> pa.Table:
    values = [{"bytes": image, "path": f"{k}.png"} for k, image in enumerate(images)]
    return pa.table({"image": pa.array(values, IMAGE), "label": labels}).replace_schema_metadata(metadata)


def rows_of(manifest: pa.Table, *names: str) -> list[tuple]:
    return list(zip(*(manifest[name].to_pylist() for name in names), strict=True))


def contents(manifest: pa.Table) -> list[bytes]:
    with ImageByteReader() as reader:
        return [reader.read(uri) for uri in manifest["uri"].to_pylist()]


@pytest.fixture
def images(encode: Encode) -> list[bytes]:
    return [encode(seed=seed) for seed in range(8)]


def test_shards_with_class_names(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for shard, split in enumerate(("train", "train", "test")):
        table = image_table(images[2 * shard : 2 * shard + 2], pa.array([shard % 3, 2]), hugging_face())
        pq.write_table(table, folder / f"{split}-0000{shard}-of-00002.parquet")
    manifest = ingest(tmp_path, [], config)
    assert rows_of(manifest, "sample_id", "label", "split", "status") == [
        ("data/test-00002-of-00002.parquet#0", "Cid", "test", "ok"),
        ("data/test-00002-of-00002.parquet#1", "Cid", "test", "ok"),
        ("data/train-00000-of-00002.parquet#0", "Ann", "train", "ok"),
        ("data/train-00000-of-00002.parquet#1", "Cid", "train", "ok"),
        ("data/train-00001-of-00002.parquet#0", "Bob", "train", "ok"),
        ("data/train-00001-of-00002.parquet#1", "Cid", "train", "ok"),
    ]
    assert contents(manifest) == [*images[4:6], *images[:4]]
    assert ingest(folder, [], config)["label"].equals(manifest["label"])


def test_files_without_images_among_shards(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    pq.write_table(image_table(images[:2], pa.array(["a", "b"])), tmp_path / "a.parquet")
    pq.write_table(pa.table({"split": ["train"]}), tmp_path / "meta.parquet")
    ingested = ingest_again(tmp_path, [], config, known=None)
    assert ingested.manifest["sample_id"].to_pylist() == ["a.parquet#0", "a.parquet#1"]
    assert "meta.parquet: holds no images and was skipped" in ingested.warnings[0]
    for name in ("b.parquet", "c.parquet"):
        (tmp_path / name).write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match=r"b\.parquet: not a Parquet file[^\n]*\n.*c\.parquet: not a Parquet file"):
        ingest(tmp_path, [], config)


LABELS = {
    "numbers": pa.array([3, 14, 3]),
    "text": pa.array(["3", "14", "3"]),
    "large text": pa.array(["3", "14", "3"], pa.large_string()),
    "views": pa.array(["3", "14", "3"], pa.string_view()),
    "a dictionary": pa.array(["3", "14", "3"]).dictionary_encode(),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_plain_bytes_and_any_kind_of_label(
    tmp_path: Path, images: list[bytes], config: IngestConfig, labels: pa.Array, kind: pa.DataType
) -> None:
    pq.write_table(
        pa.table({"id": [7, 8, 9], "jpg": pa.array(images[:3], kind), "cls": labels}), tmp_path / "t.parquet"
    )
    manifest = ingest(tmp_path / "t.parquet", [], config)
    assert rows_of(manifest, "sample_id", "label") == [
        ("t.parquet#0", "3"),
        ("t.parquet#1", "14"),
        ("t.parquet#2", "3"),
    ]
    assert contents(manifest) == images[:3]


def test_columns_by_name(tmp_path: Path, images: list[bytes]) -> None:
    table = pa.table({"photo": images[:2], "thumb": images[2:4], "who": ["a", "b"], "really": ["a", ""]})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"which column holds the images.*--columns image=COLUMN"):
        ingest(tmp_path / "t.parquet", [], IngestConfig(format="parquet"))
    columns = {"image": "photo", "label": "who", "true_label": "really"}
    manifest = ingest(tmp_path / "t.parquet", [], IngestConfig(format="parquet", columns=columns))
    assert rows_of(manifest, "label", "true_label") == [("a", "a"), ("b", "")]
    assert contents(manifest) == images[:2]
    with pytest.raises(InputError, match=r"no column what; it has: photo, thumb"):
        ingest(tmp_path / "t.parquet", [], IngestConfig(format="parquet", columns={"label": "what"}))


def test_rows_without_an_image_or_a_label(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    labels = pa.array([0, -1, None, 2])
    pq.write_table(image_table([*images[:3], None], labels, hugging_face()), tmp_path / "t.parquet")
    manifest = ingest(tmp_path / "t.parquet", [], config)
    assert manifest["status"].to_pylist() == ["ok", "no_label", "no_label", "unreadable"]
    assert "holds no image" in manifest["status_reason"][3].as_py()


def test_a_number_without_a_name_is_refused(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    pq.write_table(image_table(images[:2], pa.array([0, 3]), hugging_face()), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"row 2: label is 3, but the file names 3 classes"):
        ingest(tmp_path / "t.parquet", [], config)


def test_labels_of_another_type_are_refused(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    pq.write_table(image_table(images[:2], pa.array([0.5, 1.5])), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="'label' is double, expected text or whole numbers"):
        ingest(tmp_path / "t.parquet", [], config)


def test_tables_without_image_bytes_stay_tables(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    (tmp_path / "a.png").write_bytes(images[0])
    pq.write_table(pa.table({"path": ["a.png"], "label": ["x"]}), tmp_path / "t.parquet")
    assert ingest(tmp_path / "t.parquet", [], config)["sample_id"].to_pylist() == ["a.png"]


@pytest.mark.parametrize("cut", [0, 40, 700])
def test_damaged_files(tmp_path: Path, images: list[bytes], config: IngestConfig, cut: int) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(image_table(images[:2], pa.array([0, 1])), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"t\.parquet"):
        ingest(path, [], config)


def test_damaged_pages_are_unreadable_images(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    path = tmp_path / "t.parquet"
    table = image_table(images[:2], pa.array([0, 1]))
    pq.write_table(table, path, write_page_checksum=True, row_group_size=1, compression="none")
    content = path.read_bytes()
    path.write_bytes(content.replace(images[1][-20:], bytes(20)))  # after the pixels: the image alone looks whole
    manifest = ingest(path, [], config)
    assert manifest["status"].to_pylist() == ["ok", "unreadable"]
    assert "page integrity" in manifest["status_reason"][1].as_py()


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a few rows only."""
    monkeypatch.setattr(parquet_container, "_BATCH_ROWS", 3)
    monkeypatch.setattr(parquet_container, "_KEPT", parquet_container._KeptBatches(400))


@pytest.mark.usefixtures("small_budget")
@pytest.mark.parametrize("row_group_size", [1, 7, 1000])
def test_any_row_in_any_order_from_many_threads(tmp_path: Path, row_group_size: int) -> None:
    rng = np.random.default_rng(5)
    values = [None if k % 10 == 4 else rng.bytes(int(rng.integers(0, 90))) for k in range(60)]
    table = image_table(values, pa.array(["a"] * 60))
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=row_group_size)
    images = ParquetImages(tmp_path / "t.parquet")

    def read(row: int) -> bytes | None:
        if values[row] is not None:
            return images.read(row_key("image", row))
        with pytest.raises(OSError, match="holds no image"):
            images.read(row_key("image", row))
        return None

    with ThreadPoolExecutor(6) as pool:
        for order in (np.arange(60), rng.permutation(60), rng.integers(0, 60, 200)):
            assert list(pool.map(read, order.tolist())) == [values[row] for row in order.tolist()]
    images.close()


def test_keys_that_the_file_lacks(tmp_path: Path, images: list[bytes]) -> None:
    pq.write_table(image_table(images[:2], pa.array([0, 1])), tmp_path / "t.parquet")
    container = ParquetImages(tmp_path / "t.parquet")
    for key in ("image/2", "other/0", "image", "image/x"):
        with pytest.raises(InputError, match=r"ingest the source again"):
            container.read(key)
    container.close()


def save_to_disk(folder: Path, table: pa.Table, *, shards: int = 2, ipc=pa.ipc.new_stream) -> None:
    """Write a folder as ``datasets.Dataset.save_to_disk`` does."""
    folder.mkdir(parents=True)
    files = [f"data-{shard:05}-of-{shards:05}.arrow" for shard in range(shards)]
    rows = len(table) // shards
    for shard, name in enumerate(files):
        with ipc(folder / name, table.schema) as writer:
            writer.write_table(table.slice(shard * rows, rows), max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in files]}))


@pytest.mark.parametrize("ipc", [pa.ipc.new_stream, pa.ipc.new_file])
def test_a_saved_dataset(tmp_path: Path, images: list[bytes], config: IngestConfig, ipc) -> None:
    save_to_disk(tmp_path / "set", image_table(images, pa.array([0, 1, 2, -1] * 2), hugging_face()), ipc=ipc)
    manifest = ingest(tmp_path / "set", [], config)
    assert manifest["label"].to_pylist() == ["Ann", "Bob", "Cid", ""] * 2
    assert manifest["sample_id"].to_pylist()[3:5] == ["data-00000-of-00002.arrow#3", "data-00001-of-00002.arrow#0"]
    ok = [row for row in range(8) if row % 4 < 3]
    assert contents(manifest.take(ok)) == [images[row] for row in ok]


def test_class_names_beside_a_saved_dataset(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    save_to_disk(tmp_path / "set", image_table(images, pa.array([0, 1] * 4)))
    info = json.loads(hugging_face()["huggingface"])["info"]
    (tmp_path / "set" / "dataset_info.json").write_text(json.dumps(info))
    assert ingest(tmp_path / "set", [], config)["label"].to_pylist() == ["Ann", "Bob"] * 4


def test_the_splits_of_saved_datasets(tmp_path: Path, images: list[bytes], config: IngestConfig) -> None:
    for split in ("train", "test"):
        save_to_disk(tmp_path / "sets" / split, image_table(images[:2], pa.array(["x", "y"])), shards=1)
    (tmp_path / "sets" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    assert rows_of(ingest(tmp_path / "sets", [], config), "sample_id", "label", "split") == [
        ("train/data-00000-of-00001.arrow#0", "x", "train"),
        ("train/data-00000-of-00001.arrow#1", "y", "train"),
        ("test/data-00000-of-00001.arrow#0", "x", "test"),
        ("test/data-00000-of-00001.arrow#1", "y", "test"),
    ]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("{}", "not the state of a saved data set"),
        ("no", "not a JSON file"),
        ('{"_data_files": [{"filename": "../x.arrow"}]}', "outside of its folder"),
        ('{"_data_files": [{"filename": "x.arrow"}]}', "no such file"),
        ('{"_data_files": [{"filename": "bad.arrow"}]}', "not an Arrow file"),
        ('{"_data_files": [], "_indices_data_files": [{}]}', "flatten_indices"),
        ('{"_data_files": []}', "hold no rows"),
    ],
)
def test_damaged_saved_datasets(tmp_path: Path, config: IngestConfig, state: str, message: str) -> None:
    (tmp_path / "state.json").write_text(state)
    (tmp_path / "bad.arrow").write_bytes(b"ARROW1\0\0nothing")
    with pytest.raises(InputError, match=message):
        ingest(tmp_path, [], config)


def test_a_column_of_a_saved_data_set_whose_name_is_no_text(
    tmp_path: Path, images: list[bytes], config: IngestConfig
) -> None:
    save_to_disk(tmp_path / "set", image_table(images[:2], pa.array(["x", "y"])), shards=1)
    shard = tmp_path / "set" / "data-00000-of-00001.arrow"
    content = shard.read_bytes()
    assert b"label\0" in content
    shard.write_bytes(content.replace(b"label\0", b"labe\xe5\0"))
    with pytest.raises(InputError, match="not an Arrow file, or a damaged one"):
        ingest(tmp_path / "set", [], config)
