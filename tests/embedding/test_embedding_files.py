"""Embeddings in the forms in which other tools store them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from purify.config import EmbeddingsConfig
from purify.embedding import embedding_files
from purify.embedding.embedding_files import EmbeddingFiles
from purify.embedding.store import read_embeddings, select_embeddings
from purify.errors import InputError

IDS = [f"p/{k}.jpg" for k in range(7)]
VECTORS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float16)
ORDER = [5, 0, 6, 3]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts from few rows."""
    monkeypatch.setattr(embedding_files, "PART_ROWS", 3)


def check(place: Path, **settings: object) -> None:
    """All ids are there in order, and chosen rows come back in any order."""
    files = EmbeddingFiles(place, EmbeddingsConfig.model_validate(settings))
    assert files.ids() == IDS
    vectors = read_embeddings(files, [IDS[row] for row in ORDER])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS[ORDER].astype(np.float32))


def table(rows: slice = slice(None), *, id_column: str = "path", column: str = "embedding") -> pa.Table:
    return pa.table({id_column: IDS[rows], column: list(VECTORS[rows].astype(np.float32))})


@pytest.mark.parametrize("id_column", ["sample_id", "path", "image_path", "file_name", "key"])
@pytest.mark.parametrize("column", ["embedding", "vector", "features", "arcface"])
def test_usual_columns_are_found(tmp_path: Path, id_column: str, column: str) -> None:
    pq.write_table(table(id_column=id_column, column=column), tmp_path / "e.parquet")
    check(tmp_path / "e.parquet")


def test_columns_by_name(tmp_path: Path) -> None:
    both = table(id_column="where").append_column("other", table()["embedding"]).append_column("path", [["x"] * 7])
    pq.write_table(both, tmp_path / "e.parquet")
    check(tmp_path / "e.parquet", columns={"path": "where", "embedding": "other"})
    with pytest.raises(InputError, match="missing column what"):
        check(tmp_path / "e.parquet", columns={"path": "what"})


def save_ids(path: Path) -> None:
    match path.suffix:
        case ".npy":
            np.save(path, np.asarray(IDS))
        case ".json":
            path.write_text(str(IDS).replace("'", '"'))
        case ".csv":
            path.write_text("number,path\n" + "".join(f"{k},{name}\n" for k, name in enumerate(IDS)))
        case ".parquet":
            pq.write_table(pa.table({"n": range(7), "path": pa.array(IDS, pa.large_string())}), path)
        case _:
            path.write_text("\n".join(IDS) + "\n")


@pytest.mark.parametrize("name", ["e.txt", "e.csv", "e.parquet", "e.json", "ids.npy", "e_ids.npy", "paths.txt"])
@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.float64])
def test_an_array_with_a_list_beside(tmp_path: Path, name: str, dtype: object) -> None:
    np.save(tmp_path / "e.npy", VECTORS.astype(dtype))
    save_ids(tmp_path / name)
    check(tmp_path / "e.npy")


