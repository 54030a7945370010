"""What images shall stand for: classes, sub-centers, or embeddings; and their division into batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from purify.arrays import Vectors
from purify.config import InvertConfig
from purify.errors import InputError, did_you_mean
from purify.inversion.objective import FeatureIdentity, IdentityTerm, MarginIdentity
from purify.models.checkpoint import Checkpoint
from purify.models.heads import Margin, SubcenterHead

Kind = Literal["class", "subcenter", "embedding"]
#: Sub-center of a target that is a whole class: whichever is nearest.
NEAREST = -1


@dataclass(frozen=True)
class Target:
    """What an image shall stand for.

    Attributes
    ----------
    kind
        ``class``, ``subcenter`` or ``embedding``.
    label
        Of the class; of an embedding, its id.
    subcenter
        Its number in the class; `NEAREST` for the others.
    kept
        False for one that only completes a batch.
    """

    kind: Kind
    label: str
    subcenter: int = NEAREST
    kept: bool = True

    @property
    def name(self) -> str:
        """A name that no other target of a request has."""
        return self.label if self.subcenter == NEAREST else f"{self.label} #{self.subcenter}"


@dataclass(frozen=True)
class Batch:
    """Targets that are inverted together, of different people where possible."""

    targets: tuple[Target, ...]

    @property
    def names(self) -> list[str]:
        """Names of the targets; those of companions differ from the kept ones'."""
        return [target.name if target.kept else f"{target.name} (companion)" for target in self.targets]


@dataclass(frozen=True)
class TargetSpace:
    """The classes of a network's head, or embeddings by their ids.

    Exactly one of both is used: with `vectors`, targets are embeddings.
    """

    checkpoint: Checkpoint
    vectors: Mapping[str, Vectors] = field(default_factory=dict)

    def labels(self, names: Iterable[str], *, each_subcenter: bool) -> list[Target]:
        """Targets for the classes `names`, or one for each of their sub-centers; InputError for an unknown label."""
        known = self.checkpoint.labels
        targets = []
        for name in names:
            if name not in known:
                raise InputError(f"{name!r} is none of the network's {len(known):,} labels{did_you_mean(name, known)}")
            numbers = range(self.checkpoint.subcenters)
            targets += [Target("subcenter", name, k) for k in numbers] if each_subcenter else [Target("class", name)]
        return targets

    def embeddings(self) -> list[Target]:
        """A target for each of the vectors."""
        return [Target("embedding", name) for name in self.vectors]

    def companions(self, batch: Sequence[Target], count: int, *, seed: int) -> list[Target]:
        """At most `count` targets of other people than those of `batch`."""
        present = {target.label for target in batch}
        kind: Kind = "embedding" if self.vectors else "class"
        others = [name for name in self.vectors or self.checkpoint.labels if name not in present]
        chosen = np.random.default_rng(seed).permutation(len(others))[: max(0, count)]
        return [Target(kind, others[i], kept=False) for i in sorted(chosen.tolist())]

    def identity(self, batch: Batch, head: SubcenterHead, config: InvertConfig, device: torch.device) -> IdentityTerm:
        """The identity term of a batch."""
        if self.vectors:
            rows = np.stack([self.vectors[target.label] for target in batch.targets])
            return FeatureIdentity(torch.from_numpy(rows).to(device), config.feature_scale)
        place = {label: number for number, label in enumerate(self.checkpoint.labels)}
        classes = torch.tensor([place[target.label] for target in batch.targets], device=device)
        subcenters = torch.tensor([target.subcenter for target in batch.targets], device=device)
        margin = self.checkpoint.margin if config.margin is None else Margin(m2=config.margin)
        return MarginIdentity(head, classes, subcenters, margin, config.center_pull)


def plan_batches(targets: Sequence[Target], space: TargetSpace, config: InvertConfig, *, seed: int) -> list[Batch]:
    """Divide targets into batches of nearly equal size; small ones get companions.

    The second, third, ... target of a label go to later batches as far as there are any.
    """
    count = max(1, -(-len(targets) // config.batch_size))
    batches: list[list[Target]] = [[] for _ in range(count)]
    for number, target in enumerate(_in_turn(targets)):
        batches[number * count // len(targets)].append(target)
    planned = []
    for batch in batches:
        missing = min(config.least_batch, config.batch_size) - len(batch)
        planned.append(Batch((*batch, *space.companions(batch, missing, seed=seed))))
    return planned


def _in_turn(targets: Sequence[Target]) -> list[Target]:
    """First targets of all labels, then second ones, and so on."""
    seen: defaultdict[str, int] = defaultdict(int)
    turns = []
    for number, target in enumerate(targets):
        turns.append((seen[target.label], number))
        seen[target.label] += 1
    return [targets[number] for _, number in sorted(turns)]
