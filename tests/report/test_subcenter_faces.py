"""Reconstructed faces in the report, on Prefect's page and for the notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from purify.report.html import write_report
from purify.report.notices import notices
from purify.report.reconstructions import grid_file, png_file
from purify.report.run_page import run_page
from purify.report.run_tables import read_run
from purify.report.subcenter_faces import faces_with_members, reconstructed_faces
from purify.storage.files import write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import INVERSIONS
from tests.report.sample_run import HOSTILE, build_run, parse


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with faces for both sub-centers of label a, and for the whole label with the hostile name."""
    run = build_run(tmp_path)
    run.update_info(counts={"rows": 7, "ok": 6, "not_ok": 1, "cleaned": 3, "removed": 3})
    rows, faces = [], []
    for number, (label, subcenter) in enumerate([("a", 0), ("a", 1), (HOSTILE, None)]):
        face = np.full((3, 32, 32), 50 * number, np.uint8)
        path = run.inversions / "images" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_file(face, about={}, watermark=True))
        kind = "class" if subcenter is None else "subcenter"
        name = label if subcenter is None else f"{label} #{subcenter}"
        losses = {f"{term}_loss": 1.0 for term in ("identity", "batchnorm", "total_variation", "norm")}
        where = {"label": label, "subcenter": subcenter or 0, "path": f"images/{number:06d}.png"}
        about = {"target": name, "kind": kind, "cosine": 0.9 + number / 100, "judged_label": label}
        rows.append({**about, **where, **losses, "batch": 0, "seed": 0})
        faces.append(face)
    write_table(pa.Table.from_pylist(rows, schema=INVERSIONS), run.inversions / "inversions.parquet")
    (run.inversions / "grid.png").write_bytes(grid_file(faces, watermark=True))
    return run


def test_a_face_stands_beside_the_members_of_its_subcenter(run: RunFolder) -> None:
    first, second, whole = reconstructed_faces(run.root, read_run(run.root))
    assert (first.subcenter, first.images, first.dominant) == (0, 2, True)
    assert (second.subcenter, second.images, second.dominant) == (1, 1, False)
    assert second.members["sample_id"].to_pylist() == ["a/2.png"]
    assert (whole.label, whole.subcenter, whole.images, whole.dominant) == (HOSTILE, None, 1, True)
    assert [face.label for face in reconstructed_faces(run.root, read_run(run.root), "a")] == ["a", "a"]
    rows = faces_with_members(run.root, read_run(run.root))
    assert [(row["label"], len(row["faces"])) for row in rows] == [("a", 2), (HOSTILE, 1)]
    assert [face.sample_id for face in rows[0]["faces"][1]["members"]] == ["a/2.png"]


def test_the_report_shows_them_and_says_what_they_are(run: RunFolder) -> None:
    write_report(run.root)
    text = run.report.read_text(encoding="utf-8")
    section = text[text.index('id="reconstructed"') : text.index("</section>", text.index('id="reconstructed"'))]
    assert "not photos of anybody" in section
    assert section.count("data:image/png;base64,") == 3
    assert "The dominant sub-center: 2 images, the reconstruction's cosine 0.90" in section
    assert "Another sub-center: 1 image," in section
    assert HOSTILE not in text
    assert parse(run.report)


def test_without_any_there_is_no_section(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    write_report(run.root)
    assert 'id="reconstructed"' not in run.report.read_text(encoding="utf-8")
    assert reconstructed_faces(run.root, read_run(run.root)) == []


def test_prefects_page_has_the_grid_where_faces_may_be_shown(run: RunFolder) -> None:
    shown, hidden = (run_page(run, [{"figure": "rows", "value": 7}], with_faces=faces) for faces in (True, False))
    assert "![Reconstructed faces](data:image/png;base64," in shown
    assert "not photos" in shown
    assert "Reconstructed faces" not in hidden
    assert hidden.count("keeps pictures off this server") == 2


def test_what_could_not_be_made_is_said_first(run: RunFolder) -> None:
    run.update_info(inversions={"skipped": "no network of this run was trained on its labels"})
    found = notices(read_run(run.root), faces_shown=True)
    assert "No faces of sub-centers" in [notice.title for notice in found]
