"""Partial FC: training steps on a sample of the classes (An et al., CVPR 2022, arXiv 2203.15565).

The classes of the batch compete with a random share of the others, each class with all of its K sub-centers. Time and
memory of a step fall with the share, and so does the chance that a wrong label's true class is pushed away. All ranks
draw the same sample of all classes, and each takes its own from it: the draw does not depend on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from purify.models.heads import SubcenterHead
from purify.models.process_group import Shard
from purify.models.transfers import to_device

_MOMENTUM = "momentum_buffer"


@dataclass(frozen=True)
class ClassSample:
    """Classes of a step, int64[S] ascending, and each label's index among them, int64[N], -1 if it is absent."""

    classes: Tensor
    targets: Tensor

    def within(self, part: Shard) -> ClassSample:
        """The sampled classes in `part`, numbered from its start."""
        bounds = torch.tensor([part.start, part.stop], device=self.classes.device)
        start, stop = torch.searchsorted(self.classes, bounds).tolist()
        place = Shard(start, stop, len(self.classes))
        return ClassSample(self.classes[place.slice] - part.start, place.local(self.targets))


def sample_classes(labels: Tensor, classes: int, *, rate: float, generator: torch.Generator) -> ClassSample:
    """All classes of ``labels[N]``, and a uniform sample of the share `rate` (at least one) of the others.

    Drawn on the generator's device, so that a seed gives the same classes on all devices.
    """
    given = labels.to(generator.device)
    absent = torch.ones(classes, dtype=torch.bool, device=given.device).index_fill_(0, given, False)
    others = absent.nonzero().squeeze(1)
    count = max(1, round(rate * len(others)))
    drawn = others[torch.randperm(len(others), generator=generator, device=given.device)[:count]]
    chosen = torch.cat([given.unique(), drawn]).sort().values
    return ClassSample(chosen.to(labels.device), torch.searchsorted(chosen, given).to(labels.device))


@contextmanager
def sampled_head(
    head: SubcenterHead,
    optimizer: torch.optim.SGD,
    labels: Tensor,
    *,
    classes: Shard,
    rate: float,
    generator: torch.Generator,
) -> Iterator[tuple[SubcenterHead, Tensor]]:
    """Head and targets of one step: `head` itself at rate 1, else a head of sampled classes (`sample_classes`).

    ``labels`` int64[N] point into all classes; targets of labels outside the `classes` of `head` are -1. The generators
    of all ranks must be in the same state. Step the optimizer inside the context.

    Labels on the host, with a generator there, let the draw run ahead of a GPU that is still at earlier steps.
    """
    device = head.weight.device
    if rate == 1:
        yield head, to_device(classes.local(labels), device)
        return
    sample = sample_classes(labels, classes.total, rate=rate, generator=generator).within(classes)
    with borrowed_rows(head, optimizer, to_device(sample.classes, device)) as part:
        yield part, to_device(sample.targets, device)


@contextmanager
def borrowed_rows(head: SubcenterHead, optimizer: torch.optim.SGD, classes: Tensor) -> Iterator[SubcenterHead]:
    """A head of ``classes`` int64[S] alone, which replaces `head` in `optimizer` and is written back at the end.

    Rows of other classes get no gradient and no weight decay, and keep their momentum.
    """
    group = next(group for group in optimizer.param_groups if any(p is head.weight for p in group["params"]))
    part = head.with_rows(head.weight.detach().index_select(0, classes))
    lent = [(head.weight, part.weight)]
    if group["momentum"]:
        state = optimizer.state[head.weight]
        if _MOMENTUM not in state:
            state[_MOMENTUM] = torch.zeros_like(head.weight)
        rows = state[_MOMENTUM].index_select(0, classes)
        optimizer.state[part.weight][_MOMENTUM] = rows
        lent.append((state[_MOMENTUM], rows))
    parameters = group["params"]
    group["params"] = [part.weight if parameter is head.weight else parameter for parameter in parameters]
    try:
        yield part
    finally:
        group["params"] = parameters
        optimizer.state.pop(part.weight, None)
        with torch.no_grad():
            for whole, rows in lent:
                whole.index_copy_(0, classes, rows)