def test_an_array_with_a_list_elsewhere(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.asfortranarray(VECTORS))
    save_ids(tmp_path / "list.txt")
    check(tmp_path / "e.npy", ids=str(tmp_path / "list.txt"))
    with pytest.raises(InputError, match=r"whose rows are these.*e\.txt beside it.*--embedding-ids"):
        check(tmp_path / "e.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_in_one_file(tmp_path: Path, save: Callable) -> None:
    save(tmp_path / "a.npz", embeddings=VECTORS, paths=np.asarray(IDS))
    check(tmp_path / "a.npz")
    save(tmp_path / "b.npz", x=VECTORS, y=np.asarray(IDS).astype(bytes), z=np.zeros(3))
    check(tmp_path / "b.npz", columns={"path": "y", "embedding": "x"})
    with pytest.raises(InputError, match=r"path=ARRAY,embedding=ARRAY; it has: x, y, z"):
        check(tmp_path / "b.npz")


@pytest.mark.parametrize("nested", [True, False])
def test_clip_retrievals_folder(tmp_path: Path, nested: bool) -> None:
    """Twelve shards, whose numbers sort as numbers: 10 comes after 9."""
    arrays = tmp_path / "img_emb" if nested else tmp_path
    metadata = tmp_path / "metadata" if nested else tmp_path
    for folder in {arrays, metadata}:
        folder.mkdir(exist_ok=True)
    for shard in range(12):
        rows = slice(shard, shard + 1)
        np.save(arrays / f"img_emb_{shard}.npy", VECTORS[rows])
        pq.write_table(
            pa.table({"image_path": IDS[rows], "caption": ["a"] * len(IDS[rows])}),
            metadata / f"metadata_{shard}.parquet",
        )
    check(tmp_path)
    (metadata / "metadata_3.parquet").unlink()
    with pytest.raises(InputError, match=r"img_emb_3\.npy: no metadata_3\.parquet"):
        check(tmp_path)


def test_folders_of_shards(tmp_path: Path) -> None:
    for kind in ("parquet", "npy"):
        (tmp_path / kind).mkdir()
        for shard, rows in ((9, slice(0, 4)), (10, slice(4, 7))):
            if kind == "parquet":
                pq.write_table(table(rows), tmp_path / kind / f"part-{shard}.parquet")
            else:
                np.save(tmp_path / kind / f"part-{shard}.npy", VECTORS[rows])
                (tmp_path / kind / f"part-{shard}.txt").write_text("\n".join(IDS[rows]))
        check(tmp_path / kind)
    with pytest.raises(InputError, match="holds no embeddings"):
        check(tmp_path)


def test_rows_are_named_by_their_shard(tmp_path: Path) -> None:
    pq.write_table(table(slice(0, 4)), tmp_path / "a.parquet")
    pq.write_table(pa.table({"path": ["x", IDS[1]], "embedding": [[1.0, 2.0, 3.0]] * 2}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: row 2: p/1.jpg occurs twice"):
        read_embeddings(tmp_path, IDS[:4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"\x93NUMPY\x01\0", "damaged"),
        (b"nothing", "damaged"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_arrays(tmp_path: Path, content: bytes, message: str, suffix: str) -> None:
    path = tmp_path / f"e{suffix}"
    path.write_bytes(content)
    save_ids(tmp_path / "e.txt")
    with pytest.raises(InputError, match=message):
        check(path)


def test_arrays_of_another_kind(tmp_path: Path) -> None:
    save_ids(tmp_path / "e.txt")
    for array, message in (
        (VECTORS[:5], r"5 embeddings, but 7 ids in .*e\.txt"),
        (VECTORS[0], r"of shape \(3,\), expected float16, 32 or 64 \[N, D\]"),
        (VECTORS[:, :0], r"of shape \(\d+, 0\), expected float16, 32 or 64 \[N, D\]"),
        (np.ones((7, 3), int), "is int64 of shape"),
        (np.array([{}] * 7), "plain numbers or texts"),
    ):
        np.save(tmp_path / "e.npy", array, allow_pickle=True)
        with pytest.raises(InputError, match=message):
            check(tmp_path / "e.npy")
    np.savez(tmp_path / "o.npz", embeddings=VECTORS, ids=np.array([{}] * 7))
    with pytest.raises(InputError, match="not plain numbers and texts"):
        check(tmp_path / "o.npz")
    np.savez(tmp_path / "t.npz", embeddings=VECTORS, ids=VECTORS)
    with pytest.raises(InputError, match="expected a list of texts"):
        check(tmp_path / "t.npz")


def test_ids_saved_from_a_data_frame_are_python_objects(tmp_path: Path) -> None:
    ids = np.array(IDS, dtype=object)
    np.savez(tmp_path / "e.npz", embeddings=VECTORS, paths=ids)
    check(tmp_path / "e.npz")
    np.save(tmp_path / "n.npy", VECTORS)
    np.save(tmp_path / "n_ids.npy", ids)
    check(tmp_path / "n.npy")
    for wrong in ([*IDS[:-1], None], [*IDS[:-1], 3.5], [Path(name) for name in IDS]):
        np.savez(tmp_path / "e.npz", embeddings=VECTORS, paths=np.array(wrong, dtype=object))
        with pytest.raises(InputError, match=r"not plain numbers and texts.*dtype=str"):
            check(tmp_path / "e.npz")
        np.save(tmp_path / "n_ids.npy", np.array(wrong, dtype=object))
        with pytest.raises(InputError, match=r"n_ids\.npy: not plain numbers and texts.*dtype=str"):
            check(tmp_path / "n.npy")


def test_a_fingerprint_names_all_files(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "e.parquet")
    assert EmbeddingFiles(tmp_path / "e.parquet").inputs() == {"embeddings": tmp_path / "e.parquet"}
    np.save(tmp_path / "n.npy", VECTORS)
    save_ids(tmp_path / "n.txt")
    columns = EmbeddingsConfig(columns={"path": "x"})
    assert EmbeddingFiles(tmp_path / "n.npy", columns).inputs() == {
        "embeddings": tmp_path / "n.npy",
        "embeddings 1": tmp_path / "n.txt",
        "embedding columns": {"path": "x"},
    }


def test_absolute_paths_find_the_samples_below_one_folder(tmp_path: Path) -> None:
    paths = ["/data/faces/Ann/1.jpg", "/data/faces/Bob/1.jpg", "/elsewhere/Ann/1.jpg", None]
    vectors = pa.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0], [6.0, 6.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"image_path": paths, "embedding": vectors}), tmp_path / "e.parquet")
    found = read_embeddings(tmp_path / "e.parquet", ["Bob/1.jpg", "Ann/1.jpg"])
    assert found.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(InputError, match=r"no embedding for 1 of 2 samples, such as Cem/1\.jpg"):
        read_embeddings(tmp_path / "e.parquet", ["Ann/1.jpg", "Cem/1.jpg"])


def test_an_array_under_the_suffix_of_the_other_kind_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=VECTORS, paths=np.asarray(IDS))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    (tmp_path / "a.txt").write_text("\n".join(IDS))
    with pytest.raises(InputError, match=r"is a \.npz by its content"):
        EmbeddingFiles(tmp_path / "a.npy").ids()
    np.save(tmp_path / "b.npy", VECTORS)
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    with pytest.raises(InputError, match=r"is a \.npy by its content"):
        EmbeddingFiles(tmp_path / "b.npz").ids()


def test_an_array_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("embeddings.npy", "w") as member:
            for _ in range(300):
                member.write(bytes(1 << 20))
        archive.writestr("paths.npy", b"")
    with pytest.raises(InputError, match="unpacks to 314,572,800 bytes"):
        EmbeddingFiles(tmp_path / "a.npz").ids()


@pytest.mark.parametrize("content", [b"path\n\xff\xfe.jpg\n", b'path\n"a.jpg\n', b"path,x\na.jpg\n"])
def test_a_damaged_list_of_ids_is_refused(tmp_path: Path, content: bytes) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv"):
        EmbeddingFiles(tmp_path / "a.npy").ids()


TENSORS = torch.from_numpy(VECTORS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.pt", dict(zip(IDS, TENSORS, strict=True))),
        ("e.pth", {"features": TENSORS, "paths": IDS, "epoch": 3}),
    ],
)
def test_tensors_with_their_ids(tmp_path: Path, name: str, content: dict) -> None:
    torch.save(content, tmp_path / name)
    check(tmp_path / name)


