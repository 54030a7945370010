"""The terms of the objective, a value per image; ArcFace (TPAMI), section 3.3 and algorithm 1.

The identity term draws an image to its target: the margin loss to a class or to one of its sub-centers, or the
distance between features. The image terms keep it smooth and moderate. The prior on batch-norm statistics is in
`purify.inversion.batchnorm_prior`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from purify.config import InvertConfig
from purify.models.heads import Margin, SubcenterHead

#: ``features[N, D]`` -> ``losses[N]``.
IdentityTerm = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MarginIdentity:
    """Cross-entropy of a margin head, the image of row n against all classes but its own.

    Attributes
    ----------
    head
        The network's head.
    classes
        int64[N], the class of each image.
    subcenters
        int64[N]: the sub-center of that class which the image shall approach; -1: whichever is nearest. The class's
        other sub-centers don't compete: they may be the same person.
    margin
        Of the target's angle or cosine.
    pull
        Factor of the squared distance to the sub-center, beside the cross-entropy, which ends where no other class
        competes any more.
    """

    head: SubcenterHead
    classes: Tensor
    subcenters: Tensor
    margin: Margin
    pull: float = 0.0

    def __call__(self, features: Tensor) -> Tensor:
        """``features[N, D]``, of any length -> losses [N]."""
        cosines = self.head.cosines(features)
        rows = torch.arange(len(features), device=features.device)
        named = cosines_of(features, self.head.weight[self.classes, self.subcenters.clamp(min=0)])
        own = torch.where(self.subcenters < 0, cosines[rows, self.classes], named)
        logits = self.head.scale * cosines.index_put((rows, self.classes), self.margin.apply(own))
        return F.cross_entropy(logits, self.classes, reduction="none") + self.pull * (2 - 2 * own)


@dataclass(frozen=True)
class FeatureIdentity:
    """Squared distance ``|x - t|^2 = 2 - 2 cos`` of unit features to unit targets.

    The open-set term. Lengths are left out: embeddings are stored at unit length.

    Attributes
    ----------
    targets
        float32[N, D], of any length.
    scale
        Factor of the distance.
    """

    targets: Tensor
    scale: float = 1.0

    def __call__(self, features: Tensor) -> Tensor:
        """``features[N, D]``, of any length -> losses [N]."""
        return self.scale * (2 - 2 * cosines_of(features, self.targets))


def cosines_of(a: Tensor, b: Tensor) -> Tensor:
    """Row-wise cosines [N] of ``a[N, D]`` and ``b[N, D]``."""
    return (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(dim=1)


def total_variation(images: Tensor) -> Tensor:
    """``images[N, 3, S, S]`` -> [N]: sum of the absolute differences of horizontal and vertical neighbors."""
    horizontal = (images[..., 1:] - images[..., :-1]).abs().sum(dim=(1, 2, 3))
    vertical = (images[..., 1:, :] - images[..., :-1, :]).abs().sum(dim=(1, 2, 3))
    return horizontal + vertical


def squared_norm(images: Tensor) -> Tensor:
    """``images[N, 3, S, S]`` in [-1, 1] -> [N]: sum of the squares."""
    return images.square().sum(dim=(1, 2, 3))


@dataclass(frozen=True)
class LossTerms:
    """The unweighted terms: `identity`, `total_variation` and `norm` per image [N], `batchnorm` of the whole batch."""

    identity: Tensor
    batchnorm: Tensor
    total_variation: Tensor
    norm: Tensor

    def weighted(self, config: InvertConfig) -> Tensor:
        """The objective: means over the batch, by the weights of the configuration."""
        return (
            config.identity * self.identity.mean()
            + config.batchnorm * self.batchnorm
            + config.total_variation * self.total_variation.mean()
            + config.norm * self.norm.mean()
        )

    def detached(self) -> LossTerms:
        """The same numbers without the graph behind them."""
        return LossTerms(*(getattr(self, name).detach() for name in self.__dataclass_fields__))
