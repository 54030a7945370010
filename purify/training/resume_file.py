"""The file of a resume point: safetensors, written and read shard by shard, the same for any number of ranks.

The other ranks send their shards of the head to the first, which appends them one by one and never holds the whole
head; each rank reads its own rows, whatever the number of ranks then. Not ``torch.distributed.checkpoint``: it pickles
its metadata (PyTorch 2.13, ``filesystem.py``), and nothing of ours unpickles a file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from purify.errors import InputError
from purify.models.process_group import Ranks, Shard
from purify.storage.files import atomic_path
from purify.storage.integrity import verify
from purify.storage.own_files import note_made, remove_made

_KEY = "purify.training"
#: Names of types in the header of a safetensors file.
_TYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


@dataclass(frozen=True)
class ResumePoint:
    """State after `step` steps: tensors equal on every rank, `rows` of this rank's classes, and `extra` JSON values."""

    step: int
    tensors: Mapping[str, Tensor]
    rows: Mapping[str, Tensor]
    extra: dict[str, Any]


@dataclass(frozen=True)
class ResumeFile:
    """File of a training's resume point.

    `fingerprint` identifies data, recipe and seed of the training; a point with another one is ignored.
    """

    path: Path
    fingerprint: str

    def save(self, point: ResumePoint, *, classes: Shard, ranks: Ranks) -> None:
        """Write atomically; a kill leaves the previous point whole. All ranks call it, the first one writes."""
        if ranks.rank > 0:
            for name in sorted(point.rows):
                ranks.send(point.rows[name])
            return
        shapes = {
            **{name: (tensor, list(tensor.shape)) for name, tensor in sorted(point.tensors.items())},
            **{name: (tensor, [classes.total, *tensor.shape[1:]]) for name, tensor in sorted(point.rows.items())},
        }
        metadata = {"fingerprint": self.fingerprint, "step": point.step, "extra": point.extra}
        metadata["rows"] = sorted(point.rows)
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            file.write(_header(shapes, json.dumps(metadata, sort_keys=True)))
            for _, tensor in sorted(point.tensors.items()):
                _write(file, tensor)
            for _, rows in sorted(point.rows.items()):
                for part in ranks.receive(rows, classes.total):
                    _write(file, part)

    def load(self, *, classes: Shard) -> ResumePoint | None:
        """The saved point, with the rows of `classes`; None if there is none of this training, or it is damaged."""
        if not self.path.exists():
            return None
        try:
            verify(self.path)
            with safe_open(self.path, framework="pt") as file:
                metadata = json.loads((file.metadata() or {})[_KEY])
                if metadata["fingerprint"] != self.fingerprint:
                    return None
                rows = {name: file.get_slice(name)[classes.slice] for name in metadata["rows"]}
                tensors = {name: file.get_tensor(name) for name in file.keys() if name not in rows}  # noqa: SIM118
        except (SafetensorError, InputError, KeyError, ValueError, TypeError, OSError) as error:
            warnings.warn(f"the training begins anew: its resume point can't be used: {error}", stacklevel=2)
            return None
        return ResumePoint(metadata["step"], tensors, rows, metadata["extra"])

    def discard(self) -> None:
        """Remove the point of this training, also one that an earlier process wrote; another's file is left."""
        try:
            with safe_open(self.path, framework="pt") as file:
                known = json.loads((file.metadata() or {})[_KEY])["fingerprint"]
        except (SafetensorError, KeyError, ValueError, TypeError, OSError):
            return
        if known.startswith(self.fingerprint):
            note_made(self.path)
            remove_made(self.path)


def _header(shapes: Mapping[str, tuple[Tensor, list[int]]], metadata: str) -> bytes:
    """Header of a safetensors file: its length, then names, types, shapes and offsets as JSON."""
    entries: dict[str, Any] = {"__metadata__": {_KEY: metadata}}
    end = 0
    for name, (tensor, shape) in shapes.items():
        start, end = end, end + int(np.prod(shape)) * tensor.element_size()
        entries[name] = {"dtype": _TYPES[tensor.dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write(file: BinaryIO, tensor: Tensor) -> None:
    array = tensor.detach().cpu().contiguous().numpy()
    file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).data)
