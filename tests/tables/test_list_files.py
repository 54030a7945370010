from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from purify.errors import InputError
from purify.tables.list_files import CleanList, ListForm, read_list, write_list
from purify.tables.path_matching import Match, SamplePaths, plain

SAMPLES = ["m.01/1-FaceId-0.jpg", "m.02/5-FaceId-0.jpg", "Ada Lovelace/01.png", "x/375/37@N00/41_0.jpg"]


def read(path: Path, text: str, form: ListForm | None = None) -> CleanList:
    path.write_text(text, encoding="utf-8")
    return read_list(path, SamplePaths(SAMPLES).count, form=form)


@pytest.mark.parametrize(
    ("text", "entries", "form"),
    [
        ("m.01/1-FaceId-0.jpg\nAda Lovelace/01.png\n", [(SAMPLES[0], None), (SAMPLES[2], None)], "path"),
        ("m.01/1-FaceId-0.jpg 7\n", [(SAMPLES[0], "7")], "path-label (space)"),
        ("m.02 m.01/1-FaceId-0.jpg\r\nm.02 m.02/5-FaceId-0.jpg\r\n", [(SAMPLES[0], "m.02"), (SAMPLES[1], "m.02")],
         "label-path (space)"),
        ("#Please cite us\n375/37@N00/41_0.jpg\n", [("375/37@N00/41_0.jpg", None)], "path"),
        ("0\t375/37@N00/41_0.jpg\n", [("375/37@N00/41_0.jpg", "0")], "label-path (tab)"),
        ("Ada Lovelace/01.png,Ada\nm.01/1-FaceId-0.jpg\n", [(SAMPLES[2], "Ada"), (SAMPLES[0], None)],
         "path-label (comma)"),
        ("/data dir/m.01/1-FaceId-0.jpg\n", [("/data dir/m.01/1-FaceId-0.jpg", None)], "path"),
        ("m.02 /data/m.01/1-FaceId-0.jpg\n", [("/data/m.01/1-FaceId-0.jpg", "m.02")], "label-path (space)"),
        ("\ufeffpath,label\nAda Lovelace/01.png,\"Lovelace, Ada\"\n", [(SAMPLES[2], "Lovelace, Ada")], "csv"),
    ],
    ids=["one a line", "LightCNN", "C-MS-Celeb", "MegaFace", "numbered", "headless CSV", "a space", "absolute", "CSV"],
)  # fmt: skip
def test_published_forms_are_recognized(
    tmp_path: Path, text: str, entries: list[tuple[str, str | None]], form: str
) -> None:
    found = read(tmp_path / "list.txt", text)
    assert list(zip(found.paths, found.labels, strict=True)) == entries
    assert found.form == form


def test_a_given_form_is_not_guessed(tmp_path: Path) -> None:
    found = read(tmp_path / "list.txt", "Ada Lovelace/01.png\n", ListForm.LABEL_PATH)
    assert (list(found.paths), list(found.labels)) == (["Lovelace/01.png"], ["Ada"])


def test_parquet_lists(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a/1.jpg"], "label": [3]}), tmp_path / "list.parquet")
    found = read_list(tmp_path / "list.parquet", len)
    assert (found.paths, found.labels) == (["a/1.jpg"], ["3"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.txt", b"\xff\xfe\x00", "UTF-8"),
        ("list.csv", b"path,label\n ,a\n", "row 1: the path is empty"),
        ("list.parquet", b"no table", "not a Parquet file"),
        ("missing/list.txt", None, "no such file"),
    ],
)
def test_unusable_lists_are_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_list(path, len)


NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12).filter(str.strip)


@given(
    st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=8, unique_by=lambda row: row[0]), st.sampled_from(ListForm)
)
@example([("0", ",0")], ListForm.PATH_LABEL)
@example([("0", "0,\\")], ListForm.LABEL_PATH)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], form: ListForm
) -> None:
    path = tmp_path_factory.mktemp("lists") / ("list.csv" if form is ListForm.CSV else "list.txt")
    paths, labels = [row[0] for row in rows], [row[1] for row in rows]

    def known(found: Sequence[str]) -> int:
        return sum(plain(name) in {plain(name) for name in paths} for name in found)

    refused = ""
    try:
        write_list(path, paths, labels, form)
    except InputError as error:
        refused = str(error)
    if refused:
        assert form is not ListForm.CSV  # a CSV holds any name
        assert "write a .csv" in refused
        assert not path.exists()
        return
    found = read_list(path, known, form=form)
    assert [plain(name) for name in found.paths] == [plain(name) for name in paths]
    if form is not ListForm.PATH:
        assert [label or "" for label in found.labels] == labels


@pytest.mark.parametrize("odd", ["\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feeds_and_carriage_returns_end_a_line(tmp_path: Path, odd: str) -> None:
    (tmp_path / "list.txt").write_text(f"a/1{odd}.jpg\r\na/2.jpg\n", encoding="utf-8", newline="")
    assert read_list(tmp_path / "list.txt", len).paths == [f"a/1{odd}.jpg", "a/2.jpg"]


def test_a_header_of_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("path\x0clabel\na/0.png,a\n", encoding="utf-8")
    assert read_list(tmp_path / "list.txt", len).paths == ["path\x0clabel", "a/0.png"]
    (tmp_path / "list.csv").write_text('path "x,path",label\na/0.png,a\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"list\.csv"):
        read_list(tmp_path / "list.csv", len)


def test_names_with_line_breaks_need_csv(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"write a \.csv"):
        write_list(tmp_path / "list.txt", ["a\nb.jpg"], ["a"], ListForm.PATH)


@pytest.mark.parametrize(
    ("listed", "kind", "sample"),
    [
        ("lfw/Ann/1.jpg", Match.EXACT, "lfw/Ann/1.jpg"),
        (".\\lfw\\Ann\\1.jpg", Match.EXACT, "lfw/Ann/1.jpg"),
        ("Ann/1.jpg", Match.LIST_SHORTER, "lfw/Ann/1.jpg"),
        ("nn/1.jpg", Match.NONE, None),
        ("/data/lfw/Ann/1.jpg", Match.LIST_LONGER, "lfw/Ann/1.jpg"),
        ("Ben_7.jpg", Match.LIST_SHORTER, "lfw/Ben/Ben_7.jpg"),
        ("Ben_7.png", Match.OTHER_SUFFIX, "lfw/Ben/Ben_7.jpg"),
        ("1.jpg", Match.AMBIGUOUS, None),
        ("other/flat.jpg", Match.NONE, None),
        ("flat.jpg", Match.EXACT, "flat.jpg"),
        ("Jose\u0301/1.jpg", Match.LIST_SHORTER, "lfw/Jos\u00e9/1.jpg"),
        ("Ann", Match.NONE, None),
    ],
)
def test_paths_match_by_the_stated_rules(listed: str, kind: Match, sample: str | None) -> None:
    ids = ["lfw/Ann/1.jpg", "lfw/Ben/Ben_7.jpg", "lfw/Ben/1.jpg", "flat.jpg", "lfw/Jos\u00e9/1.jpg"]
    found, row = SamplePaths(ids).find(listed)
    assert found is kind
    assert (ids[row] if row >= 0 else None) == sample
