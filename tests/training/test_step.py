from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from purify.config import ModelConfig, TrainConfig
from purify.models.process_group import SINGLE_PROCESS
from purify.models.seeding import seeded_generator
from purify.training.ema import EmaWeights
from purify.training.schedule import Schedule, make_schedule
from purify.training.step import train_step
from purify.training.train_state import TrainState, initial_state
from purify.training.training_set import TrainingSet

CLASSES, IMAGES = 5, 24


def _state(model: ModelConfig, config: TrainConfig) -> TrainState:
    return initial_state(
        model, config, classes=CLASSES, subcenters=1, seed=0, device=torch.device("cpu"), ranks=SINGLE_PROCESS
    )


def _schedule(config: TrainConfig, *, clip_norm: float | None = None) -> Schedule:
    return make_schedule(config.model_copy(update={"clip_norm": clip_norm}), samples=IMAGES)


def _data() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(IMAGES, 3, 32, 32, generator=seeded_generator(1))
    return images, torch.randint(CLASSES, (IMAGES,), generator=seeded_generator(2))


def _change(state: TrainState, schedule: Schedule, *, batches: int) -> list[torch.Tensor]:
    """What one step adds to backbone and head; batch normalization is frozen, since it sees each batch alone."""
    before = [p.detach().clone() for p in (*state.backbone.parameters(), state.head.weight)]
    state.backbone.eval()
    state.backbone.train = lambda mode=True: state.backbone  # type: ignore
    images, labels = _data()
    train_step(state, schedule, labels.view(batches, -1), images.split(IMAGES // batches))
    return [p.detach() - b for p, b in zip((*state.backbone.parameters(), state.head.weight), before, strict=True)]


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_accumulated_batches_make_the_step_of_one_large_batch(
    model: ModelConfig, recipe: TrainConfig, rate: float
) -> None:
    whole = recipe.model_copy(update={"batch_size": 24, "sample_rate": rate, "momentum": 0.0})
    parts = whole.model_copy(update={"batch_size": 8, "accumulate": 3})
    expected = _change(_state(model, whole), _schedule(whole), batches=1)
    found = _change(_state(model, parts), _schedule(parts), batches=3)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)


def test_gradients_are_clipped_to_the_norm(model: ModelConfig, recipe: TrainConfig) -> None:
    config = recipe.model_copy(update={"batch_size": 24, "momentum": 0.0, "weight_decay": 0.0, "warmup_epochs": 0.0})
    *backbone, head = _change(_state(model, config), _schedule(config, clip_norm=0.01), batches=1)
    rate = make_schedule(config, samples=IMAGES).learning_rate_at(0)
    norm = torch.cat([change.flatten() for change in backbone]).norm()
    assert float(norm) == pytest.approx(rate * 0.01, rel=1e-3)
    assert float(head.norm()) == pytest.approx(rate * 0.01, rel=1e-3)
    free, loose = (_change(_state(model, config), _schedule(config, clip_norm=c), batches=1) for c in (None, 1e9))
    assert all(torch.equal(a, b) for a, b in zip(free, loose, strict=True))


def test_the_mean_of_weights_has_the_weights_that_its_decay_says(model: ModelConfig, recipe: TrainConfig) -> None:
    state = _state(model, recipe)
    average = EmaWeights(0.5, state.backbone, state.head)
    start = average.head.clone()
    with torch.no_grad():
        state.head.weight.add_(1.0)
    for step in (100, 101):
        average.update(state.backbone, state.head, step=step)
    torch.testing.assert_close(average.head, start + 0.75)
    average.update(state.backbone, state.head, step=0)  # a mean of 1 / 10 of the old and 9 / 10 of the new
    torch.testing.assert_close(average.head, start + 0.1 * 0.75 + 0.9)


def test_without_a_warm_up_the_head_starts_with_k_random_centers(model: ModelConfig, recipe: TrainConfig) -> None:
    settings = {"classes": CLASSES, "seed": 0, "device": torch.device("cpu"), "ranks": SINGLE_PROCESS}
    state = initial_state(model, recipe, subcenters=3, **settings)  # type: ignore[arg-type]
    unit = torch.nn.functional.normalize(state.head.weight.detach(), dim=2)
    assert (unit[:, 0] * unit[:, 1]).sum(dim=1).abs().max() < 0.9
    config = recipe.model_copy(update={"warmup_share": 0.0})
    schedule = replace(_schedule(config), subcenters=3)
    images, labels = _data()
    before = state.head.weight
    train_step(state, schedule, labels[None], [images])
    assert state.head.weight is before  # nothing grew


def test_classes_come_in_the_order_of_their_first_image() -> None:
    data = TrainingSet.from_columns(["c", "a", "b"], ["3", "1", "2"], ["x", "z", "x"])
    assert list(data.sample_ids) == ["a", "b", "c"]
    assert list(data.uris) == ["1", "2", "3"]
    assert data.labels == ("z", "x")
    assert data.label_index.tolist() == [0, 1, 1]


class _Reads(TorchDispatchMode):
    """Notes the operations whose answer the host needs: on a GPU each of them waits for all that was queued."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        by_mask = function.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if by_mask or function.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.masked_select,
            torch.ops.aten.equal,
        ):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


def test_a_step_reads_nothing_back_from_the_device(model: ModelConfig, recipe: TrainConfig) -> None:
    settings = {"batch_size": 24, "clip_norm": 1.0, "ema": 0.9, "negative_filter": 0.9, "epochs": 1, "min_steps": 0}
    config = recipe.model_copy(update=settings)
    images, labels = _data()
    state, schedule = _state(model, config), _schedule(config, clip_norm=1.0)
    assert 0 in schedule.last_epoch  # the check for a collapse runs, too
    with _Reads() as reads:
        loss = train_step(state, schedule, labels[None], [images])
    assert reads.found == []
    with reads:
        assert float(loss) == state.epoch_losses[0] > 0
    assert reads.found  # what reads is seen


@pytest.mark.slow
def test_a_compiled_backbone_computes_the_same_under_the_same_names(
    model: ModelConfig, recipe: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_module = torch.nn.Module.compile
    # without the C++ compiler, which takes half a minute: traced and differentiated, but not compiled
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_module(self, backend="aot_eager"))
    config = recipe.model_copy(update={"batch_size": 24})
    images, labels = _data()
    plain, compiled = (_state(model, config.model_copy(update={"compile": value})) for value in (False, True))
    for _ in range(2):
        losses = [float(train_step(state, _schedule(config), labels[None], [images])) for state in (plain, compiled)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert list(compiled.backbone.state_dict()) == list(plain.backbone.state_dict())
