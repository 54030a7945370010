from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from purify.errors import InputError
from purify.evaluation.detection import score_verdicts
from purify.evaluation.gain import gap_sentence
from purify.report.html import write_report
from purify.report.run_overview import noise_of
from purify.report.run_tables import read_run
from purify.storage.files import read_json, read_table, write_json, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST, REVIEWS, VERDICTS
from tests.report.sample_run import HOSTILE, SAMPLES, Page, build_run, evaluation, parse, structured_run


def test_counts_add_up_to_the_tables(page: Page) -> None:
    text = page.text("counts")
    assert "7 images \u00b7 3 labels" in text
    assert "3 kept" in text
    assert "3 removed \u00b7 50.0 %" in text
    assert "1 not usable" in text


def test_verification_is_that_of_the_evaluation(page: Page, shown: RunFolder) -> None:
    measured = read_json(shown.evaluation)
    models = {row[0]: row for row in page.rows["models"][1:]}
    assert list(models) == ["raw", "random", "purified", "oracle"]
    for name, figures in measured["models"].items():
        low, high = figures["auc_interval"]
        assert models[name][1] == f"{figures['n_train']:,}"
        assert models[name][2] == f"{figures['auc']:.4f}{low:.4f} to {high:.4f}"
        assert models[name][3].startswith(f"{100 * figures['accuracy']['mean']:.2f}\u00a0%")
        assert models[name][5].startswith(f"{100 * figures['tar_at_far']['0.01']['value']:.1f}\u00a0%")
    differences = {row[0]: row for row in page.rows["differences"][1:]}
    gain = measured["differences"]["purified-raw"]
    assert differences["purified \u2212 raw"][1:] == [
        f"{gain['auc']:+.4f}",
        f"{gain['interval'][0]:+.4f} to {gain['interval'][1]:+.4f}",
        "better",
    ]
    text, gap = page.text("verification"), measured["gap_closed"]["auc"]
    assert f"In AUC, from the raw to the truly clean set, purification closed {gap_sentence(gap)}." in text
    assert "600 pairs (300 same, 300 different)" in text
    assert "1,000 pairs in pairs.txt, 390 were left out for a person and 3 for an image" in text
    assert "of 7 an image is not there" in text
    assert "TAR at FAR 0.001 needs 1000 different pairs, there are 300." in text


def test_a_gap_that_means_nothing_is_explained(run: RunFolder) -> None:
    write_json(run.evaluation, evaluation("raw", "purified"))
    page = parse(write_report(run.root))
    assert "No share of a gap closed is given: there is no model oracle" in page.text("verification")
    assert [row[0] for row in page.rows["models"][1:]] == ["raw", "purified"]
    assert "gap" not in page.text("counts")


def test_a_run_before_its_evaluation_has_a_report(run: RunFolder) -> None:
    run.evaluation.unlink()
    run.info.unlink()
    page = parse(write_report(run.root))
    assert "Not measured" in page.text("verification")
    assert "3 removed" in page.text("counts")
    assert "stages" not in page.texts


def _rounds(*stops: str | None) -> list[dict[str, Any]]:
    return [
        {
            "round": number,
            "noise_estimate": 0.3 / number,
            "kept": 3,
            "removed": 3,
            "changed": None if number == 1 else 2,
            "stopped_because": stop,
        }
        for number, stop in enumerate(stops, start=1)
    ]


def test_rounds_are_shown_with_why_the_last_was_the_last(run: RunFolder) -> None:
    write_report(run.root)
    for name in ("verdicts.parquet", "class_report.parquet"):
        run.round(2).root.mkdir(exist_ok=True)
        (run.round(1).root / name).rename(run.round(2).root / name)
    run.update_info(rounds=_rounds(None, "settled"))
    page = parse(write_report(run.root))
    assert page.rows["rounds"][1:] == [
        ["1", "30.0\u00a0%", "3", "3", "-"],
        ["2", "15.0\u00a0%", "3", "3", "233.3\u00a0%"],
    ]
    assert "changed less than rounds.least_change" in page.text("rounds")


def test_a_single_round_is_shown_only_where_more_were_wanted(run: RunFolder) -> None:
    run.update_info(rounds=_rounds("most_rounds"))
    assert "rounds" not in parse(write_report(run.root)).texts
    run.update_info(rounds=_rounds("no_images"))
    assert "no images to train another round on" in parse(write_report(run.root)).text("rounds")


