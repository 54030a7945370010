from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import losses

from purify.models.heads import Margin, SubcenterHead

PLAIN = Margin()
MARGINS = [PLAIN, Margin(m2=0.5), Margin(m3=0.35), Margin(m1=1.2), Margin(0.9, 0.4, 0.15), Margin(3.0, 0.2)]


def _head(k: int = 1, *, classes: int = 7, dim: int = 5, scale: float = 16.0, margin: Margin = PLAIN) -> SubcenterHead:
    generator = torch.Generator().manual_seed(k)
    return SubcenterHead(classes, dim, subcenters=k, scale=scale, margin=margin, generator=generator)


def _batch(n: int = 12, *, classes: int = 7, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(n, dim, generator=generator), torch.randint(classes, (n,), generator=generator)


def _slow_logits(head: SubcenterHead, embeddings: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The definition, one number at a time."""
    weight = head.weight.detach().double().numpy()
    rows = []
    for x, label in zip(embeddings.double().numpy(), labels.tolist(), strict=True):
        row = []
        for j, centers in enumerate(weight):
            cosine = max(float(x @ w / (np.linalg.norm(x) * np.linalg.norm(w))) for w in centers)
            if j == label:
                theta = head.margin.m1 * math.acos(cosine) + head.margin.m2
                half_turns = int(theta // math.pi)
                cosine = (-1) ** half_turns * math.cos(theta) - 2 * half_turns - head.margin.m3
            row.append(head.scale * cosine)
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("k", [1, 3])
def test_equals_the_definition(k: int, margin: Margin) -> None:
    head, (x, y) = _head(k, margin=margin), _batch()
    np.testing.assert_allclose(head(x, y).detach().numpy(), _slow_logits(head, x, y), atol=2e-4)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (_head(margin=Margin(m2=math.radians(28.6))), losses.ArcFaceLoss(7, 5, margin=28.6, scale=16)),
        (_head(margin=Margin(m3=0.35)), losses.CosFaceLoss(7, 5, margin=0.35, scale=16)),
        (
            _head(3, margin=Margin(m2=math.radians(28.6))),
            losses.SubCenterArcFaceLoss(num_classes=7, embedding_size=5, margin=28.6, scale=16, sub_centers=3),
        ),
    ],
    ids=["arcface", "cosface", "subcenter"],
)
def test_loss_equals_pytorch_metric_learning(ours: SubcenterHead, theirs: torch.nn.Module) -> None:
    x, y = _batch()
    theirs.W.data = ours.weight.detach().reshape(-1, 5).T.contiguous()
    loss = torch.nn.functional.cross_entropy(ours(x, y), y)
    assert loss.item() == pytest.approx(theirs(x, y).item(), abs=1e-5)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("k", [1, 3])
def test_gradients(k: int, margin: Margin) -> None:
    head = _head(k, classes=4, margin=margin, scale=4.0).double()
    x, y = _batch(3, classes=4)

    def loss(embeddings: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(head, {"weight": weight}, (embeddings, y))
        return torch.nn.functional.cross_entropy(logits, y)

    inputs = (x.double().requires_grad_(), (head.weight.detach() * 50).requires_grad_())
    assert torch.autograd.gradcheck(loss, inputs)


def test_gradient_is_finite_on_the_center_and_opposite_to_it() -> None:
    head = _head(margin=Margin(m2=0.5))
    x = torch.stack([head.weight[0, 0], -head.weight[1, 0]]).detach().requires_grad_()
    torch.nn.functional.cross_entropy(head(x, torch.tensor([0, 1])), torch.tensor([0, 1])).backward()
    for gradient in (x.grad, head.weight.grad):
        assert gradient is not None
        assert gradient.isfinite().all()


@given(st.sampled_from(MARGINS), st.floats(0.001, math.pi - 0.002), st.floats(0.0005, 0.1))
def test_target_falls_as_the_angle_grows(margin: Margin, angle: float, more: float) -> None:
    angles = torch.tensor([angle, min(angle + more, math.pi - 0.001)], dtype=torch.float64)
    near, far = margin.apply(torch.cos(angles)).tolist()
    assert far < near


@pytest.mark.parametrize("m1", [1.35, 2.0, 4.0])
def test_target_is_continuous_and_falls_over_many_half_turns(m1: float) -> None:
    angles = torch.linspace(0.01, math.pi - 0.01, 4001, dtype=torch.float64)
    steps = Margin(m1=m1, m2=0.5, m3=0.1).apply(torch.cos(angles)).diff()
    assert (steps < 0).all()
    assert steps.min() > -1.01 * m1 * (angles[1] - angles[0])  # a jump would be steeper than m1 * sin


@pytest.mark.parametrize("k", [1, 3])
def test_no_margin_is_exactly_the_scaled_cosines(k: int) -> None:
    head, (x, y) = _head(k), _batch()
    assert torch.equal(head(x, y), head.scale * head.cosines(x))


@pytest.mark.parametrize("margin", MARGINS)
def test_margin_touches_the_true_class_only(margin: Margin) -> None:
    head, (x, y) = _head(3, margin=margin), _batch()
    others = torch.ones(12, 7, dtype=torch.bool).scatter(1, y[:, None], False)
    assert torch.equal(head(x, y)[others], (head.scale * head.cosines(x))[others])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(2, 8), st.integers(1, 6))
def test_shapes_and_order_of_sub_centers(classes: int, k: int, dim: int, n: int) -> None:
    head = _head(k, classes=classes, dim=dim, margin=Margin(m2=0.3))
    x, y = torch.randn(n, dim), torch.arange(n) % classes
    assert head.subcenter_cosines(x).shape == (n, classes, k)
    assert head(x, y).shape == (n, classes)
    before = head(x, y)
    head.weight = torch.nn.Parameter(head.weight.flip(1))
    assert torch.allclose(head(x, y), before, atol=1e-6)


def test_negatives_are_pushed_from_their_nearest_sub_center() -> None:
    head = SubcenterHead(2, 2, subcenters=2, scale=1.0)
    head.weight = torch.nn.Parameter(torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.6, 0.8]]]))
    logits = head(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    torch.testing.assert_close(logits, torch.tensor([[1.0, 0.6]]))


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_growth_keeps_the_center_and_its_norm() -> None:
    head, (x, y) = _head(1), _batch()
    center, before = head.weight.detach().clone(), head(x, y)
    head.grow(_noise(7, 2, 5), spread=0.0)
    assert head.weight.shape == (7, 3, 5)
    assert torch.allclose(head(x, y), before, atol=1e-5)
    assert torch.allclose(head.weight.norm(dim=2), center.norm(dim=2).expand(7, 3), atol=1e-6)


def test_growth_perturbs_by_the_spread() -> None:
    head = _head(1, dim=64)
    head.grow(_noise(7, 2, 64), spread=0.1)
    unit = torch.nn.functional.normalize(head.weight.detach(), dim=2)
    angles = torch.rad2deg(torch.acos((unit[:, 1:] * unit[:, :1]).sum(2)))
    assert angles.min() > 4
    assert angles.max() < 7


def test_growth_starts_from_one_center() -> None:
    with pytest.raises(ValueError, match="not from 3"):
        _head(3).grow(_noise(7, 1, 5), spread=0.1)


def test_labels_of_other_heads_get_no_margin() -> None:
    head, (x, y) = _head(3, margin=Margin(m2=0.5)), _batch()
    elsewhere = y.masked_fill(y < 4, -1)
    logits, plain = head(x, elsewhere), head.scale * head.cosines(x)
    here = elsewhere >= 0
    assert here.any()
    assert not here.all()
    assert torch.equal(logits[here], head(x, y)[here])
    assert torch.equal(logits[~here], plain[~here])


def test_logits_are_float32_under_autocast() -> None:
    head, (x, y) = _head(3, margin=Margin(m2=0.5)), _batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(x, y)
        from_trunk = head(x.bfloat16(), y)
    assert logits.dtype == from_trunk.dtype == torch.float32
    assert torch.equal(logits, head(x, y))


@pytest.mark.parametrize("k", [1, 3])
def test_filtered_negatives_leave_the_softmax(k: int) -> None:
    head, (x, y) = _head(k, margin=Margin(m2=0.5)), _batch()
    cosines, dense = head.cosines(x), head(x, y)
    head.negative_filter = 0.3
    own = torch.nn.functional.one_hot(y, 7).bool()
    ignored = (cosines > 0.3) & ~own
    assert ignored.any()
    assert (cosines > 0.3)[own].any()  # the true class is never filtered
    assert torch.equal(head(x, y), dense.masked_fill(ignored, -math.inf))


def test_a_filtered_class_gets_no_gradient() -> None:
    head = SubcenterHead(3, 2, scale=4.0, negative_filter=0.5)
    head.weight = torch.nn.Parameter(torch.tensor([[[1.0, 0.0]], [[0.8, 0.6]], [[0.0, 1.0]]]))
    x = torch.tensor([[0.9, 0.1]], requires_grad=True)
    loss = torch.nn.functional.cross_entropy(head(x, torch.tensor([0])), torch.tensor([0]))
    loss.backward()
    assert x.grad is not None
    assert head.weight.grad is not None
    assert x.grad.isfinite().all()
    assert (head.weight.grad[1] == 0).all()
    assert (head.weight.grad[[0, 2]] != 0).any(dim=2).all()


def test_an_image_whose_negatives_are_all_filtered_has_no_loss() -> None:
    head = _head()
    head.negative_filter = 1e-6
    head.weight = torch.nn.Parameter(torch.ones(7, 1, 5))
    x, y = torch.ones(1, 5, requires_grad=True), torch.tensor([2])
    loss = torch.nn.functional.cross_entropy(head(x, y), y)
    loss.backward()
    assert loss.item() == 0
    assert x.grad is not None
    assert (x.grad == 0).all()
