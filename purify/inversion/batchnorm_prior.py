"""The prior of natural images: a batch of them has the statistics that the network's batch norms remember.

``sum over layers of |mean - running mean|^2 + |std - running std|^2``, of the inputs of each batch norm (ArcFace,
TPAMI, section 3.3). Hooks measure them in evaluation mode, so the network is only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from purify.errors import InputError


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients of parameters; modes and gradients are as before when the context ends."""
    modes = [(module, module.training) for module in network.modules()]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        network.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter in trained:
            parameter.requires_grad_(True)


@dataclass(frozen=True)
class PriorLayers:
    """Which batch norms count.

    Attributes
    ----------
    spatial
        Those of feature maps (`torch.nn.BatchNorm2d`).
    final
        Those of vectors (`torch.nn.BatchNorm1d`), as at the end of an IResNet.
    first
        Weight of the first layer; 1 like the others. DeepInversion uses 10.
    """

    spatial: bool = True
    final: bool = True
    first: float = 1.0

    def of(self, network: nn.Module) -> list[tuple[_BatchNorm, float]]:
        """Layers with running statistics and their weights, in the network's order."""
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        known = [norm for norm in norms if norm.running_mean is not None]
        weights = [self.first, *[1.0] * len(known)][: len(known)]
        wanted = zip(known, weights, strict=True)
        return [(norm, w) for norm, w in wanted if w and (self.final if _is_final(norm) else self.spatial)]


def _is_final(norm: _BatchNorm) -> bool:
    return isinstance(norm, nn.BatchNorm1d)


class BatchNormPrior:
    """Measures the prior of the batches that pass through `network` while the context is open.

    Raises InputError on entry if no layer that counts has running statistics.
    """

    def __init__(self, network: nn.Module, layers: PriorLayers = PriorLayers()) -> None:
        self._network = network
        self._layers = layers
        self._found: list[Tensor] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        layers = self._layers.of(self._network)
        if not layers:
            raise InputError(
                "the network has no batch norms with running statistics among the chosen layers; without the prior "
                "(invert.batchnorm=0) it can be inverted, with unnatural images"
            )
        with ExitStack() as stack:
            stack.enter_context(frozen(self._network))
            for norm, weight in layers:
                stack.enter_context(_hooked(norm, weight, self._found))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._found.clear()
        self._stack.close()

    def take(self) -> Tensor:
        """The prior of the batch that has just passed through; the next one is measured afresh."""
        total = torch.stack(self._found).sum()
        self._found.clear()
        return total


@contextmanager
def _hooked(norm: _BatchNorm, weight: float, found: list[Tensor]) -> Iterator[None]:
    def measure(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(weight * statistics_distance(inputs[0], norm))

    handle = norm.register_forward_pre_hook(measure)
    try:
        yield
    finally:
        handle.remove()


def statistics_distance(x: Tensor, norm: _BatchNorm) -> Tensor:
    """``|mean - running mean|^2 + |std - running std|^2`` of ``x[N, C, ...]``, a scalar, in float32 at least.

    The norm's epsilon is added to both variances: the root of zero has no derivative.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    exact = x if x.dtype == torch.float64 else x.float()
    variance, mean = torch.var_mean(exact, dim=[0, *range(2, x.dim())], correction=0)
    std, running_std = (variance + norm.eps).sqrt(), (norm.running_var + norm.eps).sqrt()
    return (mean - norm.running_mean).square().sum() + (std - running_std).square().sum()
