from __future__ import annotations

import pytest
import torch
from torch import nn

from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint
from purify.models.heads import Margin, SubcenterHead

SIDE, DIM, CLASSES = 32, 16, 12


def make_checkpoint(name: str = "iresnet_small", *, subcenters: int = 3) -> Checkpoint:
    """A network with drawn weights that has seen batches of blocks, and a head around its embeddings of them."""
    torch.manual_seed(0)
    backbone = build_backbone(name, embedding_dim=DIM, input_size=SIDE)
    blocks = torch.rand(CLASSES, 3, 4, 4) * 2 - 1
    images = nn.functional.interpolate(blocks, size=(SIDE, SIDE), mode="bilinear")
    with torch.no_grad():
        for _ in range(40):
            backbone.train()(images + 0.1 * torch.randn_like(images))
        features = backbone.eval()(images)
    head = SubcenterHead(CLASSES, DIM, subcenters=subcenters, scale=16.0, margin=Margin(m2=0.2))
    with torch.no_grad():
        head.weight.copy_(features[:, None] + 0.2 * features.std() * torch.randn(CLASSES, subcenters, DIM))
    labels = [f"person {number}" for number in range(CLASSES)]
    return Checkpoint.of(backbone, head, backbone_name=name, input_size=SIDE, labels=labels, extra={})


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return make_checkpoint()