def test_an_evaluation_without_curves_is_shown(run: RunFolder) -> None:
    measured = read_json(run.evaluation)
    for model in measured["models"].values():
        del model["roc"]
    write_json(run.evaluation, measured)
    page = parse(write_report(run.root))
    assert len(page.rows["models"]) == 5
    assert not any("over false accept rate" in str(attributes.get("alt")) for _, attributes in page.tags)


def test_figures_against_truth_are_those_of_the_score(page: Page, shown: RunFolder) -> None:
    manifest, verdicts = read_table(shown.manifest, MANIFEST), read_table(shown.verdicts, VERDICTS)
    figures = score_verdicts(verdicts, manifest.select(["sample_id", "true_label"]))
    shown = {row[0]: row[1] for row in page.rows["truth"]}
    assert "3 of 6 are wrong" in page.text("truth")
    for name, key in {"average precision": "average_precision", "F1": "f1", "recall": "recall"}.items():
        assert shown[name] == f"{figures[key]:.4f}"
    assert shown["clean kept"] == f"{2 / 3:.4f}"


def test_without_truth_none_is_claimed(tmp_path: Path) -> None:
    page = parse(write_report(build_run(tmp_path, [replace(sample, truth=None) for sample in SAMPLES]).root))
    assert "truth" not in page.texts
    assert "in truth" not in page.text("removed")


def test_reasons_classes_and_broken_files_are_listed(page: Page) -> None:
    assert [row[:4] for row in page.rows["reasons"][1:]] == [
        ["keep", "near dominant", "3", "50.0\u00a0%"],
        ["drop", "far from dominant", "2", "33.3\u00a0%"],
        ["drop", "closer to other label", "1", "16.7\u00a0%"],
    ]
    assert page.rows["reasons"][1][4] == "like the other images of its label"
    assert page.rows["worst"][1:] == [
        [HOSTILE, "1", "0", "100\u00a0%", "100 / 0 %", "too few"],
        ["b", "2", "1", "50\u00a0%", "100 / 0 %", "ok"],
        ["a", "3", "2", "33\u00a0%", "67 / 33 %", "ok"],
    ]
    assert "Flagged: 1 too few (too few images to judge)." in page.text("classes")
    assert page.rows["unusable"][1:] == [["b/broken.png", "b", f"truncated: {HOSTILE}"]]
    assert page.rows["stages"] == [["train-round-1", "12 min 34 s"], ["ingest", "2.2 s"]]


def test_each_contact_sheet_shows_its_faces_with_their_numbers(structured: RunFolder) -> None:
    page = parse(structured.report)
    assert page.text("removed").startswith("c 95.0\u00b0, p 0.01 drop, open set in truth nobody of")
    assert "a 88.0\u00b0, p 0.05 relabel as b in truth b" in page.text("relabeled")
    assert "a 55.0\u00b0, p 0.60 keep, next b (70.0\u00b0)" in page.text("borderline")
    assert page.text("hard").index("b 65.0\u00b0") < page.text("hard").index("a 41.0\u00b0")
    assert page.text("review").count("review, second identity") == 2
    pictures = [a for tag, a in page.tags if tag == "img" and "jpeg" in str(a["src"])]
    assert {"a/9.png", "c/0.png"} <= {a["alt"] for a in pictures}
    with Image.open(io.BytesIO(base64.b64decode(str(pictures[0]["src"]).split(",")[1]))) as image:
        assert image.size == (96, 96)


def test_mixed_labels_and_merges_are_proposed_side_by_side(structured: RunFolder) -> None:
    page = parse(structured.report)
    assert "c, 4 images" in page.text("mixed-1")
    assert "Group 1: 2 images, kept" in page.text("mixed")
    assert "Group 2: 2 images, to review" in page.text("mixed")
    assert page.text("merge-1") == "b__2 is probably b (12.5\u00b0)"
    assert "b__2" not in [row[0] for row in page.rows["worst"]]  # it is told of as a merge
    assert page.rows["confused"][1] == ["a", "b", "2", "2", "0"]
    assert "1 label shows two people" in page.text("look")


def test_what_a_person_decided_counts_and_settles_a_mixed_label(tmp_path: Path) -> None:
    run = structured_run(tmp_path)
    before = noise_of(read_run(run.root).verdicts, calibrated=True)
    rows = [
        {"sample_id": "c/3.png", "decision": "relabel", "new_label": "a", "reviewer": "me"},
        {"sample_id": "c/4.png", "decision": "drop", "reviewer": "me"},
    ]
    write_table(pa.Table.from_pylist(rows, schema=REVIEWS), run.reviews)
    page = parse(write_report(run.root))
    assert page.text("mixed-1") == "c, 4 images: settled"
    assert "label shows two people" not in page.text("look")
    assert "2 images were decided by a person" in page.text("look")
    assert ["relabel", "reviewed", "1", "7.7\u00a0%", "decided by a person"] in page.rows["reasons"]
    after = noise_of(read_run(run.root).verdicts, calibrated=True)
    assert before is not None
    assert after is not None
    assert after.share == pytest.approx(before.share + 2 * 0.35 / 13)  # both were wrong, with 0.65 before


