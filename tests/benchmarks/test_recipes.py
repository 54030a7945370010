from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recipes import FILTER, Inputs, Recipe, markdown, matrix, run_recipes
from purify.config import PurifyConfig
from purify.errors import InputError

CLASSES, PER_CLASS = 6, 16
CONFIG = PurifyConfig.model_validate(
    {
        "model": {"embedding_dim": 16, "input_size": 32},
        "train": {"threads": 1, "epochs": 4, "min_steps": 80, "batch_size": 16, "precision": "float32"},
    }
)


def test_the_matrix_has_every_cell_once() -> None:
    cells = matrix(seed=3)
    assert len({cell.name for cell in cells}) == len(cells) == 19
    assert sum(cell.negative_filter == FILTER for cell in cells) == 9
    assert all(cell.seed == 3 for cell in cells)


@pytest.fixture
def inputs(tmp_path: Path, draw_stripes: Callable[[Path, float, np.random.Generator], None]) -> Inputs:
    """Six classes of stripes, two images of each under a wrong label, and pairs of other stripes."""
    rng, rows, pairs = np.random.default_rng(0), [], []
    for label in range(CLASSES):
        for k in range(PER_CLASS):
            true = label if k > 1 else (label + 1) % CLASSES
            draw_stripes(tmp_path / "images" / f"{label}/{k}.png", np.pi * true / CLASSES, rng)
            rows.append({"path": f"{label}/{k}.png", "label": f"class {label}", "true_label": f"class {true}"})
        for k in range(2):
            draw_stripes(tmp_path / "images" / f"new {label}/{k}.png", np.pi * (label + 0.5) / CLASSES, rng)
        other = (label + 1) % CLASSES
        pairs.append({"a": f"new {label}/0.png", "b": f"new {label}/1.png", "same": 1})
        pairs.append({"a": f"new {label}/0.png", "b": f"new {other}/1.png", "same": 0})
    for name, table in (("noisy/mixed35.csv", rows), ("pairs.csv", pairs)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return Inputs((tmp_path / "images",), tmp_path / "noisy", tmp_path / "pairs.csv")


@pytest.mark.slow
def test_cells_are_measured_once_and_collapse_is_a_result(inputs: Inputs, tmp_path: Path) -> None:
    recipes = [Recipe("mixed35", 2)]
    answer = run_recipes(recipes, inputs, CONFIG, tmp_path / "out")
    (good,) = answer["recipes"]
    assert not good["collapsed"]
    assert good["images"] == CLASSES * PER_CLASS
    assert all(0 < good[figure] <= 1 for figure in ("angle_ap", "calibrated_ap", "clean_kept", "auc"))
    hopeless = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"learning_rate": 1e-7})})
    (bad,) = run_recipes(recipes, inputs, hopeless, tmp_path / "hopeless")["recipes"]
    assert bad["collapsed"]
    assert bad["angle_ap"] is None
    assert all(cell["cpu_seconds"] > 0 for cell in (good, bad))
    lines = markdown([good, bad]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "| - | - | - | - | - | yes |" in lines[3]
    shutil.rmtree(tmp_path / "images")
    assert run_recipes(recipes, inputs, CONFIG, tmp_path / "out") == answer
    with pytest.raises(InputError, match="another setting"):
        run_recipes(recipes, inputs, hopeless, tmp_path / "out")
