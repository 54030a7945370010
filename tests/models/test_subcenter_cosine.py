from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from purify.models import subcenter_cosine as nearest
from purify.models.heads import Margin, SubcenterHead
from purify.models.subcenter_cosine import class_cosines, subcenter_cosines

MARGINS = [Margin(), Margin(m2=0.5), Margin(m3=0.35), Margin(m1=1.2), Margin(0.9, 0.4, 0.15), Margin(3.0, 0.2)]


@pytest.fixture(params=[1, 25, 34])
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One class a chunk, or several with a shorter last chunk."""
    monkeypatch.setattr(nearest, "CHUNK_NUMBERS", request.param)


def _inputs(k: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(k)
    x = torch.randn(6, 5, generator=generator, dtype=dtype)
    return x.requires_grad_(), torch.randn(7, k, 5, generator=generator, dtype=dtype).requires_grad_()


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize("k", [1, 3, 16])
def test_chunks_give_the_cosines_and_gradients_of_autograd(k: int) -> None:
    x, centers = _inputs(k)
    weights = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))
    whole, ours = subcenter_cosines(x, centers).amax(dim=2), class_cosines(x, centers)
    torch.testing.assert_close(ours, whole)
    expected = torch.autograd.grad((weights * whole).sum(), (x, centers))
    for gradient, wanted in zip(torch.autograd.grad((weights * ours).sum(), (x, centers)), expected, strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("chunked")
@pytest.mark.parametrize("k", [1, 3])
def test_chunks_pass_the_numerical_gradient_check(k: int) -> None:
    assert gradcheck(class_cosines, _inputs(k, torch.float64))


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("k", [1, 3])
def test_a_large_head_passes_the_numerical_gradient_check(
    k: int, margin: Margin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "CHUNK_NUMBERS", 25)
    x, centers = _inputs(k, torch.float64)
    head, labels = SubcenterHead(7, 5, subcenters=k, scale=4.0, margin=margin), torch.arange(6)

    def loss(embeddings: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(head, {"weight": weight}, (embeddings, labels))
        return torch.nn.functional.cross_entropy(logits, labels)

    assert gradcheck(loss, (x, centers))


def test_heads_of_one_chunk_are_left_to_autograd_to_the_bit() -> None:
    x, centers = _inputs(3)
    assert torch.equal(class_cosines(x, centers), subcenter_cosines(x, centers).amax(dim=2))


def test_a_center_of_zeros_gives_finite_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "CHUNK_NUMBERS", 1)
    x, centers = _inputs(2)
    with torch.no_grad():
        centers[3] = 0
    cosines = class_cosines(x, centers)
    assert (cosines[:, 3] == 0).all()
    cosines.sum().backward()
    assert x.grad is not None
    assert centers.grad is not None
    assert x.grad.isfinite().all()
    assert centers.grad.isfinite().all()


def test_equal_sub_centers_give_the_gradient_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "CHUNK_NUMBERS", 1)
    x, _ = _inputs(1)
    centers = torch.ones(2, 3, 5, requires_grad=True)
    class_cosines(x, centers).sum().backward()
    assert centers.grad is not None
    assert (centers.grad[:, 0] != 0).any()
    assert (centers.grad[:, 1:] == 0).all()


def test_a_step_keeps_less_than_autograd_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that wait for the backward pass, beside the centers: N * C of each kind at most, no copy of centers."""
    monkeypatch.setattr(nearest, "CHUNK_NUMBERS", 1)
    x, centers = torch.randn(4, 64, requires_grad=True), torch.randn(50, 3, 64, requires_grad=True)
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        class_cosines(x, centers)
    own = {tensor.data_ptr(): tensor.numel() for tensor in kept if tensor.data_ptr() != centers.data_ptr()}
    assert max(own.values()) <= max(4 * 50, 4 * 64)
