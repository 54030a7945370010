"""Training from given weights, with a frozen backbone, and what the input may not change."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from purify.config import ModelConfig, TrainConfig
from purify.config_files import load_config
from purify.errors import InputError
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint
from purify.training.loop import train
from purify.training.training_set import TrainingSet


@pytest.fixture
def data(pattern_table: Path) -> TrainingSet:
    return TrainingSet.of_table(pq.read_table(pattern_table), name="table")


def _same_weights(a: Checkpoint, b: Checkpoint) -> bool:
    return torch.equal(a.head_weight, b.head_weight) and all(
        torch.equal(tensor, b.backbone_state[name]) for name, tensor in a.backbone_state.items()
    )


@pytest.mark.slow
def test_a_frozen_backbone_stays_and_its_head_learns(
    data: TrainingSet, model: ModelConfig, recipe: TrainConfig, tmp_path: Path
) -> None:
    recipe = recipe.model_copy(update={"min_steps": 100})
    first = train(data, model, recipe, subcenters=1, seed=0)
    torch.save(first.backbone_state, tmp_path / "mine.pth")
    given = model.model_copy(update={"weights": str(tmp_path / "mine.pth")})
    tuned = train(data, given, recipe.model_copy(update={"freeze_backbone": True}), subcenters=3, seed=1)
    for name, tensor in first.backbone_state.items():  # running statistics too
        torch.testing.assert_close(tuned.backbone_state[name], tensor, atol=0, rtol=0)
    assert tuned.head_weight.shape == (6, 3, 16)
    moved = train(data, given, recipe, subcenters=3, seed=1)
    assert not torch.equal(moved.backbone_state["conv1.weight"], first.backbone_state["conv1.weight"])


def test_only_given_weights_are_frozen(tmp_path: Path) -> None:
    torch.save(build_backbone("iresnet_small", embedding_dim=8, input_size=32).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"train\.freeze_backbone needs model\.weights"):
        load_config(None, ["train.freeze_backbone=true"])
    load_config(None, ["train.freeze_backbone=true", f"model.weights={tmp_path / 'w.pth'}"])


@pytest.mark.slow
def test_threads_and_cache_do_not_change_the_weights_and_masks_do(
    data: TrainingSet, model: ModelConfig, recipe: TrainConfig
) -> None:
    plain, otherwise, masked = (
        train(data, model, recipe.model_copy(update={"min_steps": 72} | values), subcenters=2, seed=4)
        for values in ({}, {"workers": 3, "cache_mb": 0}, {"mask_probability": 0.3})
    )
    assert _same_weights(plain, otherwise)
    assert not _same_weights(plain, masked)


def test_how_fast_images_are_read_is_no_part_of_the_recipe() -> None:
    fast = TrainConfig(workers=7, cache_mb=0, threads=5)
    assert fast.recipe() == TrainConfig().recipe()
    assert TrainConfig(mask_probability=0.5).recipe() != TrainConfig().recipe()
    assert "cache_mb" not in fast.recipe()
