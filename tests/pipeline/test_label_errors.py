from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from purify import Verdicts, find_label_errors
from purify.analysis.rules.calibrated import CALIBRATED
from purify.analysis.rules.rule import RuleContext, identifier
from purify.config_files import load_config
from purify.errors import InputError
from purify.pipeline.manifest_analysis import analyze_manifest
from purify.report.run_tables import read_run, run_embeddings
from purify.storage.files import read_table
from purify.storage.run_folder import RunFolder
from purify.tables.apply import apply_verdicts
from purify.tables.manifest import load_manifest
from purify.tables.schema import CLASS_REPORT, CLEANED, MANIFEST, VERDICTS, Decision

CLASSES, IMAGES = 25, 12


class People:
    """Drawn people; every tenth label is that of another one."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.person = np.repeat(np.arange(CLASSES), IMAGES)
        shown = rng.normal(size=(CLASSES, 32))[self.person] + 0.5 * rng.normal(size=(len(self.person), 32))
        self.embeddings = shown.astype(np.float32)
        given = self.person.copy()
        given[::10] = (given[::10] + 1 + rng.integers(0, CLASSES - 1, len(given[::10]))) % CLASSES
        self.wrong = given != self.person
        self.labels = [f"person {i:02d}" for i in given]
        self.ids = [f"{i:03d}.png" for i in rng.permutation(len(given))]
        self.table = pa.table({"path": self.ids, "label": self.labels})
        self.vectors = pa.table({"path": self.ids, "embedding": self.embeddings.tolist()})
        self.shuffled = self.vectors.take(pa.array(rng.permutation(len(given))))
        self.table_file, self.vectors_file = folder / "table.parquet", folder / "vectors.parquet"
        pq.write_table(self.table, self.table_file)
        pq.write_table(self.shuffled, self.vectors_file)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def verdicts(people: People) -> Verdicts:
    return find_label_errors(people.embeddings, people.labels, people.ids)


def test_wrong_labels_are_found_and_put_right(people: People, verdicts: Verdicts) -> None:
    assert (verdicts.is_error == people.wrong).mean() > 0.99
    assert (verdicts.keep == ~verdicts.is_error).all()
    relabeled = verdicts.decision == Decision.RELABEL.value
    truth = np.array([f"person {i:02d}" for i in people.person], dtype=object)
    assert (verdicts.new_label[relabeled] == truth[relabeled]).mean() > 0.99
    assert [label is None for label in verdicts.new_label] == (~relabeled).tolist()
    assert verdicts.ids.tolist() == people.ids
    assert verdicts.labels.tolist() == people.labels
    assert verdicts.noise_rate.low <= people.wrong.mean() <= verdicts.noise_rate.high
    assert verdicts.noise_rate.value == pytest.approx(people.wrong.mean(), abs=0.02)
    assert len(verdicts) == len(people.ids)
    assert verdicts.to_pandas()["p_clean"].tolist() == verdicts.p_clean.tolist()
    assert verdicts.classes["n"].sum() == len(people.ids)


@pytest.mark.parametrize("form", ["files", "strings", "csv", "frames", "tables", "frame of columns", "series", "mixed"])
def test_the_form_of_the_input_does_not_matter(form: str, people: People, verdicts: Verdicts, tmp_path: Path) -> None:
    frame, vectors = people.table.to_pandas(), people.shuffled.to_pandas()
    csv = tmp_path / "table.csv"
    frame.to_csv(csv, index=False)
    found = {
        "files": lambda: find_label_errors(people.vectors_file, people.table_file),
        "strings": lambda: find_label_errors(str(people.vectors_file), str(people.table_file)),
        "csv": lambda: find_label_errors(people.vectors_file, csv),
        "frames": lambda: find_label_errors(vectors, frame),
        "tables": lambda: find_label_errors(people.shuffled, people.table),
        "frame of columns": lambda: find_label_errors(pd.DataFrame(people.embeddings), frame),
        "series": lambda: find_label_errors(people.embeddings, frame["label"], frame["path"]),
        "mixed": lambda: find_label_errors(people.vectors_file, people.labels, people.ids),
    }[form]()
    assert found.analysis.verdicts.equals(verdicts.analysis.verdicts)
    assert found.analysis.class_report.equals(verdicts.analysis.class_report)


def test_rows_without_ids_get_numbers_or_the_ids_of_the_embeddings(people: People, verdicts: Verdicts) -> None:
    plain = find_label_errors(people.embeddings, people.labels)
    assert plain.ids[[0, -1]].tolist() == ["000", "299"]
    assert (plain.is_error == verdicts.is_error).all()
    assert find_label_errors(people.vectors, people.labels).ids.tolist() == people.ids
    numbers = find_label_errors(people.embeddings, people.person)
    assert numbers.labels[:2].tolist() == ["0", "0"]


def test_it_gives_what_the_command_gives_and_fitted_subcenters_decide_nothing(
    people: People, verdicts: Verdicts
) -> None:
    found = find_label_errors(people.vectors_file, people.table_file)
    command = analyze_manifest(load_manifest(people.table_file), people.vectors_file, load_config())
    assert found.analysis.verdicts.equals(command.verdicts)
    assert found.analysis.class_report.equals(command.class_report)
    fitted = find_label_errors(people.vectors_file, people.table_file, subcenters=3)
    for name in ("decision", "new_label", "reason", "p_clean", "p_other", "other_label"):
        assert fitted.analysis.verdicts[name].equals(verdicts.analysis.verdicts[name]), name
    assert verdicts.to_pandas()["subcenter"][~people.wrong].eq(0).mean() > 0.95
    assert verdicts.to_pandas()["subcenter"][people.wrong].gt(0).mean() > 0.9
    angle = verdicts.to_pandas()["angle_dominant"]
    assert angle[people.wrong].min() > angle[~people.wrong].median()


@pytest.mark.parametrize("rule", ["official", "paper"])
def test_fixed_angles_are_fitted_as_by_the_command(rule: str, people: People) -> None:
    found = find_label_errors(people.vectors_file, people.table_file, rule=rule)
    config = load_config(None, [f"analyze.rule={rule}"])
    assert found.analysis.verdicts.equals(
        analyze_manifest(load_manifest(people.table_file), people.vectors_file, config).verdicts
    )
    assert found.rule == f"{rule}/1"
    assert found.noise_rate.value == pytest.approx(1 - found.keep.mean())


def test_a_rule_may_be_a_function(people: People) -> None:
    def keep_even(context: RuleContext) -> np.ndarray:
        return np.array([int(name.as_py()[:3]) % 2 == 0 for name in context.sample_ids])

    found = find_label_errors(people.embeddings, people.labels, people.ids, rule=keep_even)
    assert found.keep.tolist() == [int(name[:3]) % 2 == 0 for name in people.ids]
    assert found.rule == "keep_even/1"


def test_a_set_with_too_few_labels_is_kept_whole_with_a_warning(people: People) -> None:
    few = np.flatnonzero(people.person < 2)
    with pytest.warns(UserWarning, match="nothing was judged.* only 2 labels have two different pictures or more"):
        found = find_label_errors(people.embeddings[few], people.person[few])
    assert found.rule == "unjudged/1"
    assert found.keep.all()
    assert set(found.reason) == {"too_few_to_judge"}


def test_images_removed_for_their_looks_are_told() -> None:
    """Thirty things from two sides that have nothing in common."""
    rng = np.random.default_rng(0)
    sides = rng.normal(size=(30, 2, 1, 48)) + 0.3 * rng.normal(size=(30, 2, 12, 48))
    vectors, labels = sides.reshape(-1, 48).astype(np.float32), np.repeat(np.arange(30), 24)
    with pytest.warns(UserWarning, match="have their like under their own label.* several_looks=True"):
        assert find_label_errors(vectors, labels).keep.mean() < 0.7
    assert find_label_errors(vectors, labels, several_looks=True).keep.mean() > 0.99


def test_settings_reach_the_rule(people: People) -> None:
    asked = find_label_errors(people.embeddings, people.labels, review_budget=9, min_images=2, seed=1)
    assert (asked.decision == "review").sum() == 9
    assert not asked.is_error[asked.decision == "review"].any()
    assert asked.config.analyze.min_images == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a"] * 3}, "3 labels, but 300 ids|3 labels, but 300 embeddings"),
        ({"labels": ["a"] * 299 + [""]}, "labels: row 300 is empty"),
        ({"labels": pa.table({"name": ["a"] * 300})}, "labels: missing column label; the table has: name"),
        ({"ids": ["x"] * 300}, "ids: row 2: x is in row 1 already"),
        ({"embeddings": np.zeros((300, 2, 2))}, r"expected numbers \[N, D\], got float64 of shape"),
        ({"embeddings": np.full((300, 4), np.nan)}, "row 1: the embedding of 000 is not finite"),
        ({"images": Path(__file__).parent}, "images .*: no image of this run is there; sample ids, such as '000'"),
        ({"rule": "calibrate"}, "there is no rule 'calibrate'; did you mean calibrated"),
        ({"rule": "official", "precision": 0.9}, "precision: rule official knows no probabilities"),
        ({"neighbours": 3}, "analyze.neighbours"),
        ({"threshold": 500.0}, "analyze.threshold"),
        ({"precision": 0.999}, "the data can't support precision 0.999"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, message: str, people: People) -> None:
    arguments = {"embeddings": people.embeddings, "labels": people.labels} | change
    with pytest.raises(InputError, match=message):
        find_label_errors(**arguments)


def test_a_saved_run_is_one_that_the_other_commands_read(people: People, verdicts: Verdicts, tmp_path: Path) -> None:
    folder = verdicts.save(tmp_path / "run")
    run, tables = RunFolder(folder), read_run(folder)
    assert tables.verdicts.equals(verdicts.analysis.verdicts)
    assert tables.class_report.equals(verdicts.analysis.class_report)
    assert tables.calibrated
    assert run_embeddings(folder, tables).place == folder / "round-1" / "embeddings.parquet"
    for name, schema in (("verdicts", VERDICTS), ("class_report", CLASS_REPORT)):
        assert read_table(folder / f"{name}.parquet", schema).equals(read_table(getattr(run, name), schema))
    cleaned = apply_verdicts(read_table(run.manifest, MANIFEST), verdicts.analysis.verdicts).cleaned
    assert read_table(run.cleaned, CLEANED).equals(cleaned)
    judged_by = {"rule": identifier(CALIBRATED), "asked": "calibrated", "probabilities": True, "fallback": False}
    undoubted = {"why": "the rule asked for", "weak": "", "noise_bounds": None, "neighbor_recall": 1.0}
    undoubted |= {"series": None, "suspected_looks": None}
    assert tables.info["judged_by"] == judged_by | undoubted
    counts = tables.info["counts"]
    assert counts["rows"] == counts["cleaned"] + counts["removed"] + counts["not_ok"] == len(people.ids)
    again = find_label_errors(folder / "round-1" / "embeddings.parquet", folder / "manifest.parquet")
    assert again.analysis.verdicts.equals(verdicts.analysis.verdicts)


def test_a_run_with_models_is_not_overwritten(verdicts: Verdicts, tmp_path: Path) -> None:
    (tmp_path / "round-1" / "checkpoint").mkdir(parents=True)
    with pytest.raises(InputError, match="holds a run with trained models"):
        verdicts.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["round-1"]


def test_the_report_shows_faces_where_images_are_given(people: People, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in people.ids:
        Image.new("RGB", (16, 16), (200, 100, 50)).save(images / name)
    found = find_label_errors(people.vectors_file, people.table_file, images=images)
    page = found.report(tmp_path / "run")
    assert page == tmp_path / "run" / "report.html"
    with_faces = page.read_text()
    assert "data:image/jpeg" in with_faces or "data:image/webp" in with_faces or "data:image/png" in with_faces
    uris = read_table(tmp_path / "run" / "manifest.parquet", MANIFEST)["uri"].to_pylist()
    assert uris[0] == (images / people.ids[0]).as_uri()
