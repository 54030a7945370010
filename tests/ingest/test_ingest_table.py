"""Tables of paths: as a source with image roots, and as a manifest of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.config import IngestConfig
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.storage.files import write_table
from purify.tables.apply import apply_verdicts
from purify.tables.manifest import load_manifest, load_truth
from purify.tables.schema import MANIFEST, VERDICTS

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]
PATHS = ["b/2.png", "a/1.png", "c/3.png"]


@pytest.fixture
def images(tmp_path: Path, write_tree: Write, encode: Encode) -> Path:
    return write_tree(tmp_path / "images", {path: encode(seed=i) for i, path in enumerate(PATHS)})


def save(path: Path, columns: dict[str, Any]) -> Path:
    if path.suffix == ".csv":
        pd.DataFrame(columns).to_csv(path, index=False)
    else:
        pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
@pytest.mark.parametrize("id_column", ["path", "sample_id"])
def test_rows_keep_their_order_and_other_columns_are_ignored(
    tmp_path: Path, images: Path, config: IngestConfig, suffix: str, id_column: str
) -> None:
    table = save(
        tmp_path / f"t{suffix}" if suffix != ".CSV" else tmp_path / "t.csv",
        {"kind": ["x", "y", "z"], id_column: PATHS, "label": ["B", "A", "B"], "true_label": ["B", "", "A"]},
    )
    if suffix == ".CSV":
        table = table.rename(tmp_path / "t.CSV")
    manifest = ingest(table, [images], config)
    assert manifest["sample_id"].to_pylist() == PATHS
    assert manifest["label"].to_pylist() == ["B", "A", "B"]
    assert manifest["true_label"].to_pylist() == ["B", "", "A"]
    assert set(manifest["status"].to_pylist()) == {"ok"}
    assert manifest.schema.equals(MANIFEST, check_metadata=True)


def test_an_id_of_its_own_beside_the_path(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    table = save(tmp_path / "t.csv", {"sample_id": ["x", "y", "z"], "path": PATHS, "label": list("ABC")})
    manifest = ingest(table, [images], config)
    assert manifest["sample_id"].to_pylist() == ["x", "y", "z"]
    assert [uri.rpartition("/images/")[2] for uri in manifest["uri"].to_pylist()] == PATHS


def test_without_roots_paths_are_relative_to_the_table(
    images: Path, config: IngestConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(images / "t.csv", {"path": PATHS, "label": list("ABC")})
    monkeypatch.chdir(images)
    assert set(ingest(Path("t.csv"), [], config)["status"].to_pylist()) == {"ok"}


def test_several_roots_and_missing_images(
    tmp_path: Path, images: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    tar = write_tar(tmp_path / "more.tar", {"d/4.png": encode(seed=9)})
    table = save(tmp_path / "t.parquet", {"path": ["d/4.png", "e/5.png", *PATHS], "label": ["D", "E", "B", "A", "C"]})
    manifest = ingest(table, [images, tar], config)
    assert manifest["status"].to_pylist() == ["ok", "unreadable", "ok", "ok", "ok"]
    assert manifest["status_reason"][1].as_py() == "missing: not found in any image root"
    assert manifest["uri"][1].as_py() is None


def test_missing_images_are_told_in_one_sentence(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    table = save(tmp_path / "t.csv", {"path": [*PATHS, "x/1.png", "x/2.png"], "label": list("ABCXX")})
    ingested = ingest_again(table, [images], config, known=None)
    assert ingested.warnings == (
        f"2 of 5 images are missing from the image roots ({images}): x/1.png, x/2.png; "
        "give the folders or tars that hold them with --images",
    )
    assert ingest_again(images, [], config, known=None).warnings == ()


def test_a_path_in_several_roots_is_told(
    tmp_path: Path, images: Path, write_tree: Write, encode: Encode, config: IngestConfig
) -> None:
    other = write_tree(tmp_path / "other", {PATHS[0]: encode(seed=8)})
    table = save(tmp_path / "t.csv", {"path": PATHS, "label": list("ABC")})
    ingested = ingest_again(table, [images, other], config, known=None)
    (warning,) = ingested.warnings
    assert warning.startswith(
        f"1 path is in more than one image root ({images}, {other}), and the first root was taken"
    )
    assert PATHS[0] in warning
    assert ingested.manifest.equals(ingest(table, [images], config))
    assert ingest_again(table, [images, images], config, known=None).warnings == ()


def test_truth_that_is_empty_is_not_truth_that_is_unknown(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    truth = ["B", "", None]
    table = save(tmp_path / "t.parquet", {"path": PATHS, "label": ["B", "A", "C"], "true_label": truth})
    assert ingest(table, [images], config)["true_label"].to_pylist() == truth
    assert load_manifest(table)["true_label"].to_pylist() == truth
    assert load_truth(table).to_pydict() == {"sample_id": PATHS, "true_label": truth}


def test_text_stays_exactly_as_it_is(tmp_path: Path) -> None:
    labels = ["NA", "null", "007", "1e5", " padded ", "None", "nan", "Zoë", "ZOË", "a,b", 'say "x"', "True"]
    paths = [f"{i}.jpg" for i in range(len(labels))]
    csv = save(tmp_path / "t.csv", {"path": paths, "label": labels, "true_label": ["", "NA", *labels[2:]]})
    manifest = load_manifest(csv)
    assert manifest["label"].to_pylist() == labels
    assert manifest["true_label"].to_pylist() == ["", "NA", *labels[2:]]


def test_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffpath,label\r\na.jpg,Zoë\r\n\r\nb.jpg,B\r\n".encode())
    assert load_manifest(tmp_path / "t.csv").select(["sample_id", "label"]).to_pydict() == {
        "sample_id": ["a.jpg", "b.jpg"],
        "label": ["Zoë", "B"],
    }


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6).filter(str.strip), min_size=1
    )
)
def test_csv_and_parquet_say_the_same(labels: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("same")
    columns = {"path": [f"{i}.jpg" for i in range(len(labels))], "label": labels}
    frame = pd.DataFrame(columns)
    frame.to_csv(root / "t.csv", index=False, quoting=1)
    parquet = load_manifest(save(root / "t.parquet", columns))
    assert parquet["label"].to_pylist() == labels
    assert load_manifest(root / "t.csv").equals(parquet)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["1", "2"], pa.large_string()),
        pa.array(["1", "2"]).dictionary_encode(),
        pa.array([1, 2], pa.int64()),
    ],
)
def test_kinds_of_text_columns(tmp_path: Path, column: pa.Array) -> None:
    table = save(tmp_path / "t.parquet", {"path": ["a", "b"], "label": column})
    assert load_manifest(table)["label"].to_pylist() == ["1", "2"]


BAD = {
    "missing label column": ({"path": ["a"], "name": ["x"]}, "missing column label; the file has: path, name"),
    "missing id column": ({"file": ["a"], "label": ["x"]}, "missing column path; the file has: file, label"),
    "no rows": ({"path": [], "label": []}, "the table has no rows"),
    "id twice": ({"path": ["a", "b", "a"], "label": list("xyz")}, "row 3: a is in row 1 already"),
    "empty label": ({"path": ["a", "b"], "label": ["x", ""]}, "row 2: the label is empty"),
    "blank label": ({"path": ["a", "b"], "label": [" \t\u00a0", "x"]}, "row 1: the label is empty"),
    "empty path": ({"path": ["a", " "], "label": ["x", "y"]}, r"row 2: the path \(or sample_id\) is empty"),
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_with_the_row(
    tmp_path: Path, images: Path, config: IngestConfig, case: str, suffix: str
) -> None:
    columns, message = BAD[case]
    table = save(tmp_path / f"t.{suffix}", columns)
    for read in (load_manifest, lambda path: ingest(path, [images], config)):
        with pytest.raises(InputError, match=message) as caught:
            read(table)
        assert str(table) in str(caught.value)


def test_null_labels_and_numbers_that_are_no_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 2: the label is empty"):
        load_manifest(save(tmp_path / "t.parquet", {"path": ["a", "b"], "label": ["x", None]}))
    with pytest.raises(InputError, match="column 'label' is double, expected text"):
        load_manifest(save(tmp_path / "t.parquet", {"path": ["a", "b"], "label": [1.0, 2.5]}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "missing columns path, label; the file has: no columns"),
        ("t.csv", b"path,label\na.jpg,x\nb.jpg\n", "row 2 has 1 values, expected 2"),
        ("t.csv", b"path,label\na.jpg,x,y\n", "row 1 has 3 values, expected 2"),
        ("t.csv", b'path,label\na.jpg,"x\n', "not a CSV file"),
        ("t.csv", b"path,label\na.jpg,\xe9\n", "not in UTF-8"),
        ("t.csv", b"path,label,label\na.jpg,x,y\n", "column 'label' occurs twice"),
        ("t.csv", b"path|label\na.jpg|x\n", r"missing columns path, label; the file has: path\|label"),
        ("t.parquet", b"", "not a Parquet file"),
        ("t.parquet", b"PAR1" + bytes(100), "not a Parquet file"),
        ("t.xlsx", b"PK\x03\x04", r"unknown kind of table; expected one of \.parquet, \.csv"),
    ],
)
def test_damaged_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_manifest(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    raw = pa.array([b"\xff\xfe", b"ok"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    with pytest.raises(InputError, match=r"damaged Parquet file.*UTF"):
        load_manifest(save(tmp_path / "t.parquet", {"path": ["a", "b"], "label": text}))


@pytest.mark.parametrize(
    "bad", ["../secret.png", "a/../../x.png", "/etc/passwd", "out.png", "outside/x.png", "a\0.png"]
)
def test_paths_that_leave_the_root_are_named_with_the_row(
    tmp_path: Path, images: Path, config: IngestConfig, bad: str
) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    (images / "out.png").symlink_to(tmp_path / "secret.png")
    (images / "outside").symlink_to(tmp_path)
    table = save(tmp_path / "t.parquet", {"path": [PATHS[0], bad], "label": ["x", "y"]})
    with pytest.raises(InputError, match=r"t\.parquet: row 2: "):
        ingest(table, [images], config)


def test_no_image_in_any_root(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    table = save(tmp_path / "t.csv", {"path": ["x/1.png", "x/2.png"], "label": ["x", "y"]})
    with pytest.raises(InputError, match=r"none of its 2 paths .*x/1\.png, x/2\.png.*--images") as caught:
        ingest(table, [images], config)
    assert str(images) in str(caught.value)


def test_a_root_that_is_not_there(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    table = save(tmp_path / "t.csv", {"path": PATHS, "label": list("abc")})
    with pytest.raises(InputError, match="nowhere: no such file"):
        ingest(table, [images, tmp_path / "nowhere"], config)


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    (images / "a" / "bad.png").write_bytes(b"")
    manifest = ingest(images, [], config)
    write_table(manifest, tmp_path / "manifest.parquet")
    assert load_manifest(tmp_path / "manifest.parquet").equals(manifest, check_metadata=True)
    pandas_copy = pd.read_parquet(tmp_path / "manifest.parquet")
    pandas_copy.to_parquet(tmp_path / "copy.parquet")
    assert load_manifest(tmp_path / "copy.parquet").equals(manifest)


def test_a_minimal_table_is_a_manifest_without_uris(tmp_path: Path) -> None:
    manifest = load_manifest(save(tmp_path / "t.csv", {"path": ["a", "b"], "label": ["x", "y"], "status": ["?", "!"]}))
    assert manifest.schema.equals(MANIFEST, check_metadata=True)
    assert manifest["status"].to_pylist() == ["ok", "ok"]
    assert manifest["uri"].null_count == 2


def test_tables_that_are_no_manifest(tmp_path: Path) -> None:
    write_table(VERDICTS.empty_table(), tmp_path / "verdicts.parquet")
    with pytest.raises(InputError, match="holds verdicts/1; expected a manifest"):
        load_manifest(tmp_path / "verdicts.parquet")
    odd = save(
        tmp_path / "t.parquet",
        {"sample_id": ["a", "b"], "label": ["x", "y"], "uri": ["u", "v"], "status": ["ok", "gone"]},
    )
    with pytest.raises(InputError, match="row 2: unknown status"):
        load_manifest(odd)
    with pytest.raises(InputError, match="missing column true_label"):
        load_truth(odd)


def test_the_output_of_a_round_is_the_input_of_the_next(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    manifest = ingest(images, [], config)
    verdicts = [
        {"sample_id": row["sample_id"], "label": row["label"], "decision": "relabel", "new_label": "Z",
         "reason": "closer_to_other_label", "rule": "r/1"}
        for row in manifest.to_pylist()
    ]  # fmt: skip
    cleaned = apply_verdicts(manifest, pa.Table.from_pylist(verdicts, schema=VERDICTS)).cleaned
    write_table(cleaned, tmp_path / "cleaned.parquet")
    for again in (load_manifest(tmp_path / "cleaned.parquet"), ingest(tmp_path / "cleaned.parquet", [images], config)):
        assert again["sample_id"].to_pylist() == sorted(PATHS)
        assert again["label"].to_pylist() == ["Z"] * 3
        assert again["uri"].equals(manifest["uri"])
        assert again["status"].to_pylist() == ["ok"] * 3
