"""Two and three real processes against one that has all: values and gradients in double precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from purify.models.batchnorm import CrossRankBatchNorm, synchronize_batchnorm
from purify.models.process_group import SINGLE_PROCESS
from tests.models import rank_check


def _run(size: int, folder: Path) -> list[list[dict[str, Tensor]]]:
    """What each rank found, for each case."""
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.models.rank_check", str(rank), str(size), str(folder)], env=environment
        )
        for rank in range(size)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0] * size
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_compute_what_one_process_does(size: int, tmp_path: Path) -> None:
    ranks = _run(size, tmp_path)
    for number, case in enumerate(rank_check.CASES):
        expected = rank_check.trained(SINGLE_PROCESS, **case)
        for name, tensor in expected.items():
            own = [rank[number][name] for rank in ranks]
            if name.startswith("rows"):
                torch.testing.assert_close(torch.cat(own), tensor, msg=lambda text, n=name: f"{n}: {text}")
                assert all(len(rows) <= -(-rank_check.CLASSES // size) for rows in own)
            else:
                for found in own:
                    torch.testing.assert_close(found, tensor, msg=lambda text, n=name: f"{n}: {text}")


def test_one_process_computes_what_torch_does() -> None:
    """The dense case against the plain loss over the whole head, so that the comparison above stands on firm ground."""
    found = rank_check.trained(SINGLE_PROCESS, rate=1.0, negative_filter=None)
    head = rank_check.SubcenterHead(0, rank_check.DIM, scale=8.0, margin=rank_check.Margin(m2=0.3)).with_rows(
        torch.randn(
            rank_check.CLASSES, 3, rank_check.DIM, generator=rank_check.seeded_generator(2), dtype=torch.float64
        )
    )
    network = rank_check._network()
    images, labels = rank_check.batch(0)
    loss = cross_entropy(head(network(images), labels), labels)
    loss.backward()
    torch.testing.assert_close(found["loss 0"], loss.detach())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(found[f"gradient 0 {name}"], parameter.grad)


@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5, 2)])
def test_joint_normalization_is_torchs_for_one_rank(shape: tuple[int, ...]) -> None:
    plain = nn.BatchNorm1d(4) if len(shape) == 2 else nn.BatchNorm2d(4)
    plain = plain.double()
    with torch.no_grad():
        plain.weight.copy_(torch.linspace(0.5, 2, 4))
    pair: list[Any] = [nn.Sequential(plain), nn.Sequential(_copy(plain))]
    synchronize_batchnorm(pair[1], SINGLE_PROCESS)
    assert isinstance(pair[1][0], CrossRankBatchNorm)
    assert pair[0].state_dict().keys() == pair[1].state_dict().keys()
    gradients = []
    for module in pair:
        x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        y = module(x)
        (y * torch.arange(y.numel()).view_as(y)).sin().sum().backward()
        gradients.append([y.detach(), x.grad, *(p.grad for p in module.parameters())])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)
    for name, buffer in pair[0].state_dict().items():
        torch.testing.assert_close(pair[1].state_dict()[name], buffer)
    x = torch.randn(*shape, dtype=torch.float64)
    torch.testing.assert_close(pair[1].eval()(x), pair[0].eval()(x))


def _copy(norm: nn.Module) -> nn.Module:
    twin = type(norm)(4).double()  # type: ignore[call-arg]
    twin.load_state_dict(norm.state_dict())
    return twin
