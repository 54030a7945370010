from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from purify.errors import InputError
from purify.inversion.batchnorm_prior import BatchNormPrior, PriorLayers, frozen, statistics_distance
from purify.models.backbones import build_backbone


def _norm(mean: list[float], variance: list[float], *, eps: float = 0.0) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(mean), eps=eps).eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(torch.tensor(mean))
    norm.running_var.copy_(torch.tensor(variance))
    return norm


def test_the_distance_is_that_of_means_and_standard_deviations() -> None:
    x = torch.tensor([[0.0, 4.0], [2.0, 2.0]]).view(2, 1, 1, 2).repeat(1, 2, 1, 1)  # mean 2, variance 2
    norm = _norm([2.0, 5.0], [2.0, 9.0])
    assert statistics_distance(x, norm).item() == pytest.approx(9.0 + (2**0.5 - 3.0) ** 2, rel=1e-6)


def test_a_batch_with_the_remembered_statistics_costs_nothing() -> None:
    x = torch.randn(8, 3, 5, 5)
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    assert statistics_distance(x, _norm(mean.tolist(), variance.tolist(), eps=1e-5)).item() == pytest.approx(
        0, abs=1e-9
    )


def test_the_gradient_of_the_distance() -> None:
    norm = _norm([0.3, -1.0], [2.0, 0.5], eps=1e-5).double()
    x = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: statistics_distance(given, norm), (x,))


def test_the_distance_of_a_constant_batch_has_a_finite_gradient() -> None:
    x = torch.zeros(4, 2, 3, 3, requires_grad=True)
    statistics_distance(x, _norm([1.0, 1.0], [1.0, 1.0], eps=1e-5)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def _network() -> nn.Sequential:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5), nn.BatchNorm1d(5)
    )
    for _ in range(3):
        network(torch.randn(6, 3, 8, 8))
    return network


def _total(network: nn.Module, layers: PriorLayers, images: Tensor) -> float:
    with BatchNormPrior(network, layers) as prior:
        network(images)
        return prior.take().item()


def test_each_kind_of_layer_can_be_left_out_and_the_first_one_weighted() -> None:
    network, images = _network(), torch.randn(6, 3, 8, 8)
    both = _total(network, PriorLayers(), images)
    spatial = _total(network, PriorLayers(final=False), images)
    final = _total(network, PriorLayers(spatial=False), images)
    first = both - _total(network, PriorLayers(first=0.0), images)
    assert both == pytest.approx(spatial + final)
    assert min(spatial, final, first) > 0
    assert _total(network, PriorLayers(first=10.0), images) == pytest.approx(both + 9 * first, rel=1e-5)
    norm = network[0]
    assert isinstance(norm, nn.BatchNorm2d)
    assert first == pytest.approx(statistics_distance(images, norm).item(), rel=1e-4)


def test_take_measures_each_batch_afresh() -> None:
    network, images = _network(), torch.randn(6, 3, 8, 8)
    with BatchNormPrior(network) as prior:
        network(images)
        once = prior.take().item()
        network(images)
        assert prior.take().item() == once


@pytest.mark.parametrize("name", ["iresnet_small", "iresnet18", "mobilefacenet"])
def test_every_layer_of_our_backbones_is_measured(name: str) -> None:
    network = build_backbone(name, embedding_dim=8, input_size=32)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(PriorLayers().of(network)) == len(norms)
    assert len(PriorLayers(spatial=False).of(network)) == 1


@contextmanager
def _unchanged(network: nn.Module) -> Iterator[None]:
    """Assert that state dict, modes, hooks, gradient flags and outputs are equal before and after."""

    def facts() -> list[object]:
        hooks = [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in network.modules()]
        modes = [module.training for module in network.modules()]
        flags = [(p.requires_grad, p.grad is None) for p in network.parameters()]
        return [hooks, modes, flags]

    def output() -> Tensor:
        modes = {module: module.training for module in network.modules()}
        found: Tensor = network.eval()(torch.ones(2, 3, 8, 8)).detach()
        for module, mode in modes.items():
            module.training = mode
        return found

    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before, result = facts(), output()
    try:
        yield
    finally:
        assert facts() == before
        assert torch.equal(output(), result)
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_as_before(training: bool) -> None:
    network = _network().train(training)
    network[2].eval()  # a mode of its own
    network[1].weight.requires_grad_(False)  # type: ignore[union-attr]
    images = torch.randn(6, 3, 8, 8, requires_grad=True)
    with _unchanged(network):
        with BatchNormPrior(network) as prior:
            (network(images).sum() + prior.take()).backward()
        assert images.grad is not None


@pytest.mark.parametrize("inside", [True, False])
def test_the_network_is_as_before_when_the_work_raises(inside: bool) -> None:
    network = _network()
    wrong = torch.randn(6, 3, 5, 5)  # of a size that the linear layer refuses

    def work() -> None:
        with BatchNormPrior(network):
            if inside:
                network(wrong)
            raise RuntimeError("between two batches")

    with _unchanged(network), pytest.raises(RuntimeError):
        work()


def test_frozen_gives_parameters_no_gradient() -> None:
    network = _network()
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    with _unchanged(network), frozen(network):
        network(images).sum().backward()
        assert images.grad is not None


def test_a_network_without_batch_norms_is_refused() -> None:
    with pytest.raises(InputError, match=r"no batch norms"), BatchNormPrior(nn.Conv2d(3, 4, 3)):
        pass
