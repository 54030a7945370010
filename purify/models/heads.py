"""Margin heads: logits of embeddings over classes with K sub-centers each.

ArcFace (TPAMI, sections 3.1 and 3.2): unit embeddings and unit centers; a class's cosine is the largest over its
sub-centers, for the true class and for all others; the margin acts on the true class only,
``cos(m1 * theta + m2) - m3``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from purify.models.subcenter_cosine import class_cosines, subcenter_cosines

#: Standard deviation of a fresh head's weights.
INIT_STD = 0.01
#: Distance that cosines keep from +-1, where the derivative of acos is infinite.
_ACOS_GUARD = 1e-6


@dataclass(frozen=True)
class Margin:
    """``cos(m1 * theta + m2) - m3``, theta in radians. ArcFace: m2. CosFace: m3. SphereFace: m1.

    Cosines up to `only_above`, if it is given, get no margin.
    """

    m1: float = 1.0
    m2: float = 0.0
    m3: float = 0.0
    only_above: float | None = None

    def apply(self, cosines: Tensor) -> Tensor:
        """Cosines of the true class -> target cosines.

        Beyond an angle of pi the cosine would rise again; from ``k * pi`` on it is continued as
        ``(-1)^k * cos - 2 * k`` (``-2 - cos`` up to 2 pi), which is continuous and monotonic.
        """
        if self.only_above is not None:
            return torch.where(cosines > self.only_above, replace(self, only_above=None).apply(cosines), cosines)
        if self.m1 == 1.0 and self.m2 == 0.0:
            return cosines - self.m3
        angle = self.m1 * torch.acos(cosines.clamp(-1 + _ACOS_GUARD, 1 - _ACOS_GUARD)) + self.m2
        half_turns = torch.floor(angle.detach() / math.pi)
        sign = 1 - 2 * torch.remainder(half_turns, 2)
        return sign * torch.cos(angle) - 2 * half_turns - self.m3


class SubcenterHead(nn.Module):
    """``embeddings[N, D]``, ``labels[N]`` -> ``logits[N, C]``.

    `classes`, `subcenters` and `dim` are C, K and D, the shape of the parameter `weight`, whose rows are normalized
    when used; K = 1 is plain ArcFace (or CosFace). A head may hold a shard of the classes
    (`purify.models.process_group`); labels of other shards are then -1. `scale`, the factor of the cosines, and
    `margin` may be set between steps.

    Other classes with a cosine above `negative_filter` are excluded from the softmax: an image so near to a class may
    belong to it, under a wrong label. None: all compete.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        subcenters: int = 1,
        scale: float = 64.0,
        margin: Margin = Margin(),
        negative_filter: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, subcenters, dim, generator=generator) * INIT_STD)
        self.scale = scale
        self.margin = margin
        self.negative_filter = negative_filter

    @property
    def subcenters(self) -> int:
        """K."""
        return self.weight.shape[1]

    def subcenter_cosines(self, embeddings: Tensor) -> Tensor:
        """``embeddings[N, D]`` -> cosines [N, C, K] to every sub-center."""
        return subcenter_cosines(embeddings, self.weight)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """``embeddings[N, D]`` -> cosines [N, C] to the nearest sub-center of each class."""
        return class_cosines(embeddings, self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scaled logits, with the margin on the true class; float32 also under autocast. Filtered logits are -inf."""
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = self.cosines(embeddings.to(self.weight.dtype))
            if not self.weight.shape[0]:  # more ranks than classes
                return self.scale * cosines
            place = labels.clamp_min(0)[:, None]  # not the rows with a label: counting them would stop a GPU's queue
            own = cosines.gather(1, place)
            target = torch.where(labels[:, None] >= 0, self.margin.apply(own), self._filtered(own))
            return self.scale * self._filtered(cosines).scatter(1, place, target)

    def _filtered(self, cosines: Tensor) -> Tensor:
        if self.negative_filter is None:
            return cosines
        return cosines.masked_fill(cosines > self.negative_filter, -math.inf)

    def with_rows(self, rows: Tensor) -> SubcenterHead:
        """A head with the same settings, and ``rows[S, K, D]`` as its weight."""
        head = SubcenterHead(0, self.weight.shape[2], scale=self.scale, margin=self.margin)
        head.negative_filter, head.weight = self.negative_filter, nn.Parameter(rows)
        return head

    def grow(self, noise: Tensor, *, spread: float) -> None:
        """Grow from one center per class to K: the center itself, and perturbed copies of it.

        Each copy is the unit center plus `spread` times a row of ``noise[C, K - 1, D]`` at unit length, with the norm
        of the old row. Raises ValueError if the head already has more than one center per class.
        """
        if self.subcenters != 1:
            raise ValueError(f"a head grows from one center a class, not from {self.subcenters}")
        with torch.no_grad():
            center = F.normalize(self.weight, dim=2)
            copies = center + spread * F.normalize(noise.to(center), dim=2)
            rows = F.normalize(torch.cat([center, copies], dim=1), dim=2)
            grown = rows * self.weight.norm(dim=2, keepdim=True)
        self.weight = nn.Parameter(grown)
