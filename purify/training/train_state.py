"""What a training changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from purify.config import ModelConfig, TrainConfig
from purify.models.backbones import build_backbone, load_backbone_weights
from purify.models.heads import INIT_STD, SubcenterHead
from purify.models.logit_scale import default_scale
from purify.models.precision import autocast, resolve_precision
from purify.models.process_group import Part, World
from purify.models.seeding import class_normals
from purify.training.distributed import across
from purify.training.ema import WeightAverage

#: Length of the random step from a class's center to each of its new sub-centers (which are unit vectors).
_GROW_SPREAD = 0.1
#: What a draw is for; with the seed it decides the numbers.
_HEAD, _GROWTH = 1, 2


@dataclass
class Learner:
    """Weights, optimizer and counts of one rank.

    Attributes
    ----------
    backbone
        The module with the weights.
    network
        What is called: `backbone`, or what adds up its gradients over the ranks.
    head
        Of this rank's classes.
    classes
        Which these are.
    average
        Running mean of the weights, if asked for.
    step
        Steps done.
    epoch_losses
        Mean loss of each epoch; of the running one, the sum so far over the steps that it will have.
    separation
        Mean over the last epoch, likewise.
    """

    backbone: nn.Module
    network: nn.Module
    head: SubcenterHead
    classes: Part
    optimizer: torch.optim.SGD
    loss_scaler: torch.amp.GradScaler
    average: WeightAverage | None
    device: torch.device
    dtype: torch.dtype
    world: World
    step: int = 0
    epoch_losses: list[float] = field(default_factory=list)
    separation: float = 0.0

    def start_step(self) -> None:
        """Batch normalization learns with the backbone, and stays as it is with a frozen one."""
        self.backbone.train(any(parameter.requires_grad for parameter in self.backbone.parameters()))

    def embed(self, images: Tensor) -> Tensor:
        """``images[N, 3, S, S]`` of this rank -> embeddings [N, D] in the precision of the head."""
        with autocast(self.device, self.dtype):
            embeddings: Tensor = self.network(images.to(self.head.weight.dtype))
        return embeddings.to(self.head.weight.dtype)

    @contextmanager
    def gradients_stay_here(self, stay: bool) -> Iterator[None]:
        """While `stay`, backward passes only collect: the ranks' gradients are added up in a later one."""
        if stay and isinstance(self.network, DistributedDataParallel):
            with self.network.no_sync():
                yield
        else:
            yield

    def replace_rows(self, rows: Tensor) -> None:
        """Other rows of the head, such as after growth; they start without momentum."""
        self.optimizer.state.pop(self.head.weight, None)
        self.head.weight = nn.Parameter(rows.to(self.head.weight))
        self.optimizer.param_groups[1]["params"] = [self.head.weight]

    def grow(self, subcenters: int, *, seed: int) -> None:
        """K sub-centers from one."""
        shape = (subcenters - 1, self.head.weight.shape[2])
        self.head.grow(class_normals(self.classes, shape, seed, _GROWTH), spread=_GROW_SPREAD)
        self.replace_rows(self.head.weight.detach())
        if self.average is not None:
            self.average.restart_head(self.head)


def new_learner(
    model: ModelConfig,
    config: TrainConfig,
    *,
    classes: int,
    subcenters: int,
    seed: int,
    device: torch.device,
    world: World,
) -> Learner:
    """Fresh weights (or the backbone's given ones) and an optimizer, on `device`."""
    torch.manual_seed(seed)
    backbone = build_backbone(model.backbone, embedding_dim=model.embedding_dim, input_size=model.input_size)
    if model.weights:
        load_backbone_weights(backbone, Path(model.weights))
    if config.freeze_backbone:
        backbone.requires_grad_(False)
    own = world.part(classes)
    head = SubcenterHead(
        0,
        model.embedding_dim,
        scale=config.scale or default_scale(classes),
        negative_filter=config.negative_filter,
    ).with_rows(class_normals(own, (subcenters, model.embedding_dim), seed, _HEAD).mul_(_first_spread(model, config)))
    dtype = resolve_precision(config.precision, device, backbone=model.backbone)
    weights = torch.float64 if dtype is torch.float64 else torch.float32
    backbone = backbone.to(device, weights).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = head.to(device, weights)
    network = across(backbone, world, sync_batchnorm=config.sync_batchnorm)
    if config.compile:
        backbone.compile()
    trainable = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(
        [{"params": trainable}, {"params": [head.weight]}],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov and config.momentum > 0,
    )
    return Learner(
        backbone=backbone,
        network=network,
        head=head,
        classes=own,
        optimizer=optimizer,
        loss_scaler=torch.amp.GradScaler(device.type, enabled=dtype is torch.float16),
        average=WeightAverage(config.ema, backbone, head) if config.ema else None,
        device=device,
        dtype=dtype,
        world=world,
    )


def _first_spread(model: ModelConfig, config: TrainConfig) -> float:
    """Standard deviation of a fresh head's numbers.

    A row's gradient grows as the row is shorter: short ones jump at the first step, and are then too long to turn.
    A backbone that learns makes up for it. A frozen one can't, so its head starts with rows of about unit length.
    """
    return float(model.embedding_dim**-0.5) if config.freeze_backbone else INIT_STD
