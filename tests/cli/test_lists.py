"""``purify lists`` on files: apply, diff and write."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from purify.cli import main
from purify.storage.files import read_table
from purify.tables.schema import CLEANED, DIFFERENCES, LABELS, REMOVED, VERDICTS

PEOPLE, EACH = 6, 12


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["lists", *map(str, arguments)])


def figures(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six people of twelve images; the first image of p0 and p1 has a wrong label."""
    path = tmp_path / "faces.csv"
    people = [person for person in range(PEOPLE) for _ in range(EACH)]
    labels = [f"p{person}" for person in people]
    labels[0], labels[EACH] = "p1", "p2"
    rows = [
        f"set/p{person}/{i:02d}.png,{label}\n" for i, (person, label) in enumerate(zip(people, labels, strict=True))
    ]
    path.write_text("path,label\n" + "".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def judged(tmp_path: Path, table: Path) -> Path:
    """A run on the table."""
    rng = np.random.default_rng(0)
    ids = [row.split(",")[0] for row in table.read_text(encoding="utf-8").splitlines()[1:]]
    vectors = np.repeat(rng.normal(size=(PEOPLE, 16)), EACH, axis=0) + 0.2 * rng.normal(size=(len(ids), 16))
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 16)
    pq.write_table(pa.table({"path": ids, "embedding": column}), tmp_path / "e.parquet")
    arguments = ["analyze", table, "--embeddings", tmp_path / "e.parquet", "--out", tmp_path / "run"]
    assert CliRunner().invoke(main, [str(word) for word in arguments]).exit_code == 0
    return tmp_path / "run"


