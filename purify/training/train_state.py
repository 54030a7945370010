"""State of a training: weights, optimizer and counters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from purify.config import ModelConfig, TrainConfig
from purify.models.backbones import build_backbone, load_backbone_weights
from purify.models.batchnorm import compile_around_batchnorm
from purify.models.heads import INIT_STD, SubcenterHead
from purify.models.logit_scale import default_scale
from purify.models.optimizers import SGD
from purify.models.precision import autocast, resolve_precision
from purify.models.process_group import Ranks, Shard
from purify.models.seeding import class_normals
from purify.training.distributed import data_parallel
from purify.training.ema import EmaWeights

#: Length of the random step from a class's center to each of its new sub-centers (which are unit vectors).
_GROW_SPREAD = 0.1
#: Devices with a fused SGD in all versions of PyTorch that we take.
_FUSED = ("cpu", "cuda")
#: Purposes of random draws, seeded by (seed, purpose).
_HEAD, _GROWTH = 1, 2


@dataclass
class TrainState:
    """Weights, optimizer and counters of one rank, after `step` steps.

    `network` is the backbone, or its data-parallel wrapper that sums gradients over the ranks; `head` has this rank's
    shard of the `classes`. `losses` has the mean loss of each epoch; of the running epoch, its losses so far divided by
    its number of steps. `separation` is the mean over the last epoch, likewise. These are sums on the device, in
    float64 where it has that.
    """

    backbone: nn.Module
    network: nn.Module
    head: SubcenterHead
    classes: Shard
    optimizer: torch.optim.SGD
    loss_scaler: torch.amp.GradScaler
    ema: EmaWeights | None
    device: torch.device
    dtype: torch.dtype
    ranks: Ranks
    seed: int
    separation: Tensor
    losses: list[Tensor] = field(default_factory=list)
    step: int = 0

    @property
    def epoch_losses(self) -> list[float]:
        """`losses`, read from the device."""
        return [float(loss) for loss in torch.stack(self.losses).cpu()] if self.losses else []

    def restore_figures(self, losses: Sequence[float], separation: float) -> None:
        """Set `losses` and `separation` to numbers that were read before."""
        self.losses = [torch.full_like(self.separation, loss) for loss in losses]
        self.separation = torch.full_like(self.separation, separation)

    def embed(self, images: Tensor) -> Tensor:
        """``images[N, 3, S, S]`` of this rank -> embeddings [N, D] in the precision of the head."""
        with autocast(self.device, self.dtype):
            embeddings: Tensor = self.network(images.to(self.head.weight.dtype))
        return embeddings.to(self.head.weight.dtype)

    def local_gradients(self, local: bool) -> AbstractContextManager[None]:
        """While `local`, backward passes accumulate on this rank; a later one sums over the ranks."""
        return self.network.no_sync() if local and isinstance(self.network, DistributedDataParallel) else nullcontext()

    def replace_rows(self, rows: Tensor) -> None:
        """Replace the head's rows, as after growth; new rows have no momentum."""
        self.optimizer.state.pop(self.head.weight, None)
        self.head.weight = nn.Parameter(rows.to(self.head.weight))
        self.optimizer.param_groups[1]["params"] = [self.head.weight]

    def grow(self, subcenters: int) -> None:
        """Grow the head from one center per class to `subcenters`."""
        shape = (subcenters - 1, self.head.weight.shape[2])
        self.head.grow(class_normals(self.classes, shape, self.seed, _GROWTH), spread=_GROW_SPREAD)
        self.replace_rows(self.head.weight.detach())
        if self.ema is not None:
            self.ema.restart_head(self.head)


def initial_state(
    model: ModelConfig,
    config: TrainConfig,
    *,
    classes: int,
    subcenters: int,
    seed: int,
    device: torch.device,
    ranks: Ranks,
) -> TrainState:
    """Fresh weights (or ``model.weights``) and an optimizer, on `device`."""
    torch.manual_seed(seed)
    backbone, own = _first_backbone(model, frozen=config.freeze_backbone), ranks.shard(classes)
    head = SubcenterHead(
        0, model.embedding_dim, scale=config.scale or default_scale(classes), negative_filter=config.negative_filter
    ).with_rows(class_normals(own, (subcenters, model.embedding_dim), seed, _HEAD).mul_(_head_std(model, config)))
    dtype = resolve_precision(config.precision, device, backbone=model.backbone)
    weights = torch.float64 if dtype is torch.float64 else torch.float32
    backbone = backbone.to(device, weights).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = head.to(device, weights)
    network = data_parallel(backbone, ranks, sync_batchnorm=config.sync_batchnorm)
    if config.compile:
        compile_around_batchnorm(backbone)
    return TrainState(
        backbone=backbone,
        network=network,
        head=head,
        classes=own,
        optimizer=_optimizer(backbone, head, config, device),
        loss_scaler=torch.amp.GradScaler(device.type, enabled=dtype is torch.float16),
        ema=EmaWeights(config.ema, backbone, head) if config.ema else None,
        device=device,
        dtype=dtype,
        ranks=ranks,
        seed=seed,
        separation=torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device),
    )


def _first_backbone(model: ModelConfig, *, frozen: bool) -> nn.Module:
    backbone = build_backbone(model.backbone, embedding_dim=model.embedding_dim, input_size=model.input_size)
    if model.weights:
        load_backbone_weights(backbone, Path(model.weights))
    return backbone.requires_grad_(False) if frozen else backbone


def _optimizer(backbone: nn.Module, head: SubcenterHead, config: TrainConfig, device: torch.device) -> torch.optim.SGD:
    """SGD in one pass over each weight: the same bits as several, in a quarter of the time on a CPU.

    With float16 on CUDA it also heeds an overflow without waiting for the check.
    """
    trainable = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    return SGD(
        [{"params": trainable}, {"params": [head.weight]}],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov and config.momentum > 0,
        fused=True if device.type in _FUSED else None,
    )


def _head_std(model: ModelConfig, config: TrainConfig) -> float:
    """Standard deviation of a fresh head's weights.

    The shorter a row, the larger its gradient: short rows jump at the first step, and are then too long to turn. A
    backbone in training compensates; a frozen one can't, so its head starts with rows of about unit length.
    """
    return float(model.embedding_dim**-0.5) if config.freeze_backbone else INIT_STD
