from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import SubCenterArcFaceLoss

from purify import SubcenterArcFace


def test_the_defaults_are_those_of_the_paper() -> None:
    head = SubcenterArcFace(16, 5)
    assert head.weight.shape == (5, 3, 16)
    assert (head.scale, head.margin.m1, head.margin.m2, head.margin.m3) == (64.0, 1.0, 0.5, 0.0)


def test_a_known_answer() -> None:
    """An embedding 30 degrees from its class's nearer sub-center, and 90 and 60 degrees from the other class's."""
    head = SubcenterArcFace(2, 2, subcenters=2, scale=10.0, margin=0.5)
    angles = torch.tensor([[30.0, 150.0], [90.0, 300.0]]).deg2rad()
    with torch.no_grad():
        head.weight.copy_(3 * torch.stack([angles.cos(), angles.sin()], dim=2))
    embedding = torch.tensor([[7.0, 0.0]])
    logits = head(embedding, torch.tensor([0]))
    expected = [10 * math.cos(math.radians(30) + 0.5), 10 * math.cos(math.radians(60))]
    torch.testing.assert_close(logits, torch.tensor([expected]), rtol=1e-5, atol=1e-5)
    assert head.loss(embedding, torch.tensor([0])).item() == pytest.approx(
        math.log(1 + math.exp(expected[1] - expected[0])), rel=1e-5
    )
    torch.testing.assert_close(head.subcenter_cosine(embedding)[0], angles.cos(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("subcenters", [1, 3])
def test_loss_and_gradients_are_those_of_pytorch_metric_learning(subcenters: int) -> None:
    generator = torch.Generator().manual_seed(0)
    theirs = SubCenterArcFaceLoss(num_classes=7, embedding_size=12, sub_centers=subcenters, margin=28.6479, scale=64)
    ours = SubcenterArcFace(12, 7, subcenters=subcenters, margin=math.radians(28.6479))
    with torch.no_grad():
        ours.weight.copy_(theirs.W.T.reshape(7, subcenters, 12))
    embeddings = torch.randn(20, 12, generator=generator, requires_grad=True)
    same = embeddings.detach().clone().requires_grad_()
    labels = torch.randint(7, (20,), generator=generator)
    one, other = ours.loss(embeddings, labels), theirs(same, labels)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    one.backward()
    other.backward()
    torch.testing.assert_close(embeddings.grad, same.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.W.grad.T.reshape(7, subcenters, 12), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("easy_margin", [False, True])
def test_gradients_are_those_of_the_function(easy_margin: bool) -> None:
    torch.manual_seed(1)
    head = SubcenterArcFace(5, 3, scale=4.0, easy_margin=easy_margin).double()
    embeddings, labels = torch.randn(6, 5, dtype=torch.float64, requires_grad=True), torch.arange(6) % 3

    def loss(embeddings: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(head, {"weight": weight}, (embeddings, labels)).logsumexp(1).sum()

    assert torch.autograd.gradcheck(loss, (embeddings, head.weight))


def test_the_easy_margin_spares_angles_beyond_90_degrees() -> None:
    head = SubcenterArcFace(2, 2, subcenters=1, scale=1.0, easy_margin=True)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    embeddings = F.normalize(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]))
    logits = head(embeddings, torch.tensor([0, 0]))[:, 0]
    assert logits.tolist() == pytest.approx([math.cos(math.pi / 4 + 0.5), math.cos(3 * math.pi / 4)], abs=1e-5)


def test_the_dominant_subcenter_has_most_of_the_votes() -> None:
    head = SubcenterArcFace(3, 3)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3).expand(3, 3, 3))
    embeddings = torch.eye(3)[[2, 2, 0, 1, 0]]
    assert head.dominant(embeddings, torch.tensor([0, 0, 0, 1, 1])).tolist() == [2, 0, 0]
