"""The area under the margin (AUM): the mean, over the epochs of a training, by which the given label's logit leads.

Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking", NeurIPS 2020,
arXiv 2001.10528.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rivals import Scores
from benchmarks.vectors import LabeledVectors
from purify.arrays import Floats, Ids

_EPOCHS = 20
_BATCH = 256
_LEARNING_RATE, _MOMENTUM, _DECAY = 0.1, 0.9, 1e-4
_PERCENTILE = 99


def area_under_margin(data: LabeledVectors, seed: int) -> Scores:
    """Mean logit margin of a linear head in training, less the paper's own cut.

    In a training, N / (C + 1) of the samples carry an added class, whose members can't agree: what is not above 99 %
    of their margins is an error. A second training, with other such samples, judges those of the first.
    """
    count = max(1, len(data.label_index) // (data.classes + 1))
    drawn = np.random.default_rng([seed, 3]).permutation(len(data.label_index))
    first, second = drawn[:count], drawn[count : 2 * count]
    trust = _above_cut(data, first, seed)
    if len(second):
        trust[first] = _above_cut(data, second, seed)[first]
    return Scores(trust, trust <= 0, "order")


def _above_cut(data: LabeledVectors, indicators: Ids, seed: int) -> Floats:
    labels = data.label_index.copy()
    labels[indicators] = data.classes
    margins = mean_margins(LabeledVectors(data.vectors, labels, data.classes + 1), seed)
    return margins - np.percentile(margins[indicators], _PERCENTILE)


def mean_margins(data: LabeledVectors, seed: int) -> Floats:
    """Logit of the label less the largest other one, as each batch is trained on; the mean over the epochs [N]."""
    # Coordinates of variance 1, as heads expect them: rows of length 1 would hardly move it in so few steps.
    inputs = torch.from_numpy(data.vectors * np.sqrt(data.vectors.shape[1], dtype=np.float32))
    labels, total = torch.from_numpy(data.label_index), torch.zeros(len(data.label_index), dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(inputs.shape[1], data.classes)
        optimizer = torch.optim.SGD(head.parameters(), lr=_LEARNING_RATE, momentum=_MOMENTUM, weight_decay=_DECAY)
        for _ in range(_EPOCHS):
            for rows in torch.randperm(len(labels)).split(_BATCH):
                logits = head(inputs[rows])
                total[rows] += _margins(logits.detach(), labels[rows])
                optimizer.zero_grad()
                nn.functional.cross_entropy(logits, labels[rows]).backward()
                optimizer.step()
    return (total / _EPOCHS).numpy()


def _margins(logits: Tensor, labels: Tensor) -> Tensor:
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.max(dim=1).values
