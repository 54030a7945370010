"""One margin head in one process: seconds and peak memory of a step. ``python -m benchmarks.head CASE_AS_JSON``.

The peak of a process never falls, so each head needs a process of its own; `benchmarks.training` starts them.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from purify.models.heads import Margin, SubcenterHead
from purify.models.partial_fc import sampled_head
from purify.models.process_group import SINGLE_PROCESS
from purify.models.sharded_softmax import cross_entropy

#: ArcFace's scale and margin; pytorch-metric-learning takes the margin in degrees, and its default is this.
_SCALE, _MARGIN, _MARGIN_DEGREES = 64.0, 0.5, 28.6
_DENSE = 1.0


@dataclass(frozen=True)
class HeadCase:
    """One measurement; `head` is one of `HEADS`, `rate` matters only to ``sampled``."""

    head: str
    classes: int
    subcenters: int
    dim: int
    batch: int
    rate: float
    steps: int
    threads: int
    seed: int


@dataclass(frozen=True)
class _Rival:
    """A head's parameter, and its step: (embeddings, labels, optimizer, update by the gradients)."""

    weight: nn.Parameter
    step: Callable[[Tensor, Tensor, torch.optim.SGD, Callable[[], Any]], None]


def _dense(case: HeadCase) -> _Rival:
    return _ours(case, _DENSE)


def _sampled(case: HeadCase) -> _Rival:
    return _ours(case, case.rate)


def _ours(case: HeadCase, rate: float) -> _Rival:
    generator = torch.Generator().manual_seed(case.seed)
    head = SubcenterHead(
        case.classes,
        case.dim,
        subcenters=case.subcenters,
        scale=_SCALE,
        margin=Margin(m2=_MARGIN),
        generator=generator,
    )

    def step(x: Tensor, labels: Tensor, optimizer: torch.optim.SGD, update: Callable[[], Any]) -> None:
        drawn = sampled_head(
            head, optimizer, labels, classes=SINGLE_PROCESS.shard(case.classes), rate=rate, generator=generator
        )
        with drawn as (part, targets):
            cross_entropy(part(x, targets), targets).backward()
            update()

    return _Rival(head.weight, step)


def _metric_learning(case: HeadCase) -> _Rival:
    from pytorch_metric_learning.losses import SubCenterArcFaceLoss

    loss = SubCenterArcFaceLoss(
        num_classes=case.classes,
        embedding_size=case.dim,
        sub_centers=case.subcenters,
        margin=_MARGIN_DEGREES,
        scale=_SCALE,
    )

    def step(x: Tensor, labels: Tensor, optimizer: torch.optim.SGD, update: Callable[[], Any]) -> None:
        loss(x, labels).backward()
        update()

    return _Rival(loss.W, step)


HEADS: dict[str, Callable[[HeadCase], _Rival]] = {
    "dense": _dense,
    "sampled": _sampled,
    "pytorch-metric-learning": _metric_learning,
}


def measure(case: HeadCase) -> dict[str, Any]:
    """Seconds (median of the steps after the first) and peak bytes of this process.

    Returns
    -------
    dict
        The case's fields, and: ``gradient_seconds`` of forward and backward, ``gradient_peak_bytes`` by then;
        ``update_seconds`` of a whole step with SGD (momentum, weight decay), ``update_peak_bytes`` by then.
        The sampled head's times include the draw, and the copies of its rows there and back.
    """
    torch.set_num_threads(case.threads)
    torch.manual_seed(case.seed)
    rival = HEADS[case.head](case)
    gradient_seconds = _seconds(case, rival, torch.optim.SGD([rival.weight], lr=0.1), _nothing)
    gradient_peak = peak_bytes()
    optimizer = torch.optim.SGD([rival.weight], lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    return asdict(case) | {
        "gradient_seconds": gradient_seconds,
        "gradient_peak_bytes": gradient_peak,
        "update_seconds": _seconds(case, rival, optimizer, optimizer.step),
        "update_peak_bytes": peak_bytes(),
    }


def _nothing() -> None:
    """Leave the gradients alone."""


def _seconds(case: HeadCase, rival: _Rival, optimizer: torch.optim.SGD, update: Callable[[], Any]) -> float:
    generator = torch.Generator().manual_seed(case.seed)
    seconds = []
    for _ in range(1 + case.steps):
        x = torch.randn(case.batch, case.dim, generator=generator).requires_grad_()
        labels = torch.randint(case.classes, (case.batch,), generator=generator)
        optimizer.zero_grad(set_to_none=True)
        began = time.perf_counter()
        rival.step(x, labels, optimizer, update)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(json.dumps(measure(HeadCase(**json.loads(sys.argv[1])))))
