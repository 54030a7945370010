from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from purify.analysis.round_changes import RoundSummary, Stop
from purify.config import ShowConfig
from purify.evaluation.gain import gap_sentence
from purify.orchestration.publication import _faces_may_be_shown
from purify.report.run_page import REPORTS_URL, contact_sheet, report_link, run_page, worst_classes
from purify.report.thumbnails import Face
from purify.storage.files import read_json, write_json
from purify.storage.run_folder import RunFolder
from tests.report.sample_run import HOSTILE, build_run, evaluation

ROWS = [{"figure": "rows", "value": 7}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = build_run(tmp_path_factory.mktemp("page"))
    write_json(run.evaluation, evaluation("raw", "random", "purified", "oracle"))
    first = RoundSummary(1, noise_estimate=0.31, kept=3, removed=3, changed=None, stopped_because=Stop.MOST_ROUNDS)
    rounds = [asdict(first)]
    counts = {"rows": 7, "ok": 6, "not_ok": 1, "cleaned": 3, "removed": 3}
    run.update_info(counts=counts, rounds=rounds, stages={"ingest": 0.5})
    return run


def test_the_page_tells_the_runs_story(run: RunFolder) -> None:
    page = run_page(run, ROWS, with_faces=True)
    assert page.startswith("# run\\_1\n\n**3 of 6 images kept**, 3 removed. 1 more were not usable. About 31.0 %")
    for heading in ("Labels with the most wrong", "Verification on", "Angles", "Surest of the removed", "All figures"):
        assert f"\n## {heading}" in page
    gap = read_json(run.evaluation)["gap_closed"]["auc"]
    assert f"In AUC, from the raw to the truly clean set, purification closed {gap_sentence(gap)}." in page
    assert "](data:image/png;base64," in page
    assert "](data:image/jpeg;base64," in page
    assert HOSTILE in {row["label"] for row in worst_classes(run)}
    assert "<" not in page


def test_the_page_begins_with_what_limits_its_figures(run: RunFolder) -> None:
    run.update_info(source_warnings=["2 of 7 images were not found; give --images"])
    page = run_page(run, ROWS, with_faces=False)
    assert 0 < page.index("2 of 7 images were not found") < page.index("## Labels")


def test_without_faces_no_photo_is_in_the_page(run: RunFolder) -> None:
    page = run_page(run, ROWS, with_faces=False)
    assert "data:image/jpeg" not in page
    assert "show.faces" in page


def test_the_link_follows_the_web_server_of_the_runs(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPORTS_URL, raising=False)
    assert report_link(run) == run.report.as_uri()
    monkeypatch.setenv(REPORTS_URL, "http://127.0.0.1:8765/")
    assert report_link(run) == "http://127.0.0.1:8765/run_1/report.html"


def test_a_contact_sheet_has_whole_rows() -> None:
    faces = [
        Face(
            picture=f"data:image/jpeg;base64,{i}",
            sample_id=f"p{i}/1.jpg",
            label=f"p{i}",
            angle=float(i),
            p_clean=0.1,
            decision="drop",
            reason="open_set",
            new_label=None,
            other_label=None,
            angle_other=None,
            truth=None,
        )
        for i in range(8)
    ]
    lines = contact_sheet(faces).splitlines()
    assert len(lines) == 5  # pictures, rule of the head, captions; pictures, captions
    assert {line.count("|") for line in lines} == {7}
    assert "p7: 7.0\u00b0, open set" in lines[-1]


@pytest.mark.parametrize(
    ("url", "setting", "shown"),
    [
        ("http://127.0.0.1:4200/api", "loopback", True),
        ("http://localhost:4200/api", "loopback", True),
        ("http://[::1]:4200/api", "loopback", True),
        ("https://prefect.example.org/api", "loopback", False),
        ("http://10.0.0.7:4200/api", "loopback", False),
        ("https://prefect.example.org/api", "always", True),
        ("http://127.0.0.1:4200/api", "never", False),
    ],
)
def test_faces_go_to_a_server_on_this_machine_alone(url: str, setting: str, shown: bool) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        assert _faces_may_be_shown(ShowConfig.model_validate({"faces": setting})) is shown


def test_a_path_is_no_report_of_another_run(tmp_path: Path) -> None:
    assert report_link(RunFolder(tmp_path / "a b")).endswith("/a%20b/report.html")
