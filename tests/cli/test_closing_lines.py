"""The end of a run in sentences: no raw keys, what misleads said first, commands that can be typed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from purify.cli import main
from purify.evaluation.gain import gap_sentence
from purify.pipeline.closing import closing_lines
from purify.report.notices import FALLBACK_CAUSES
from purify.storage.files import write_json, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLASS_REPORT, MANIFEST, VERDICTS


def _verdict(sample_id: str, decision: str, rule: str, p_clean: float) -> dict[str, Any]:
    reason = "near_dominant" if decision == "keep" else "open_set"
    label = sample_id.partition("/")[0]
    return {
        "sample_id": sample_id,
        "label": label,
        "decision": decision,
        "reason": reason,
        "rule": rule,
        "p_clean": p_clean,
    }


def _write(
    root: Path,
    *,
    rule: str = "calibrated/1",
    missing: int = 0,
    labels: Sequence[str] = "abcd",
    evaluation: dict[str, Any] | None = None,
    **info: Any,
) -> RunFolder:
    run = RunFolder(root)
    ids = [f"{label}/{i}.png" for label in labels for i in range(5)]
    rows = [{"sample_id": name, "label": name[0], "status": "ok", "uri": f"file:///x/{name}"} for name in ids]
    lost = [
        {"sample_id": f"a/lost{i}.png", "label": "a", "status": "unreadable", "status_reason": "missing: not found"}
        for i in range(missing)
    ]
    write_table(pa.Table.from_pylist([*lost, *rows], schema=MANIFEST), run.manifest)
    verdicts = [_verdict(name, "drop" if name == "a/0.png" else "keep", rule, float(name != "a/0.png")) for name in ids]
    write_table(pa.Table.from_pylist(verdicts, schema=VERDICTS), run.verdicts)
    write_table(CLASS_REPORT.empty_table(), run.class_report)
    config = {"analyze": {"rule": "calibrated", "threshold": 75.0}, "retrain": {"enabled": True}}
    write_json(run.info, {"source": "x", "config": config, **info})
    if evaluation:
        write_json(run.evaluation, evaluation)
    return run


def _line(lines: list[str], heading: str) -> str:
    return next(line for line in lines if line.startswith(heading))


def test_a_plain_run(tmp_path: Path) -> None:
    run = _write(tmp_path)
    lines = closing_lines(run)
    assert _line(lines, "Report:") == f"Report: not written yet; the verdicts are in {run.verdicts}"
    assert [line.split()[0] for line in lines[:5]] == ["Found:", "Trust:", "Gain:", "Report:", "Next:"]
    assert lines[0] == "Found:  kept 19 of 20 images (95.0%); removed 1 (5.0%)."
    assert "about 5.0% of the labels are wrong (95% interval" in lines[1]
    assert "no verification pairs of other people; give --pairs" in lines[2]
    assert not [line for line in lines if "_" in line.replace(str(tmp_path), "")]


def test_the_commands_can_be_typed(tmp_path: Path) -> None:
    run = _write(tmp_path / "my run")
    lines = closing_lines(run)
    commands = [line.removeprefix("Next:").partition("#")[0] for line in lines if "purify " in line]
    words = [shlex.split(command) for command in commands]
    assert [word[1] for word in words] == ["report", "review", "apply"]
    for _, name, place in words:
        assert place == str(run.root)
        main.commands[name].make_context(name, [place])  # parses
    run.report.write_text("<html>")
    lines = closing_lines(run)
    assert _line(lines, "Report:") == f"Report: {run.report}"
    assert "purify report" not in "".join(lines)


def test_images_that_were_not_found_come_first(tmp_path: Path) -> None:
    lines = closing_lines(_write(tmp_path, missing=14))
    assert lines[0].startswith("Warning: 14 of 34 images were not found (the first: a/lost0.png)")
    assert "--images FOLDER" in lines[0]
    assert "14 more were unusable" in _line(lines, "Found:")


def test_warnings_of_the_source_come_before_all_and_tell_of_missing_images_once(tmp_path: Path) -> None:
    stray = "1 image lies in no label folder (x.png) and can't be used: status no_label"
    lines = closing_lines(_write(tmp_path / "stray", missing=1, source_warnings=[stray]))
    assert lines[0] == f"Warning: {stray}."
    assert lines[1].startswith("Warning: 1 of 21 images were not found")
    lost = "1 of 21 images are missing from the image roots (x): a/lost0.png; give them with --images"
    lines = closing_lines(_write(tmp_path / "lost", missing=1, source_warnings=[lost]))
    assert [line for line in lines if line.startswith("Warning")] == [f"Warning: {lost}."]


@pytest.mark.parametrize(
    "why", ["the embeddings hardly tell people apart", "fewer than 3 labels have two images", None]
)
def test_a_rule_that_gave_way_is_said_before_the_figures(tmp_path: Path, why: str | None) -> None:
    judged = {"asked": "calibrated", "rule": "official/1", "probabilities": False, "fallback": True, "why": why}
    lines = closing_lines(_write(tmp_path, rule="official/1", **({"judged_by": judged} if why else {})))
    assert lines[0].startswith(f"Warning: {why or FALLBACK_CAUSES}, so that rule calibrated could not judge")
    assert "rule calibrated could not judge; rule official/1 did, by a fixed angle of 75 degrees" in lines[0]
    assert "it estimates no share of wrong labels" in _line(lines, "Trust:")


def test_a_set_that_nothing_could_judge_claims_no_angle(tmp_path: Path) -> None:
    why = "nothing was judged and all images are kept, since only 2 labels have two different pictures or more"
    judged = {"asked": "calibrated", "rule": "unjudged/1", "probabilities": False, "fallback": True, "why": why}
    lines = closing_lines(_write(tmp_path, rule="unjudged/1", judged_by=judged))
    assert lines[0] == f"Warning: {why}."
    assert _line(lines, "Trust:").endswith("no label was judged, so nothing is known of wrong ones.")
    assert "angle" not in "".join(lines)


def test_the_gain_has_its_interval(tmp_path: Path) -> None:
    evaluation = {
        "pairs": {"given": 2000, "excluded_identity": 0, "excluded_image": 0, "used": 2000},
        "models": {
            name: {"auc": auc, "auc_interval": [auc - 0.01, auc + 0.01], "n_train": 100}
            for name, auc in (("raw", 0.9064), ("purified", 0.9391))
        },
        "differences": {"purified-raw": {"auc": 0.0327, "interval": [0.024, 0.0418]}},
        "gap_closed": {"auc": {"value": 1.3128, "interval": [1.0, 1.77]}},
    }
    gain = _line(closing_lines(_write(tmp_path, evaluation=evaluation)), "Gain:")
    assert "AUC 0.9064 before cleaning, 0.9391 after (+0.0327, 95% interval +0.0240 to +0.0418: better)" in gain
    share = "131 % of the gap, 95 % interval 100 to 177 %: not distinguishable from 100 %"
    assert gain.endswith(f" Purification closed the whole gap, as far as these pairs can tell ({share}).")


def test_less_than_all_needs_no_explanation() -> None:
    sentence = gap_sentence({"value": 0.8, "interval": [0.5, 0.9]})
    assert sentence == "80 % of the gap (95 % interval 50 to 90 %)"


@pytest.mark.parametrize(
    ("growth", "words"),
    [
        ({"update": 2, "nothing_new": True, "new": 0, "changed": 0, "gone": 0}, "nothing new in the source"),
        ({"update": 2, "nothing_new": False, "new": 500, "changed": 3, "gone": 0}, "500 new, 3 changed, 0 gone images"),
    ],
)
def test_an_update_says_what_it_took_in(tmp_path: Path, growth: dict[str, Any], words: str) -> None:
    assert words in _line(closing_lines(_write(tmp_path, growth=growth)), "Found:")
