"""Check for a collapsed network, before verdicts are drawn from it.

A collapsed network maps all faces to nearly one point, or to points unrelated to the label. Its angles still look
plausible, so without this check they would become verdicts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from purify.errors import TrainingCollapsedError
from purify.models.process_group import SINGLE_PROCESS, Ranks

#: Minimum separation of a usable network. With a share q of wrong labels, not memorized, a perfect network has about
#: 1 - q / 2; chance is 0.5.
MIN_SEPARATION = 0.65


def separation(cosines: Tensor, labels: Tensor, ranks: Ranks = SINGLE_PROCESS) -> Tensor:
    """``cosines[N, C]``, ``labels[N]`` -> share of other classes whose center is farther than that of the own class.

    A number on the device of the cosines: 1 when each image is nearest to its own class, 0.5 for a random network, at
    any class count. With sharded classes, a label is -1 on all ranks but that of its class.
    """
    own = torch.zeros_like(labels, dtype=cosines.dtype)
    if cosines.shape[1]:
        own = torch.where(labels >= 0, cosines.gather(1, labels.clamp_min(0)[:, None]).squeeze(1), own)
    own = ranks.all_reduce(own)[:, None]
    farther, level = (cosines < own).sum(dim=1), (cosines == own).sum(dim=1)
    classes = torch.full_like(level, cosines.shape[1])
    farther, level, classes = ranks.all_reduce(torch.stack([farther, level, classes])).float()
    shares = (farther + (level - 1) / 2) / (classes - 1).clamp_min(1)
    return torch.where(classes > 1, shares, 1.0).mean()


def check_not_collapsed(value: float, loss: float, *, epochs: int) -> None:
    """Refuse a training whose last epoch had a `separation` near chance.

    Raises TrainingCollapsedError with the measured values and remedies.
    """
    if value >= MIN_SEPARATION and loss == loss:  # noqa: PLR0124  (NaN is not equal to itself)
        return
    raise TrainingCollapsedError(
        f"training collapsed: after {epochs} epochs a class's own center is nearer than another's in only "
        f"{value:.0%} of comparisons (chance: 50 %, needed: {MIN_SEPARATION:.0%}), loss {loss:.3f}. "
        "No verdicts were written. Try a smaller train.margin or train.learning_rate, more train.epochs, "
        "a longer train.warmup_share, or check that the images of a label show one person."
    )
