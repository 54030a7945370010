"""Resume points: everything that the rest of a training depends on, in one safetensors file.

Random draws are functions of (seed, step), so weights, momentum and the step are the whole state. The file is the
same for any number of ranks: what each rank has of the head is sent to the first, which writes it behind the rest
part by part and never has it all in memory; each rank reads its own rows, however many ranks there are then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from purify.models.process_group import Part, World
from purify.storage.files import atomic_path

_KEY = "purify.training"
#: Names of types in the header of a safetensors file.
_TYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


@dataclass(frozen=True)
class ResumePoint:
    """State after `step` steps of the training with this `fingerprint`.

    Attributes
    ----------
    fingerprint, step
        Which training, and how far.
    tensors
        The same on every rank.
    rows
        Tensors with a row a class, of this rank's classes.
    extra
        JSON values.
    """

    fingerprint: str
    step: int
    tensors: Mapping[str, Tensor]
    rows: Mapping[str, Tensor]
    extra: dict[str, Any]


def save_resume_point(path: Path, point: ResumePoint, *, classes: Part, world: World) -> None:
    """Write atomically; a kill leaves the previous point whole. All ranks call it, the first one writes.

    Parameters
    ----------
    path
        Of the file.
    point
        The rank's state.
    classes
        Those that the rank's `rows` are of.
    world
        The ranks.
    """
    if world.rank > 0:
        for name in sorted(point.rows):
            world.send(point.rows[name])
        return
    shapes = {
        **{name: (tensor, list(tensor.shape)) for name, tensor in sorted(point.tensors.items())},
        **{name: (tensor, [classes.total, *tensor.shape[1:]]) for name, tensor in sorted(point.rows.items())},
    }
    header = {"fingerprint": point.fingerprint, "step": point.step, "extra": point.extra, "rows": sorted(point.rows)}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header(shapes, json.dumps(header, sort_keys=True)))
        for _, tensor in sorted(point.tensors.items()):
            _write(file, tensor)
        for _, rows in sorted(point.rows.items()):
            for part in world.received(rows, classes.total):
                _write(file, part)


def _header(shapes: Mapping[str, tuple[Tensor, list[int]]], metadata: str) -> bytes:
    """The start of a safetensors file: its length, and names, types, shapes and places as JSON."""
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


def load_resume_point(path: Path, fingerprint: str, *, classes: Part) -> ResumePoint | None:
    """The resume point of this very training, or None where there is none (or it is another's, or damaged).

    Of tensors with a row a class, those of `classes`.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            if header["fingerprint"] != fingerprint:
                return None
            rows = {name: file.get_slice(name)[classes.slice] for name in header["rows"]}
            tensors = {name: file.get_tensor(name) for name in file.keys() if name not in rows}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError):
        return None
    return ResumePoint(fingerprint, header["step"], tensors, rows, header["extra"])
