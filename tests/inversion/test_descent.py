from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from purify.config import InvertConfig
from purify.inversion.descent import Descent, Subject, learning_rate_at
from purify.inversion.image_views import enlarge, first_noise, flipped, image_numbers, jittered, scale_color
from purify.inversion.objective import MarginIdentity
from purify.models.checkpoint import Checkpoint
from purify.models.heads import Margin
from tests.inversion.conftest import SIDE, make_checkpoint

QUICK = InvertConfig(steps=12, jitter=1, checkpoint_seconds=0)
CPU = torch.device("cpu")


def _descent(checkpoint: Checkpoint, config: InvertConfig = QUICK, *, order: list[int] | None = None) -> Descent:
    backbone, head = checkpoint.build()
    classes = torch.tensor(order or list(range(8)))
    identity = MarginIdentity(head.requires_grad_(False), classes, torch.full_like(classes, -1), Margin(m2=0.2))
    subject = Subject(backbone, identity, [f"person {number}" for number in classes.tolist()], SIDE)
    return Descent(subject, config, seed=7, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("name", ["iresnet_small", pytest.param("mobilefacenet", marks=pytest.mark.slow)])
def test_it_reaches_its_targets(name: str) -> None:
    checkpoint = make_checkpoint(name)
    descent = _descent(checkpoint, InvertConfig(steps=40, jitter=0, batchnorm=0.01, learning_rate=0.1, octaves=2))
    before = descent.terms()
    descent.run(40)
    after = descent.terms()
    assert descent.done
    assert after.identity.mean() < 0.4 * before.identity.mean()
    assert after.batchnorm < before.batchnorm


def test_the_prior_brings_the_statistics_nearer(checkpoint: Checkpoint) -> None:
    reached = []
    for weight in (0.0, 0.05):
        descent = _descent(checkpoint, InvertConfig(steps=30, batchnorm=weight, learning_rate=0.1))
        descent.run(30)
        measured = _descent(checkpoint, InvertConfig(steps=30, batchnorm=0.05))
        measured.restore(descent.state())
        reached.append(measured.terms().batchnorm.item())
    assert reached[1] < 0.5 * reached[0]


def test_a_restored_descent_ends_with_equal_bytes(checkpoint: Checkpoint) -> None:
    whole = _descent(checkpoint)
    whole.run(12)
    for stop in (3, 8):  # without the finest octave, and with it
        first, second = _descent(checkpoint), _descent(checkpoint)
        first.run(stop)
        second.restore(first.state())
        second.run(12)
        assert second.step == 12
        assert (second.pixels() == whole.pixels()).all()


def test_an_image_hardly_depends_on_its_place_in_the_batch(checkpoint: Checkpoint) -> None:
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    plain, turned = _descent(checkpoint), _descent(checkpoint, order=order)
    assert (plain.pixels()[order] == turned.pixels()).all()
    plain.run(4), turned.run(4)
    difference = np.abs(plain.pixels()[order].astype(int) - turned.pixels().astype(int))
    assert difference.max() <= 2  # sums over the batch are rounded in another order


def test_pixels_stay_in_range_only_with_clip(checkpoint: Checkpoint) -> None:
    kept = _descent(checkpoint, InvertConfig(steps=3, octaves=1, color=1, start_std=2))
    free = _descent(checkpoint, InvertConfig(steps=3, octaves=1, color=1, start_std=2, clip=False))
    kept.run(3), free.run(3)
    assert kept.state()["level.0"].abs().max() <= 1
    assert free.state()["level.0"].abs().max() > 2


def test_octaves_stay_in_range_together(checkpoint: Checkpoint) -> None:
    descent = _descent(checkpoint, InvertConfig(steps=4, octaves=3, start_std=3, coarse_share=0, color=0.5))
    descent.run(4)
    state = descent.state()
    summed = torch.stack([enlarge(state[f"level.{number}"], SIDE) for number in range(3)]).sum(dim=0)
    assert summed.abs().max() > 1  # before colors are scaled
    assert scale_color(summed, 0.5).abs().max() <= 1 + 1e-5


def test_the_network_is_as_before_when_the_loop_raises(checkpoint: Checkpoint) -> None:
    backbone, _ = checkpoint.build()
    backbone.train()
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}

    def broken(_: Tensor) -> Tensor:
        raise ValueError("a faulty term")

    descent = Descent(Subject(backbone, broken, ["a", "b"], SIDE), QUICK, seed=0, device=CPU, dtype=torch.float32)
    with pytest.raises(ValueError, match="faulty"):
        descent.run(1)
    assert all(module.training for module in backbone.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in backbone.state_dict().items())
    assert all(not module._forward_pre_hooks for module in backbone.modules())
    expected = [parameter is not backbone.features.weight for parameter in backbone.parameters()]  # type: ignore[union-attr]
    assert [parameter.requires_grad for parameter in backbone.parameters()] == expected