def test_the_noise_estimate_has_an_interval_and_says_how_it_was_made(structured: RunFolder) -> None:
    verdicts = read_table(structured.verdicts, VERDICTS)
    text = parse(structured.report).text("counts")
    share = 100 - 100 * sum(verdicts["p_clean"].to_pylist()) / len(verdicts)
    assert f"{share:.1f}\u00a0% of the labels wrong".replace("\u00a0", " ") in text
    assert "95 % interval" in text
    assert "bootstrap over labels" in parse(structured.report).text("look")


def test_the_fixed_rules_claim_no_probabilities(page: Page) -> None:
    assert "of the labels not kept" in page.text("counts")
    assert "no probabilities" in page.text("look")
    assert page.rows["settings"][0] == ["setting", "removed", "share", "precision", "recall"]
    assert "precision-box" not in page.texts


def test_the_sliders_look_up_what_the_table_says(page: Page) -> None:
    (section,) = [a for tag, a in page.tags if tag == "section" and "data-sweep" in a]
    data = json.loads(str(section["data-sweep"]))
    at = data["angle"]["at"].index(75.0)
    assert data["angle"]["official"]["removed"][at] == 3
    assert data["images"] == 6
    assert ["official, 75\u00b0", "3", "50.0\u00a0%", "66.7\u00a0%", "66.7\u00a0%"] in page.rows["settings"]
    assert 0 < data["axis"]["left"] < data["axis"]["right"] <= 1


def test_the_page_can_be_walked_without_eyes(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    assert [tags.count(tag) for tag in ("main", "header", "nav", "footer", "h1")] == [1] * 5
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    assert all("scope" in a for tag, a in page.tags if tag == "th")
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, a in page.tags:
        assert {str(a[k]).lstrip("#") for k in ("aria-labelledby", "aria-describedby", "href") if k in a} <= set(ids)
    assert [a["tabindex"] for _, a in page.tags if a.get("class") == "scroll"] == ["0"] * tags.count("table")


@pytest.mark.parametrize("pictures", [True, False])
def test_faces_that_are_not_at_hand_are_left_out(tmp_path: Path, pictures: bool) -> None:
    run = build_run(tmp_path, pictures=pictures)
    for path in (tmp_path / "images").glob("*.png"):
        path.write_bytes(b"no more")
    page = parse(write_report(run.root))
    assert "The images are not at hand" in page.text("removed")


def test_hostile_names_stay_text(page: Page, shown: RunFolder) -> None:
    source = shown.report.read_text(encoding="utf-8")
    assert source.count("<script") == 1  # ours
    assert {tag for tag, _ in page.tags}.isdisjoint({"iframe", "link", "object", "b/"})
    assert HOSTILE in "".join(page.texts["removed"])
    assert page.text("configuration").count("<script>alert('x')</script>") == 1


def test_the_page_needs_nothing_but_itself(page: Page, shown: RunFolder) -> None:
    source = shown.report.read_text(encoding="utf-8")
    references = [str(a[key]) for _, a in page.tags for key in ("src", "href", "srcset", "action") if key in a]
    assert references
    assert all(reference.startswith(("data:image/", "#")) for reference in references)
    assert not re.search(r"url\(|@import|https?:", source)
    assert not [a for _, a in page.tags if any(key.startswith("on") or key == "style" for key in a)]
    (policy,) = [str(a["content"]) for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    for tag in ("style", "script"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        assert text
        digest = base64.b64encode(hashlib.sha256(text[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert len(source) < 500_000


def test_equal_runs_give_equal_pages(shown: RunFolder) -> None:
    first = shown.report.read_bytes()
    assert write_report(shown.root).read_bytes() == first
    assert [path.name for path in shown.root.iterdir() if "report" in path.name] == ["report.html"]


def test_nothing_judged_and_nothing_removed_are_said(tmp_path: Path) -> None:
    page = parse(write_report(build_run(tmp_path / "kept", SAMPLES[:1]).root))
    assert "Nothing was removed." in page.text("removed")
    assert "No label lost an image." in page.text("classes")
    page = parse(write_report(build_run(tmp_path / "broken", SAMPLES[-1:]).root))
    assert "0 kept" in page.text("counts")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
