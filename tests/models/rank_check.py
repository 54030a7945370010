"""What each of several real processes computes, for `test_ranks`: ``rank_check.py RANK SIZE FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from purify.models.heads import Margin, SubcenterHead
from purify.models.partial_fc import sampled_head
from purify.models.process_group import Ranks
from purify.models.seeding import seeded_generator
from purify.models.sharded_softmax import cross_entropy, gather_rows
from purify.training.collapse import separation
from purify.training.distributed import data_parallel

CLASSES, DIM, BATCH, INPUT, STEPS = 11, 6, 7, 5, 3
CASES: tuple[dict[str, Any], ...] = (
    {"rate": 1.0, "negative_filter": None},
    {"rate": 1.0, "negative_filter": 0.4},
    {"rate": 0.01, "negative_filter": None},  # one class beside those of the batch: some rank may have none
    {"rate": 0.4, "negative_filter": 0.4},
)


def _network() -> nn.Module:
    torch.manual_seed(1)
    layers = (nn.Linear(INPUT, 8), nn.BatchNorm1d(8), nn.PReLU(), nn.Linear(8, DIM), nn.BatchNorm1d(DIM))
    return nn.Sequential(*layers).double()


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = seeded_generator(step)
    images = torch.randn(BATCH, INPUT, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (BATCH,), generator=generator)


def trained(ranks: Ranks, *, rate: float, negative_filter: float | None) -> dict[str, Tensor]:
    """Losses, gradients, weights and momentum of a few steps; of the head: this rank's rows."""
    part = ranks.shard(CLASSES)
    weight = torch.randn(CLASSES, 3, DIM, generator=seeded_generator(2), dtype=torch.float64)
    head = SubcenterHead(0, DIM, scale=8.0, margin=Margin(m2=0.3), negative_filter=negative_filter)
    head = head.with_rows(weight[part.slice].clone())
    backbone = _network()
    network = data_parallel(backbone, ranks, sync_batchnorm=True)
    groups = [{"params": list(backbone.parameters())}, {"params": [head.weight]}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    found: dict[str, Tensor] = {}
    for step in range(STEPS):
        images, labels = batch(step)
        drawn = sampled_head(head, optimizer, labels, classes=part, rate=rate, generator=seeded_generator(3, step))
        with drawn as (some, targets):
            optimizer.zero_grad()
            embeddings = gather_rows(network(images[ranks.shard(BATCH).slice]), BATCH, ranks)
            loss = cross_entropy(some(embeddings, targets), targets, ranks)
            loss.backward()
            found[f"loss {step}"] = loss.detach()
            with torch.no_grad():
                found[f"separation {step}"] = separation(some.cosines(embeddings), targets, ranks)
            for name, parameter in backbone.named_parameters():
                assert parameter.grad is not None
                found[f"gradient {step} {name}"] = parameter.grad.clone()
            optimizer.step()
    found |= {f"backbone {name}": tensor for name, tensor in backbone.state_dict().items()}
    found["rows weight"] = head.weight.detach()
    found["rows momentum"] = optimizer.state[head.weight]["momentum_buffer"]
    return found


def main(rank: int, size: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    torch.save([trained(Ranks(rank, size), **case) for case in CASES], folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
