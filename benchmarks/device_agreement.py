"""Whether a device computes what the CPU does: a training, embeddings, and nearest rows, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from purify.config import ModelConfig, TrainConfig
from purify.embedding.backbone import Extractor
from purify.faces.augment import Augmentation, random_views
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint
from purify.models.heads import SubcenterHead
from purify.models.nearest_rows import top_cosines
from purify.models.process_group import SINGLE_PROCESS
from purify.training.schedule import make_schedule
from purify.training.step import train_step
from purify.training.train_state import initial_state

CPU = torch.device("cpu")
_SIZE, _IMAGES, _CLASSES, _DIM, _STEPS = 32, 24, 7, 16, 3
#: Cosines that differ by no more are a tie: either row may come first.
TIE = 1e-4


def agreement(device: torch.device) -> dict[str, float]:
    """Largest differences between `device` and the CPU.

    Returns
    -------
    dict
        ``loss``: relative, over three training steps with views drawn on the device, sub-centers and sampled classes;
        ``weights`` of the head after them, relative to their norm; ``embeddings``: absolute, of unit vectors;
        ``nearest``: the share of neighbors that are other rows, ties within `TIE` aside.
    """
    with _exact_convolutions():
        trained = [_trained(place) for place in (CPU, device)]
        embedded = [_embedded(place) for place in (CPU, device)]
    (losses, weights), (found_losses, found_weights) = trained
    return {
        "loss": float(np.abs(found_losses / losses - 1).max()),
        "weights": float(np.linalg.norm(found_weights - weights) / np.linalg.norm(weights)),
        "embeddings": float(np.abs(embedded[1] - embedded[0]).max()),
        "nearest": _other_neighbors(device),
    }


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Without TF32, which cuDNN takes for float32 by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (_IMAGES, 3, _SIZE, _SIZE), dtype=np.uint8)


def _trained(device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Losses of a few steps, and the head's rows."""
    model = ModelConfig(backbone="iresnet_small", embedding_dim=_DIM, input_size=_SIZE)
    config = TrainConfig(batch_size=_IMAGES, min_steps=_STEPS, warmup_share=0, precision="float32", sample_rate=0.5)
    schedule = make_schedule(config, samples=_IMAGES, subcenters=2)
    state = initial_state(model, config, classes=_CLASSES, subcenters=2, seed=0, device=device, ranks=SINGLE_PROCESS)
    pixels, rows = _pixels(), np.arange(_IMAGES)
    labels = torch.from_numpy(rows % _CLASSES)[None]
    losses = []
    for step in range(_STEPS):
        views = random_views(pixels, rows, Augmentation(mask=0.2), seed=0, step=step, device=device)
        losses.append(train_step(state, schedule, labels, [views]))
    return torch.stack(losses).cpu().numpy(), state.head.weight.detach().cpu().numpy()


def _embedded(device: torch.device) -> np.ndarray:
    torch.manual_seed(0)
    backbone = build_backbone("iresnet_small", embedding_dim=_DIM, input_size=_SIZE).eval()
    head, labels = SubcenterHead(2, _DIM), ("a", "b")
    checkpoint = Checkpoint.of(backbone, head, backbone_name="iresnet_small", input_size=_SIZE, labels=labels, extra={})
    return Extractor(checkpoint, precision="float32", device=device)(_pixels())


def _other_neighbors(device: torch.device, k: int = 5) -> float:
    rows = np.random.default_rng(1).normal(size=(600, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines, expected = top_cosines(rows, rows, k)
    found_cosines, found = top_cosines(rows, rows, k, device=device)
    return float(((found != expected) & (np.abs(found_cosines - cosines) > TIE)).mean())