def test_low_precision_runs_by_autocast(checkpoint: Checkpoint) -> None:
    backbone, head = checkpoint.build()
    classes = torch.arange(4)
    identity = MarginIdentity(head.requires_grad_(False), classes, -torch.ones_like(classes), Margin())
    subject = Subject(backbone, identity, list("abcd"), SIDE)
    descent = Descent(subject, QUICK, seed=0, device=CPU, dtype=torch.bfloat16)
    terms = descent.run(2)
    assert terms.identity.isfinite().all()
    assert terms.batchnorm.dtype == torch.float32


def test_the_learning_rate() -> None:
    config = InvertConfig(steps=100, warmup_share=0.1, learning_rate=0.2)
    rates = [learning_rate_at(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[9] == pytest.approx(0.2)
    assert rates[55] == pytest.approx(0.1)
    assert 0 < rates[99] < 0.001
    assert learning_rate_at(99, InvertConfig(steps=100, schedule="constant", learning_rate=0.25)) == 0.25


def test_views_depend_on_seed_step_and_name_alone() -> None:
    numbers = image_numbers(["a", "b", "c"])
    noise = first_noise(numbers, seed=1, side=6, std=2.0)
    assert torch.equal(first_noise(numbers[::-1].copy(), seed=1, side=6, std=2.0), noise.flip(0))
    assert not torch.equal(first_noise(numbers, seed=2, side=6, std=2.0), noise)
    images = torch.rand(3, 3, 6, 6)
    mirrored = [flipped(images, numbers, seed=1, step=step) for step in range(32)]
    share = np.mean([(not torch.equal(view[k], images[k])) for view in mirrored for k in range(3)])
    assert 0.25 < share < 0.75
    back = flipped(images.flip(0), numbers[::-1].copy(), seed=1, step=5)
    assert torch.equal(back.flip(0), mirrored[5])


def test_jitter_shifts_all_images_alike_and_repeats_borders() -> None:
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(2, 3, 8, 8)
    seen = set()
    for step in range(40):
        view = jittered(ramp, 2, seed=0, step=step)
        assert torch.equal(view[0], view[1])
        shift = int((view[0, 0, 0, 4] - 4).item())
        assert view[0, 0, 0].tolist() == [min(max(k + shift, 0), 7) for k in range(8)]
        seen.add(shift)
    assert seen == {-2, -1, 0, 1, 2}
    assert jittered(ramp, 0, seed=0, step=0) is ramp


def test_enlarging_keeps_what_has_the_size() -> None:
    images = torch.rand(1, 3, 8, 8)
    assert enlarge(images, 8) is images
    assert enlarge(torch.full((1, 3, 4, 4), 0.25), 8).unique().tolist() == [0.25]


def test_colors_are_scaled_about_the_mean_of_the_channels() -> None:
    images = torch.tensor([0.9, 0.3, 0.0]).view(1, 3, 1, 1)
    assert scale_color(images, 1.0) is images
    assert scale_color(images, 0.5).flatten().tolist() == pytest.approx([0.65, 0.35, 0.2])
    assert torch.allclose(scale_color(scale_color(images, 0.25), 4.0), images, atol=1e-6)
