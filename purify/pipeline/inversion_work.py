"""The work of an inversion: its batches one after the other, each resumed from its last saved state."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from purify.config import InvertConfig
from purify.errors import InputError
from purify.inversion.descent import Descent, Subject
from purify.inversion.objective import LossTerms
from purify.inversion.targets import Batch, TargetSpace
from purify.models.precision import default_device, resolve_precision
from purify.progress import Progress
from purify.storage.files import atomic_path
from purify.storage.integrity import verify
from purify.storage.own_files import claim_work, remove_work

#: Names of saved states: the number of their batch.
STATES = re.compile(r"\d{6}\.safetensors")
#: Steps between two reports of progress.
_STEPS = 10


@dataclass(frozen=True)
class Reconstruction:
    """A finished batch: ``pixels[N, 3, S, S]`` of all its targets, and their terms without jitter or flip."""

    batch: Batch
    pixels: npt.NDArray[np.uint8]
    terms: LossTerms


def invert_batches(
    space: TargetSpace,
    batches: Sequence[Batch],
    config: InvertConfig,
    *,
    seed: int,
    work: Path,
    progress: Progress,
) -> list[Reconstruction]:
    """Invert all batches; states are kept in the folder `work` until `discard_work`.

    A folder of an earlier process is taken over: its path has to tell all that decides the images.
    """
    device = default_device()
    dtype = resolve_precision(config.precision, device, backbone=space.checkpoint.backbone_name)
    backbone, head = space.checkpoint.build()
    network = backbone.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = head.to(device).requires_grad_(False)
    claim_work(work)
    done = []
    for number, batch in enumerate(batches):
        identity = space.identity(batch, head, config, device)
        subject = Subject(network, identity, batch.names, space.checkpoint.input_size)
        descent = Descent(subject, config, seed=seed, device=device, dtype=dtype)
        keeper = _StateKeeper(work / f"{number:06d}.safetensors", config.checkpoint_seconds)
        _descend(descent, keeper, progress, before=number * config.steps, total=len(batches) * config.steps)
        done.append(Reconstruction(batch, descent.pixels(), descent.terms()))
    return done


def discard_work(work: Path) -> None:
    """Remove the states of a finished inversion."""
    remove_work(work, STATES)


def _descend(descent: Descent, keeper: _StateKeeper, progress: Progress, *, before: int, total: int) -> None:
    """Take all steps that are left."""
    keeper.restore(descent)
    while not descent.done:
        terms = descent.run(_STEPS)
        detail = f"identity {terms.identity.mean():.3f}, statistics {terms.batchnorm:.2f}"
        progress(before + descent.step, total, detail)
        keeper.save_if_due(descent)
    keeper.save(descent)


class _StateKeeper:
    """Saves a descent's state to `path`, atomically, at least `seconds` after the last time."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._saved = time.monotonic()

    def restore(self, descent: Descent) -> None:
        """Continue from the last state; a damaged one is said and not used."""
        if not self._path.is_file():
            return
        try:
            verify(self._path)
            descent.restore(load_file(self._path))
        except (SafetensorError, InputError, KeyError, OSError) as error:
            warnings.warn(f"the batch begins anew: its saved state can't be used: {error}", stacklevel=2)

    def save_if_due(self, descent: Descent) -> None:
        """Save if it is time."""
        if time.monotonic() - self._saved >= self._seconds and not descent.done:
            self.save(descent)

    def save(self, descent: Descent) -> None:
        """Save now."""
        with atomic_path(self._path) as temporary:
            save_file(descent.state(), temporary)
        self._saved = time.monotonic()
