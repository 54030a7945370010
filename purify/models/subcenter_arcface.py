"""Sub-center ArcFace as one module with the paper's defaults, for your own training loops."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from purify.models.heads import Margin, SubcenterHead


class SubcenterArcFace(SubcenterHead):
    """Sub-center ArcFace: embeddings and labels -> logits for the cross-entropy.

    ArcFace with K centers per class (Deng et al., ECCV 2020; TPAMI 2022): a class's cosine is that of its nearest
    sub-center, and the margin is added to the angle of the true class.

    Parameters
    ----------
    embedding_dim
        D, the length of the embeddings; they need not be of unit length.
    num_classes
        C.
    subcenters
        K; 1 is plain ArcFace.
    scale
        s, the factor of the cosines.
    margin
        m, in radians.
    easy_margin
        Add the margin only to angles below 90 degrees, as some public code does.

    Attributes
    ----------
    weight
        Parameter [C, K, D]; its rows are normalized when used.

    Examples
    --------
    >>> import torch
    >>> from purify import SubcenterArcFace
    >>> _ = torch.manual_seed(0)
    >>> labels = torch.arange(4).repeat(16)
    >>> images = torch.eye(4)[labels] + 0.1 * torch.randn(64, 4)
    >>> backbone, head = torch.nn.Linear(4, 8), SubcenterArcFace(8, 4, scale=16.0)
    >>> optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.5)
    >>> for step in range(200):
    ...     loss = head.loss(backbone(images), labels)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    >>> bool(loss < 0.5)
    True
    >>> head(backbone(images), labels).shape, head.subcenter_cosine(backbone(images)).shape
    (torch.Size([64, 4]), torch.Size([64, 4, 3]))
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        *,
        subcenters: int = 3,
        scale: float = 64.0,
        margin: float = 0.5,
        easy_margin: bool = False,
    ) -> None:
        margins = Margin(m2=margin, only_above=0.0 if easy_margin else None)
        super().__init__(num_classes, embedding_dim, subcenters=subcenters, scale=scale, margin=margins)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of ``embeddings[N, D]`` and ``labels[N]``."""
        return F.cross_entropy(self(embeddings, labels), labels)

    def subcenter_cosine(self, embeddings: Tensor) -> Tensor:
        """``embeddings[N, D]`` -> cosines [N, C, K] to every sub-center."""
        return self.subcenter_cosines(embeddings)

    @torch.no_grad()
    def dominant(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The dominant sub-center [C] of each class: the nearest one to most of its ``embeddings[N, D]``.

        Ties go to the lowest index; classes absent from ``labels[N]`` get 0.
        """
        classes, subcenters, _ = self.weight.shape
        rows = torch.arange(len(labels), device=labels.device)
        nearest = self.subcenter_cosines(embeddings)[rows, labels].argmax(dim=1)
        votes = torch.bincount(labels * subcenters + nearest, minlength=classes * subcenters)
        return votes.view(classes, subcenters).argmax(dim=1)
