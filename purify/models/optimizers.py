"""PyTorch's optimizers without its compiler, which they import at first use: two seconds and 85 MB in each training."""

from __future__ import annotations

import inspect
from typing import Any

import torch


class SGD(torch.optim.SGD):
    """`torch.optim.SGD`, to the same bits, for steps that are not compiled."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    step: Any = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, likewise."""

    add_param_group = SGD.add_param_group
    zero_grad = SGD.zero_grad
    step: Any = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
