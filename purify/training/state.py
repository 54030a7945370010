"""Resume points: everything that the rest of a training depends on, in one safetensors file.

Random draws are functions of (seed, step), so weights, momentum and the step are the whole state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from purify.manifest.io import atomic_path

_KEY = "purify.training"


@dataclass(frozen=True)
class ResumePoint:
    """State after `step` steps of the training with this `fingerprint`."""

    fingerprint: str
    step: int
    tensors: dict[str, Tensor]
    extra: dict[str, Any]


def save_resume_point(path: Path, point: ResumePoint) -> None:
    """Write atomically; a kill leaves the previous point whole."""
    header = {"fingerprint": point.fingerprint, "step": point.step, "extra": point.extra}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in point.tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(header, sort_keys=True)})


def load_resume_point(path: Path, fingerprint: str) -> ResumePoint | None:
    """The resume point of this very training, or None where there is none (or it is another's, or damaged)."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError):
        return None
    if header["fingerprint"] != fingerprint:
        return None
    return ResumePoint(fingerprint=fingerprint, step=header["step"], tensors=tensors, extra=header["extra"])
