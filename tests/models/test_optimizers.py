"""Our optimizers are PyTorch's, to the bit, and leave its compiler alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from purify.models import optimizers

_STEPS = """
import sys, torch
from purify.models.optimizers import SGD, Adam
weight = torch.nn.Parameter(torch.ones(3))
for optimizer in (SGD([weight], lr=0.1, momentum=0.9, fused=True), Adam([weight], lr=0.1)):
    optimizer.zero_grad(set_to_none=True)
    weight.square().sum().backward()
    optimizer.step()
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True, "fused": True}),
        ("SGD", {"momentum": 0.9}),
        ("Adam", {"eps": 1e-8}),
    ],
)
def test_the_steps_are_those_of_pytorch(name: str, settings: dict[str, Any]) -> None:
    weights = [_after_steps(getattr(module, name), settings) for module in (optimizers, torch.optim, optimizers)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def _after_steps(kind: Any, settings: dict[str, Any]) -> torch.Tensor:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    optimizer = kind([{"params": layer.parameters()} for layer in (network[0], network[2])], lr=0.1, **settings)
    for rate in (0.1, 0.05, 0.02):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        network(torch.randn(4, 5)).square().sum().backward()
        optimizer.step()
    assert not any(weight.requires_grad for state in optimizer.state.values() for weight in state.values())
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_the_compiler_is_not_imported() -> None:
    answer = subprocess.run([sys.executable, "-c", _STEPS], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
