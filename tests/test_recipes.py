from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from purify.cli import main
from purify.config import PurifyConfig
from purify.config_files import load_config, recipe_files
from purify.models.heads import Margin
from purify.pipeline.proof_plan import ProofPlan, plan_cells, seeded
from purify.training.schedule import make_schedule

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
FILES = sorted(RECIPES.glob("*.toml"))


def test_there_are_the_cpu_default_and_the_papers() -> None:
    assert {"cpu", "ms1mv0-iresnet50", "ms1mv0-iresnet100"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_config_reads_each(path: Path) -> None:
    config = load_config(path)
    assert config.train.batch_size > 1
    printed = CliRunner().invoke(main, ["config", "--config", str(path)], catch_exceptions=False)
    assert printed.exit_code == 0
    assert f'backbone = "{config.model.backbone}"' in printed.output


def test_a_recipe_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe_files() == {path.stem: path for path in FILES}
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(main, ["config", "--config", "ms1mv0-iresnet50"], catch_exceptions=False)
    assert 'backbone = "iresnet50"' in printed.output
    refused = CliRunner().invoke(main, ["config", "--config", "ms1mv0"], catch_exceptions=False)
    assert refused.exit_code == 2
    assert "'ms1mv0' is no file and no recipe (cpu, invert-cpu" in refused.output
    assert "ms1mv0-iresnet100" in refused.output
    (tmp_path / "cpu").write_text("seed = 7\n")
    assert "seed = 7" in CliRunner().invoke(main, ["config", "--config", "cpu"], catch_exceptions=False).output


def test_the_cpu_recipe_is_the_default() -> None:
    assert load_config(RECIPES / "cpu.toml") == PurifyConfig()


def test_the_cpu_recipe_of_inversion_is_the_default() -> None:
    text = (RECIPES / "invert-cpu.toml").read_text(encoding="utf-8")
    assert load_config(RECIPES / "invert-cpu.toml") == PurifyConfig()
    assert set(tomllib.loads(text)["invert"]) == set(PurifyConfig().invert.recipe()) - {
        "margin"
    }  # none: the network's own


def test_the_papers_recipe_of_inversion_is_the_papers() -> None:
    recipe = load_config(RECIPES / "invert-paper.toml").invert
    assert (recipe.learning_rate, recipe.schedule, recipe.steps, recipe.batch_size) == (0.25, "constant", 20_000, 256)
    assert (recipe.batchnorm, recipe.total_variation, recipe.norm) == (0.05, 1e-3, 1e-4)
    assert (recipe.start_std, recipe.octaves, recipe.clip, recipe.jitter, recipe.flip) == (1.0, 1, False, 0, False)


@pytest.mark.parametrize("depth", [50, 100])
def test_the_papers_recipe_is_the_papers(depth: int) -> None:
    config = load_config(RECIPES / f"ms1mv0-iresnet{depth}.toml")
    train, images = config.train, 10_000_000
    assert config.model.backbone == f"iresnet{depth}"
    assert (train.batch_size, train.subcenters, train.scale) == (512, 3, 64)
    schedule = make_schedule(train, samples=images)
    assert (schedule.epochs, schedule.grow_step, schedule.margin_at(0)) == (18, 0, Margin(m2=0.5))
    epoch = schedule.steps_per_epoch
    rates = [schedule.learning_rate_at(step) for step in (0, 8 * epoch - 1, 8 * epoch, 14 * epoch - 1, 14 * epoch)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


@pytest.mark.parametrize(
    ("name", "images", "drops", "epochs"), [("ms1mv0", 10_000_000, (8, 14), 18), ("casia", 490_623, (20, 28), 32)]
)
def test_a_proof_starts_with_its_recipe_as_it_is(name: str, images: int, drops: tuple[int, int], epochs: int) -> None:
    path = RECIPES / f"prove-{name}.toml"
    config = load_config(path)
    schedule = make_schedule(config.train, samples=images)
    assert (config.train.batch_size, config.train.subcenters, config.train.scale, schedule.epochs) == (
        512,
        3,
        64,
        epochs,
    )
    per_epoch = schedule.steps_per_epoch
    rates = [schedule.learning_rate_at(epoch * per_epoch) for epoch in (0, *drops)]
    assert rates == pytest.approx([0.1, 0.01, 0.001])
    names = [cell.name for cell in plan_cells(ProofPlan(), config, truth=True, extractor=None)]
    assert names[:7] == ["k1-raw", "k3-raw", "official-70", "official-75", "official-80", "official-85", "calibrated"]
    assert seeded(config, 7, jobs=1).extractor.name == "scratch"
    # The command in the file's first lines has the options that there are.
    comment = "".join(line.removeprefix("#") for line in path.read_text().splitlines() if line.startswith("#"))
    words = comment[comment.index("purify prove") : comment.index("Every training")].replace("\\", " ").split()
    known = {option for parameter in main.commands["prove"].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert f"recipes/prove-{name}.toml" in words
