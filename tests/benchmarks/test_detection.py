from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from benchmarks import detection, figures, rivals
from benchmarks.detection import choose, main, run_benchmark
from benchmarks.figures import method_figures
from benchmarks.methods import Method, all_methods
from benchmarks.rivals import Scores
from benchmarks.scenarios import Scenario, Truth, read_scenario
from benchmarks.vectors import LabeledVectors, centered_unit_rows
from purify.embedding.store import EmbeddingWriter
from purify.errors import InputError
from purify.evaluation.detection import average_precision
from purify.storage.files import write_table

CLASSES, EACH, DIM = 12, 20, 16
FLIPS, OUTLIERS = 24, 12


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with embeddings and two scenarios of 12 well separated people: one clean, one with noise."""
    folder = tmp_path_factory.mktemp("easy")
    rng = np.random.default_rng(7)
    centers = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    person = np.repeat(np.arange(CLASSES), EACH)
    stranger = np.arange(OUTLIERS) % (DIM - CLASSES) + CLASSES
    vectors = centers[np.r_[person, stranger]] + rng.normal(0, 0.06, (len(person) + OUTLIERS, DIM))
    paths = [f"faces/{row:03}.jpg" for row in range(len(vectors))]
    with EmbeddingWriter(folder / "embeddings.parquet", DIM) as writer:
        writer.write(paths, (3 * vectors + 1).astype(np.float32))

    names = np.array([f"person {number}" for number in range(CLASSES)], dtype=object)
    true = np.r_[names[person], np.full(OUTLIERS, "")]
    given = np.r_[names[person], names[np.arange(OUTLIERS) % CLASSES]]
    kind = np.r_[np.full(len(person), "clean", dtype=object), np.full(OUTLIERS, "outlier")]
    flipped = rng.permutation(len(person))[:FLIPS]
    noisy = given.copy()
    noisy[flipped] = names[(person[flipped] + 1 + rng.integers(CLASSES - 1, size=FLIPS)) % CLASSES]
    noisy_kind = kind.copy()
    noisy_kind[flipped] = "flip"

    (folder / "scenarios").mkdir()
    for name, labels, kinds, rows in (("clean", given, kind, len(person)), ("noisy", noisy, noisy_kind, len(given))):
        columns = {"path": paths, "label": labels, "true_label": true, "kind": kinds}
        table = pa.table({key: pa.array(list(values[:rows]), pa.string()) for key, values in columns.items()})
        write_table(table, folder / "scenarios" / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def noisy(easy: Path) -> Scenario:
    return read_scenario("noisy", easy / "scenarios" / "noisy.parquet", easy / "embeddings.parquet")


def test_a_scenario_holds_what_its_table_says(noisy: Scenario) -> None:
    assert noisy.data.classes == CLASSES
    np.testing.assert_allclose(np.linalg.norm(noisy.data.vectors, axis=1), 1, atol=1e-6)
    assert noisy.kinds() == {"clean": CLASSES * EACH - FLIPS, "flip": FLIPS, "outlier": OUTLIERS}
    assert noisy.truth.is_noise.sum() == FLIPS + OUTLIERS
    assert (noisy.truth.true_index == -1).sum() == OUTLIERS
    right = ~noisy.truth.is_noise
    assert (noisy.truth.true_index[right] == noisy.data.label_index[right]).all()


def test_truth_follows_its_sample_and_unknown_truth_is_not_counted(easy: Path, tmp_path: Path) -> None:
    columns = {
        "path": ["faces/020.jpg", "faces/000.jpg", "faces/021.jpg"],
        "label": ["b", "a", "a"],
        "true_label": ["b", None, "b"],
    }
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    write_table(table, tmp_path / "few.parquet")
    truth = read_scenario("few", tmp_path / "few.parquet", easy / "embeddings.parquet").truth
    assert truth.known.tolist() == [True, False, True]
    assert truth.is_noise.tolist() == [False, False, True]
    assert truth.true_index.tolist() == [1, -1, 1]
    assert truth.kind is None


@pytest.mark.parametrize(
    "name",
    ["official", "paper", "cleanlab", "argmax", "pml", "knn", "class_mean_otsu", "aum", "dbscan", "simifeat"],
)
def test_on_an_easy_set_a_method_ranks_and_cuts_well(noisy: Scenario, name: str) -> None:
    method = all_methods()[name]
    if reason := method.missing():
        pytest.skip(reason)
    answer = method_figures(method.run(noisy, 0), noisy.truth)
    assert answer["average_precision"] > 0.97
    assert answer["clean_kept"] > 0.9
    # cleanlab's default looks for confident mistakes, which strangers are not.
    assert (answer["recall_per_kind"]["flip"] if name == "cleanlab" else answer["recall"]) > 0.85


@pytest.mark.parametrize("name", ["selfclean", "class_mean_mad"])
def test_methods_whose_own_cut_is_timid_rank_well(noisy: Scenario, name: str) -> None:
    answer = method_figures(all_methods()[name].run(noisy, 0), noisy.truth)
    assert answer["average_precision"] > 0.9
    assert answer["clean_kept"] > 0.9


def test_random_ranks_as_chance_does(noisy: Scenario) -> None:
    answer = method_figures(all_methods()["random"].run(noisy, 0), noisy.truth)
    assert 0.3 < answer["auroc"] < 0.7
    assert 0.35 < answer["clean_kept"] < 0.65


@pytest.mark.parametrize("name", ["argmax", "pml", "aum", "simifeat", "random"])
def test_the_same_seed_gives_the_same_scores(noisy: Scenario, name: str) -> None:
    method = all_methods()[name]
    if reason := method.missing():
        pytest.skip(reason)
    first, again = (method.run(noisy, 3) for _ in range(2))
    np.testing.assert_array_equal(first.trust, again.trust)
    np.testing.assert_array_equal(first.removed, again.removed)


def test_argmax_puts_a_flip_where_it_belongs(noisy: Scenario) -> None:
    answer = method_figures(all_methods()["argmax"].run(noisy, 0), noisy.truth)
    assert answer["flips_home"] == 1
    # It has no "nobody", so each stranger that it finds goes to a wrong person.
    assert answer["relabel_accuracy"] == pytest.approx(FLIPS / answer["n_relabeled"])


def test_no_row_is_in_the_centroid_that_judges_it() -> None:
    """Two classes of one row: without that row nothing is left of its class, and its cosine is 0."""
    data = LabeledVectors(np.eye(2, dtype=np.float32), np.array([0, 1]), 2)
    np.testing.assert_allclose(rivals.out_of_fold_probabilities(data, 0), 0.5)


def test_folds_are_stratified() -> None:
    labels = np.repeat(np.arange(3), [5, 10, 15])
    fold = rivals._stratified_folds(labels, 0)
    counts = np.array([[(fold[labels == label] == number).sum() for number in range(5)] for label in range(3)])
    np.testing.assert_array_equal(counts, [[1] * 5, [2] * 5, [3] * 5])


def test_otsu_parts_two_groups() -> None:
    assert rivals.otsu_cut(np.array([0.9, 0.1, 0.2, 0.8, 0.15])) == 0.8
    assert rivals.otsu_cut(np.array([0.5])) == -np.inf


def test_selfclean_score_by_hand() -> None:
    """Angles 0, 60 (label 0) and 90 (label 1): distances (1 - cos) / 2 are 0.25, 0.5 and 0.067."""
    angles = np.radians([0, 60, 90])
    data = LabeledVectors(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), np.array([0, 0, 1]), 2)
    near, far, mates = (1 - np.cos(np.radians(30))) / 2, 0.5, 0.25
    expected = [
        far**2 / (mates**2 + far**2),
        near**2 / (mates**2 + near**2),
        near**2 / (far**2 + near**2),  # alone in its class: its own distance is the largest there is
    ]
    np.testing.assert_allclose(rivals.selfclean_label_errors(data, 0).trust, expected, atol=1e-6)


def test_selfclean_cut_on_logistic_scores_is_the_quantile_that_it_asks_for() -> None:
    logits = np.linspace(1e-5, 1 - 1e-5, 100_001)
    trust = 1 / (1 + np.exp(-(2 * np.log(logits / (1 - logits)) + 1)))
    assert (trust < rivals.selfclean_cut(trust)).mean() == pytest.approx(0.01 * 0.05, rel=0.05)
    assert rivals.selfclean_cut(np.ones(3)) == -np.inf


def test_figures_of_a_method_without_probability_or_relabels() -> None:
    truth = Truth(
        known=np.array([True, True, True, False]),
        is_noise=np.array([False, True, True, False]),
        true_index=np.array([0, 1, -1, -1]),
        kind=np.array(["clean", "flip", "outlier", None], dtype=object),
    )
    trust, removed = np.array([0.9, 0.1, 0.8, 0.0]), np.array([False, True, False, True])
    plain = method_figures(Scores(trust, removed, "order"), truth)
    assert plain["n"] == 3
    assert plain["recall_per_kind"] == {"flip": 1.0, "outlier": 0.0}
    assert [plain[key] for key in ("ece", "brier", "relabel_accuracy", "flips_home")] == [None] * 4
    full = method_figures(Scores(trust, removed, "probability", np.array([-1, 1, 0, 1])), truth)
    assert full["brier"] == pytest.approx((0.1**2 + 0.1**2 + 0.8**2) / 3)
    assert (full["n_relabeled"], full["relabel_accuracy"], full["flips_home"]) == (2, 0.5, 1.0)
    assert full["average_precision"] == average_precision(1 - trust[:3], truth.is_noise[:3]) == 1.0


def test_centering_takes_the_common_direction_away() -> None:
    rows = np.array([[11, 10], [9, 10], [10, 12]], np.float32)
    np.testing.assert_allclose(np.linalg.norm(centered_unit_rows(rows), axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(centered_unit_rows(rows)[2], [0, 1], atol=1e-6)


def test_a_method_whose_package_is_missing_is_skipped_with_the_remedy(easy: Path) -> None:
    absent = Method("absent", all_methods()["random"].run, "no_such_package_anywhere")
    scenarios = {"noisy": easy / "scenarios" / "noisy.parquet"}
    answer = run_benchmark(scenarios, easy / "embeddings.parquet", [absent, all_methods()["random"]], seed=0)
    assert list(answer["scenarios"]["noisy"]["methods"]) == ["random"]
    assert "no_such_package_anywhere" in answer["skipped"]["absent"]
    assert ".[benchmark]" in answer["skipped"]["absent"]
    with pytest.raises(InputError, match=r"\.\[benchmark\]"):
        choose(["absent"], scenarios, {"absent": absent})


def test_only_takes_methods_and_scenarios() -> None:
    scenarios, methods = {"a": Path("a"), "b": Path("b")}, all_methods()
    some, chosen = choose(["b"], scenarios, methods)
    assert (list(some), [method.name for method in chosen]) == (["b"], list(methods))
    some, chosen = choose(["random", "argmax"], scenarios, methods)
    assert (list(some), [method.name for method in chosen]) == (["a", "b"], ["argmax", "random"])
    with pytest.raises(InputError, match="neither a method nor a scenario"):
        choose(["c"], scenarios, methods)


def test_the_command_prints_and_writes_everything(easy: Path, tmp_path: Path) -> None:
    arguments = ["--scenarios", str(easy / "scenarios"), "--embeddings", str(easy / "embeddings.parquet")]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "out"), "--seed", "1"])
    assert result.exit_code == 0, result.output
    answer = json.loads((tmp_path / "out" / "detection.json").read_text())
    assert answer["seed"] == 1
    assert answer["versions"]["numpy"] == np.__version__
    assert answer["embeddings"]["file"] == "embeddings.parquet"
    ran = [name for name, method in all_methods().items() if not method.missing()]
    for scenario in ("clean", "noisy"):
        assert sorted(answer["scenarios"][scenario]["methods"]) == sorted(ran)
    assert answer["scenarios"]["noisy"]["rows"] == CLASSES * EACH + OUTLIERS
    assert answer["scenarios"]["clean"]["methods"]["official"]["average_precision"] is None
    text = (tmp_path / "out" / "detection.md").read_text()
    assert "### clean" in text
    assert "| official | - | - |" in text
    assert (tmp_path / "out" / "detection.png").read_bytes().startswith(b"\x89PNG")
    for name in ran:
        assert name in result.output


@pytest.mark.parametrize("argument", ["nobody", "--scenarios"])
def test_wrong_usage_exits_with_2_and_one_message(easy: Path, tmp_path: Path, argument: str) -> None:
    given = [argument, str(tmp_path)] if argument.startswith("--") else ["--only", argument]
    arguments = ["--scenarios", str(easy / "scenarios"), "--embeddings", str(easy / "embeddings.parquet"), *given]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1


def test_every_column_is_a_figure(noisy: Scenario) -> None:
    answer = method_figures(all_methods()["argmax"].run(noisy, 0), noisy.truth) | {"seconds": 0.0}
    assert {column.path[0] for column in figures._COLUMNS} <= set(answer)


@pytest.mark.skipif(find_spec("cleanlab") is None, reason="needs the extra benchmark")
def test_cleanlab_gets_the_probabilities_that_argmax_has(noisy: Scenario) -> None:
    tool, plain = (all_methods()[name].run(noisy, 0) for name in ("cleanlab", "argmax"))
    np.testing.assert_allclose(tool.trust, plain.trust)


def test_the_default_files_are_those_for_development(faces: Path) -> None:
    found = detection.scenario_files(faces / "noisy")
    assert {"clean", "mixed35", "structure"} <= set(found)