def test_safetensors_of_a_vector_for_each_id(tmp_path: Path) -> None:
    save_file({key: vector.clone() for key, vector in zip(IDS, TENSORS, strict=True)}, tmp_path / "e.safetensors")
    check(tmp_path / "e.safetensors")


@pytest.mark.parametrize("name", ["e.pt", "e.safetensors"])
def test_tensors_with_a_list_beside(tmp_path: Path, name: str) -> None:
    if name == "e.pt":
        torch.save(TENSORS, tmp_path / name)
    else:
        save_file({"embeddings": TENSORS}, tmp_path / name)
    with pytest.raises(InputError, match=r"whose rows are these\? .*e\.txt"):
        next(EmbeddingFiles(tmp_path / name).parts())
    (tmp_path / "e.txt").write_text("\n".join(IDS))
    check(tmp_path / name)


def test_tensors_of_two_matrices_are_named(tmp_path: Path) -> None:
    torch.save({"a": TENSORS, "b": TENSORS + 1, "ids": IDS, "labels": IDS[::-1]}, tmp_path / "e.pt")
    with pytest.raises(InputError, match=r"--embedding-columns path=ENTRY,embedding=ENTRY.*it has: a, b, ids, labels"):
        next(EmbeddingFiles(tmp_path / "e.pt").parts())
    check(tmp_path / "e.pt", columns={"embedding": "a", "path": "ids"})


class _Hostile:
    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return (Path.touch, (Path("hostile"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.arange(6).reshape(2, 3), r"is torch.int64 of shape \(2, 3\)"),
        (torch.ones(3), r"is torch.float32 of shape \(3,\)"),
        ({"a": torch.ones(3), "b": torch.ones(4)}, "vectors of several lengths"),
        ({"a": 1}, "it has: a"),
        (_Hostile(), "never executed"),
    ],
)
def test_tensors_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "e.pt")
    with pytest.raises(InputError, match=message):
        next(EmbeddingFiles(tmp_path / "e.pt").parts())
    assert not (tmp_path / "hostile").exists()
    (tmp_path / "e.safetensors").write_bytes((tmp_path / "e.pt").read_bytes()[:50])
    with pytest.raises(InputError, match=r"e\.safetensors: can't be read as tensors"):
        next(EmbeddingFiles(tmp_path / "e.safetensors").parts())


@pytest.mark.parametrize("prefix", ["", "feature_"])
def test_a_column_for_each_number(tmp_path: Path, prefix: str) -> None:
    wide = np.random.default_rng(1).normal(size=(7, 20)).astype(np.float32)
    columns = {f"{prefix}{number}": wide[:, number] for number in reversed(range(20))}
    pq.write_table(pa.table({"path": IDS, "age": np.ones(7), **columns}), tmp_path / "e.parquet")
    files = EmbeddingFiles(tmp_path / "e.parquet")
    assert files.ids() == IDS
    np.testing.assert_array_equal(read_embeddings(files, IDS), wide)
    np.testing.assert_array_equal(select_embeddings(pa.table({"path": IDS, **columns}), IDS), wide)
    del columns[f"{prefix}7"]  # a gap: these are no numbers of one vector
    pq.write_table(pa.table({"path": IDS, **columns}), tmp_path / "e.parquet")
    with pytest.raises(InputError, match="missing column embedding"):
        next(files.parts())


@pytest.mark.parametrize("name", ["e.pkl", "e.csv", "e.h5"])
def test_forms_that_are_not_read_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"embeddings are read from \.parquet, \.npy, .*save yours by np\.savez"):
        next(EmbeddingFiles(tmp_path / name).parts())
