"""Tables in text, columns under other names, and paths spelled otherwise than the files."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.config import IngestConfig, PurifyConfig
from purify.config_files import load_config
from purify.config_places import with_full_places
from purify.errors import InputError
from purify.ingest.ingest import ingest, ingest_again
from purify.tables.manifest import load_manifest, train_rows
from purify.tables.user_tables import read_samples

Encode = Callable[..., bytes]
Write = Callable[[Path, Mapping[str, bytes]], Path]
IDS = ["a/1.png", "a/2.png", "b/1.png"]


@pytest.fixture
def images(tmp_path: Path, write_tree: Write, encode: Encode) -> Path:
    return write_tree(tmp_path / "faces", {name: encode(seed=i) for i, name in enumerate(IDS)})


FORMS = {
    "t.csv": "file_name,person,split\na/1.png,Ann,train\na/2.png,Ann,validation\nb/1.png,007,test\n",
    "t.tsv": "person\tfile_name\tsplit\nAnn\ta/1.png\ttrain\nAnn\ta/2.png\tvalid\n007\tb/1.png\ttest\n",
    "t.jsonl": '{"file_name": "a/1.png", "person": "Ann", "split": "train"}\n\n'
    '{"person": "Ann", "file_name": "a/2.png", "split": "val", "more": {"x": 1}}\n'
    '{"file_name": "b/1.png", "person": "007", "split": "test"}\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_columns_under_other_names(tmp_path: Path, images: Path, config: IngestConfig, name: str) -> None:
    (tmp_path / name).write_text(FORMS[name])
    columns = {"path": "file_name", "label": "person"}
    manifest = ingest(tmp_path / name, [images], config.model_copy(update={"columns": columns}))
    assert manifest["sample_id"].to_pylist() == IDS
    assert manifest["label"].to_pylist() == ["Ann", "Ann", "007"]
    assert manifest["split"].to_pylist() == ["train", "val", "test"]
    assert set(manifest["status"].to_pylist()) == {"ok"}
    assert load_manifest(tmp_path / name, columns)["label"].to_pylist() == ["Ann", "Ann", "007"]
    with pytest.raises(InputError, match=r"missing columns? (path|label).*--columns path=COLUMN,label=COLUMN"):
        ingest(tmp_path / name, [images], config)
    with pytest.raises(InputError, match=r"missing column who"):
        ingest(tmp_path / name, [images], config.model_copy(update={"columns": columns | {"label": "who"}}))


def test_a_table_without_a_header_is_told_how_to_name_its_columns(
    tmp_path: Path, images: Path, config: IngestConfig
) -> None:
    (tmp_path / "t.csv").write_text("a/1.png,Ann\na/2.png,Ann\nb/1.png,Bob\n")
    with pytest.raises(InputError, match=r"without a header, by number: path=1,label=2$"):
        ingest(tmp_path / "t.csv", [images], config)
    with pytest.raises(InputError, match=r"missing column 0; the file has: 1, 2; columns are numbered from 1$"):
        ingest(tmp_path / "t.csv", [images], config.model_copy(update={"columns": {"path": "0", "label": "1"}}))
    by_number = config.model_copy(update={"columns": {"path": "1", "label": "2"}})
    assert ingest(tmp_path / "t.csv", [images], by_number)["label"].to_pylist() == ["Ann", "Ann", "Bob"]


@pytest.mark.parametrize(
    "text",
    [
        "0\t3.000000\ta/1.png\n1\t3.000000\ta/2.png\n2\t12.000000\tb/1.png\n",  # im2rec
        "1\ta/1.png\t3\n1\ta/2.png\t3\n1\tb/1.png\t12\n",  # InsightFace
        "a/1.png\t3\na/2.png\t3\nb/1.png\t12\n",
        "a/1.png 3\r\na/2.png 3\r\nb/1.png 12\r\n",
        "0\t3\t0.5\t0.25\ta/1.png\n1\t3\t0\t0\ta/2.png\n2\t12\t1\t1\tb/1.png\n",  # several labels: the first
    ],
)
def test_lists_of_images(tmp_path: Path, images: Path, config: IngestConfig, text: str) -> None:
    (tmp_path / "train.lst").write_bytes(text.encode())
    manifest = ingest(tmp_path / "train.lst", [images], config)
    assert manifest["sample_id"].to_pylist() == IDS
    assert manifest["label"].to_pylist() == ["3", "3", "12"]


def test_a_list_of_an_archive_with_one_folder(
    tmp_path: Path, write_tar: Write, encode: Encode, config: IngestConfig
) -> None:
    archive = write_tar(tmp_path / "img_align.tar", {f"img_align/{i:06d}.png": encode(seed=i) for i in range(3)})
    (tmp_path / "identity.txt").write_text("000000.png 2880\n000001.png 2880\nimg_align/000002.png 17\n")
    ingested = ingest_again(tmp_path / "identity.txt", [archive], config, known=None)
    assert ingested.manifest["status"].to_pylist() == ["ok"] * 3
    assert ingested.manifest["label"].to_pylist() == ["2880", "2880", "17"]
    assert ingested.warnings == ()


def test_columns_by_number_have_no_header(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    for name, separator in (("t.csv", ","), ("t.tsv", "\t"), ("t.lst", "\t")):
        (tmp_path / name).write_text("".join(f"x{separator}Ann{separator}{one}\n" for one in IDS))
        numbers = config.model_copy(update={"columns": {"path": "3", "label": "2"}})
        assert ingest(tmp_path / name, [images], numbers)["sample_id"].to_pylist() == IDS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.jsonl", '{"path": "a"}\n[1]\n', "row 2: expected an object"),
        ("t.jsonl", '{"path": "a"\n', "row 1: not JSON"),
        ("t.jsonl", '{"path": "a", "label": "x"}\n{"path": "b"}\n', "row 2: the label is empty"),
        ("t.lst", "1\t2\n3\t4\n", "no column of paths"),
        ("t.lst", "a\t2\nb\n", "row 2 has 1 values, expected 2"),
        ("t.tsv", "path\tlabel\na\n", "row 1 has 1 values, expected 2; quote values with tabs"),
        ("t.lst", "", "no column of paths"),
    ],
)
def test_bad_texts_are_refused_with_the_row(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_samples(tmp_path / name)


LABELS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs", "Cc")), min_size=1).filter(
    str.strip
)


@given(labels=st.lists(LABELS, min_size=1, max_size=5))
def test_json_lines_keep_any_text(labels: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("json") / "t.jsonl"
    lines = [json.dumps({"path": str(i), "label": label}, ensure_ascii=False) for i, label in enumerate(labels)]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_samples(path)["label"].to_pylist() == labels


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("archive", [False, True])
def test_paths_in_another_unicode_normal_form_are_found(
    tmp_path: Path,
    write_tree: Write,
    write_tar: Write,
    encode: Encode,
    config: IngestConfig,
    form: str,
    *,
    archive: bool,
) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    folder, file = unicodedata.normalize(other, "Zoë"), unicodedata.normalize(form, "é.png")
    root = (write_tar if archive else write_tree)(
        tmp_path / "root", {f"{folder}/{file}": encode(), "b/1.png": encode()}
    )
    table = pa.table({"path": [unicodedata.normalize(form, "Zoë/é.png"), "b/1.png"], "label": ["z", "b"]})
    pq.write_table(table, tmp_path / "t.parquet")
    ingested = ingest_again(tmp_path / "t.parquet", [root], config, known=None)
    assert ingested.manifest["status"].to_pylist() == ["ok", "ok"]
    assert "1 paths were found although" in ingested.warnings[0]


def test_windows_paths_are_found_and_told(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    rows = ["faces\\a\\1.png,a", "faces/a/2.png,a", "faces\\gone\\1.png,a"]
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    ingested = ingest_again(tmp_path / "t.csv", [], config, known=None)
    assert ingested.manifest["status"].to_pylist() == ["ok", "ok", "unreadable"]
    assert ingested.manifest["sample_id"].to_pylist()[0] == "faces\\a\\1.png"
    assert "backslashes separate no folders" in ingested.manifest["status_reason"][2].as_py()
    assert [warning[:2] for warning in ingested.warnings] == ["1 ", "1 "]
    assert images.is_dir()


def test_paths_of_a_configuration_file_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "c.toml"
    path.write_text('[ingest]\nimages = ["faces", "/data/x", "s3://b/x"]\n[evaluate]\npairs = "../p.csv"\n[apply]\n')
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("conf/c.toml"), ["extractor.file=m.onnx"])
    assert config.ingest.images == [str(tmp_path / "conf" / "faces"), "/data/x", "s3://b/x"]
    assert config.evaluate.pairs == str(tmp_path / "conf" / ".." / "p.csv")
    assert config.extractor.file == "m.onnx"
    assert with_full_places(config).extractor.file == str(tmp_path / "m.onnx")
    assert with_full_places(PurifyConfig()) == PurifyConfig()
    with pytest.raises(InputError, match=r"ingest\.columns: 'pth' is none of .*did you mean 'path'"):
        load_config(None, ["ingest.columns={pth='x'}"])


def test_final_models_train_on_the_train_split() -> None:
    def table(splits: list[str | None]) -> pa.Table:
        return pa.table({"n": list(range(len(splits))), "split": pa.array(splits, pa.string())})

    assert train_rows(table(["train", "test", None, "val"]))["n"].to_pylist() == [0, 2]
    assert len(train_rows(table(["test", "val"]))) == 2
    assert len(train_rows(table([None, None]))) == 2


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("\ufeffpath;label\r\na/1.png;Müller, Ann\r\nb/1.png;Bob\r\n".encode(), ["Müller, Ann", "Bob"]),
        (b"path\tlabel\na/1.png\tAnn\nb/1.png\tBob\n", ["Ann", "Bob"]),
        ("path,label\r\na/1.png,Jos\u00e9\r\nb/1.png,Bob\r\n".encode("utf-16"), ["Jos\u00e9", "Bob"]),
        (b'path, label\na/1.png, "Lee, Ann"\nb/1.png, Bob\n', ["Lee, Ann", "Bob"]),
        (b"Path,LABEL\na/1.png, Ann\nb/1.png,Bob;x\n", [" Ann", "Bob;x"]),
    ],
    ids=["semicolons", "tabs", "UTF-16", "spaces after commas", "capitals"],
)
def test_tables_as_spreadsheets_and_people_write_them(
    tmp_path: Path, images: Path, config: IngestConfig, content: bytes, labels: list[str]
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    manifest = ingest(tmp_path / "t.csv", [images], config)
    assert manifest["sample_id"].to_pylist() == ["a/1.png", "b/1.png"]
    assert manifest["label"].to_pylist() == labels
    assert set(manifest["status"].to_pylist()) == {"ok"}


def test_a_column_in_capitals_is_taken_only_where_one_is_meant(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,Label,LABEL\n1.png,a,b\n")
    with pytest.raises(InputError, match="missing column label"):
        read_samples(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path,Label,label\n1.png,a,b\n")
    assert read_samples(tmp_path / "t.csv")["label"].to_pylist() == ["b"]


def test_other_encodings_and_spreadsheets_are_named(tmp_path: Path, images: Path, config: IngestConfig) -> None:
    (tmp_path / "t.csv").write_bytes("path;label\na/1.png;Jos\u00e9\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"t\.csv: not in UTF-8 .*save as 'CSV UTF-8'"):
        ingest(tmp_path / "t.csv", [images], config)
    (tmp_path / "t.csv").write_bytes("path;label\na/1.png;Ann\n".encode("utf-16")[:-1])
    with pytest.raises(InputError, match=r"t\.csv: not in UTF-8"):
        ingest(tmp_path / "t.csv", [images], config)
    (tmp_path / "t.xlsx").write_bytes(b"PK\3\4")
    with pytest.raises(InputError, match=r"t\.xlsx: a spreadsheet; save it as 'CSV UTF-8'"):
        ingest(tmp_path / "t.xlsx", [images], config)