def test_apply_a_noise_list_of_bare_names(tmp_path: Path, table: Path) -> None:
    noises = tmp_path / "noises.txt"
    noises.write_text("# cite us\n00.jpg\n12.jpg\n12.jpg\n99.jpg\n")
    result = run("apply", noises, table, "--listed", "removed", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0
    counts = json.loads(result.stdout)
    assert "1 of its entries match no sample and have no effect: '99.jpg'" in result.stderr
    assert {key: counts[key] for key in ("rows", "ok", "not_ok", "cleaned", "removed")} == {
        "rows": 72, "ok": 72, "not_ok": 0, "cleaned": 70, "removed": 2,
    }  # fmt: skip
    assert (counts["entries"], counts["other_suffix"], counts["unmatched"], counts["repeated"]) == (4, 3, 1, 1)
    removed = read_table(tmp_path / "out" / "removed.parquet", REMOVED)
    assert removed["sample_id"].to_pylist() == ["set/p0/00.png", "set/p1/12.png"]
    assert set(removed["reason"].to_pylist()) == {"published_list"}
    assert len(read_table(tmp_path / "out" / "labels.parquet", LABELS)) == PEOPLE
    assert len(read_table(tmp_path / "out" / "verdicts.parquet", VERDICTS)) == 72


def test_apply_a_relabel_list(tmp_path: Path, table: Path) -> None:
    clean = tmp_path / "clean_list.txt"
    clean.write_text("".join(f"p{i // EACH} /data/set/p{i // EACH}/{i:02d}.png\n" for i in range(72)))
    counts = figures("apply", clean, table, "--listed", "kept", "--out", tmp_path / "out")
    assert (counts["cleaned"], counts["removed"], counts["list_longer"]) == (72, 0, 72)
    cleaned = read_table(tmp_path / "out" / "cleaned.parquet", CLEANED).to_pylist()
    moved = {
        row["sample_id"]: (row["given_label"], row["label"]) for row in cleaned if row["given_label"] != row["label"]
    }
    assert moved == {"set/p0/00.png": ("p1", "p0"), "set/p1/12.png": ("p2", "p1")}


def test_noise_lists_of_facescrub_and_megaface(tmp_path: Path) -> None:
    """Bare names, and three levels of folders with ``@`` and numbers, as InsightFace hands them out."""
    ids = [f"facescrub/actors/Aaron_Eckhart/Aaron_Eckhart_{k}.png" for k in (13, 136, 137)]
    ids += [f"megaface/{k}/3753119{k}@N00/417461182{k}_0.jpg" for k in (1, 2, 3)]
    table = tmp_path / "faces.csv"
    table.write_text("path,label\n" + "".join(f"{name},{name.split('/')[1]}\n" for name in ids))
    for text, removed in (
        ("Aaron_Eckhart_136.png\nAaron_Eckhart_7.png\n", [ids[1]]),
        ("2/37531192@N00/4174611822_0.jpg\n3/37531193@N00/4174611823_0.jpg\n", ids[4:]),
    ):
        noises = tmp_path / "noises.txt"
        noises.write_text(text)
        figures("apply", noises, table, "--listed", "removed", "--out", tmp_path / "out")
        assert read_table(tmp_path / "out" / "removed.parquet", REMOVED)["sample_id"].to_pylist() == removed


def test_c_ms_celeb_on_the_tsv_as_it_is_handed_out(tmp_path: Path) -> None:
    """Its lines are ``right-person person/rank-FaceId-n.jpg``; the TSV has no paths, but the parts of these names."""
    people, lines = ["m.0107_f", "m.0107_f", "m.02", "m.02", "m.02"], []
    for k, who in enumerate(people):
        stream = io.BytesIO()
        Image.fromarray(np.full((20, 20, 3), 40 * k, np.uint8)).save(stream, "JPEG")
        face = base64.b64encode(stream.getvalue()).decode()
        lines.append("\t".join([who, str(k + 5), "https://x/1.jpg", "https://x", "FaceId-0", "AAAA", face]))
    (tmp_path / "Faces.tsv").write_text("\n".join(lines))
    clean = "m.0107_f m.0107_f/5-FaceId-0.jpg\nm.02 m.0107_f/6-FaceId-0.jpg\nm.02 m.02/7-FaceId-0.jpg\n"
    (tmp_path / "clean_list.txt").write_text(clean + "m.02 m.02/9-FaceId-0.jpg\nm.02 m.02/99-FaceId-0.jpg\n")
    source, run_folder = str(tmp_path / "Faces.tsv"), tmp_path / "run"
    assert CliRunner().invoke(main, ["ingest", source, "--out", str(run_folder)]).exit_code == 0
    clean_list, manifest = tmp_path / "clean_list.txt", run_folder / "manifest.parquet"
    counts = figures("apply", clean_list, manifest, "--listed", "kept", "--out", tmp_path / "out")
    assert (counts["cleaned"], counts["removed"], counts["unmatched"]) == (4, 1, 1)
    cleaned = read_table(tmp_path / "out" / "cleaned.parquet", CLEANED)
    names = [name.split("/", 1)[1] for name in cleaned["sample_id"].to_pylist()]
    assert dict(zip(names, cleaned["label"].to_pylist(), strict=True)) == {
        "m.0107_f/5-FaceId-0": "m.0107_f",
        "m.0107_f/6-FaceId-0": "m.02",
        "m.02/7-FaceId-0": "m.02",
        "m.02/9-FaceId-0": "m.02",
    }


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_what_a_run_writes_says_what_the_run_says(tmp_path: Path, judged: Path, name: str) -> None:
    form = [] if name.endswith(".csv") else ["--format", "label-path"]
    written = figures("write", judged, "--out", tmp_path / name, *form)
    counts = figures("diff", tmp_path / name, judged, "--listed-a", "kept")
    assert counts["both_keep"] == counts["a_keeps"] == counts["b_keeps"] == written["entries"]
    assert counts["only_a_keeps"] == counts["only_b_keeps"] == counts["other_label"] == 0


def test_cleaned_and_removed_tables_are_lists_too(tmp_path: Path, judged: Path) -> None:
    kept = figures("write", judged / "cleaned.parquet", "--out", tmp_path / "kept.txt")
    gone = figures("write", judged / "removed.parquet", "--listed", "removed", "--out", tmp_path / "gone.txt")
    assert kept["entries"] + gone["entries"] == 72
    counts = figures("diff", judged / "cleaned.parquet", judged)
    assert counts["both_keep"] + counts["both_remove"] == 72
    refused = run("write", judged / "cleaned.parquet", "--listed", "removed", "--out", tmp_path / "x.txt")
    assert (refused.exit_code, "holds the kept images" in refused.stderr) == (2, True)


def test_diff_with_a_table_and_a_contact_sheet(
    tmp_path: Path, judged: Path, draw_stripes: Callable[[Path, float, np.random.Generator], None]
) -> None:
    everything = tmp_path / "all.txt"
    everything.write_text("".join(f"p{i // EACH}/{i:02d}.png\n" for i in range(71)))
    for i in (0, 12, 71):
        draw_stripes(tmp_path / "images" / f"set/p{i // EACH}/{i:02d}.png", 0.1 * i, np.random.default_rng(i))
    shown = ["--sheet", tmp_path / "sheet.png", "--images", tmp_path / "images"]
    counts = figures("diff", everything, judged, "--listed-a", "kept", "--out", tmp_path / "diff.csv", *shown)
    with (tmp_path / "diff.csv").open() as file:
        rows = {row["sample_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == counts["only_a_keeps"] + counts["only_b_keeps"] + counts["other_label"]
    assert {"set/p0/00.png", "set/p5/71.png"} <= set(rows)
    assert rows["set/p5/71.png"]["difference"] == "only_b_keeps"
    assert rows["set/p0/00.png"] | {"p_clean": ""} == {
        "sample_id": "set/p0/00.png", "label": "p1", "difference": "other_label", "p_clean": "",
        "decision_a": "keep", "label_a": "p1", "reason_a": "published_list",
        "decision_b": "relabel", "label_b": "p0", "reason_b": "closer_to_other_label",
    }  # fmt: skip
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 400
        assert len(sheet.getcolors(1 << 20) or []) > 50
    figures("diff", everything, judged, "--listed-a", "kept", "--out", tmp_path / "diff.parquet")
    assert len(read_table(tmp_path / "diff.parquet", DIFFERENCES)) == len(rows)


def test_diff_of_two_lists_of_different_kinds(tmp_path: Path, table: Path) -> None:
    (tmp_path / "kept.txt").write_text("".join(f"p{i // EACH}/{i:02d}.png\n" for i in range(70)))
    (tmp_path / "gone.txt").write_text("71.png\n")
    both = [tmp_path / "kept.txt", tmp_path / "gone.txt"]
    counts = figures("diff", *both, "--manifest", table, "--listed-a", "kept", "--listed-b", "removed")
    assert (counts["both_keep"], counts["both_remove"], counts["only_b_keeps"]) == (70, 1, 1)


def test_questions(tmp_path: Path, table: Path, judged: Path) -> None:
    (tmp_path / "list.txt").write_text("p0/01.png\n")
    (tmp_path / "foreign.txt").write_text("nobody/1.jpg\n")
    questions = {
        "give the manifest with --manifest": ("diff", tmp_path / "list.txt", tmp_path / "list.txt"),
        "Say kept or removed": ("diff", tmp_path / "list.txt", judged),
        "Missing option '--listed'": ("apply", tmp_path / "list.txt", table, "--out", tmp_path / "out"),
        "is in the manifest": ("diff", tmp_path / "foreign.txt", judged, "--listed-a", "kept"),
        "written as .parquet or .csv": ("diff", judged, judged, "--out", tmp_path / "diff.txt"),
        "not on the ok rows of the manifest": ("diff", judged, judged, "--manifest", tmp_path / "other.csv"),
    }
    (tmp_path / "other.csv").write_text("path,label\na.png,a\n")
    for question, words in questions.items():
        result = run(*words)
        assert result.exit_code == 2, question
        assert question in result.stderr
        assert "Traceback" not in result.output
