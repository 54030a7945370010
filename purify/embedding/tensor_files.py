"""Embeddings saved by PyTorch (``.pt``, ``.pth``) or as safetensors: one matrix, or a vector for each id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from purify.errors import InputError
from purify.models.state_dicts import is_plain, read_tensors

_EXPECTED = "a tensor [N, D], one of them with a list of ids, or a vector for each id is expected"


@dataclass(frozen=True)
class NamedMatrix:
    """Embeddings [N, D], and their ids if the file has them."""

    matrix: npt.NDArray
    ids: Sequence[str] | None


def read_named_matrix(file: Path, *, embedding: str | None, ids: str | None) -> NamedMatrix:
    """Read a matrix, a dictionary of one and a list of ids, or a dictionary of a vector for each id.

    `embedding` and `ids` name the entries of a dictionary where several could be meant. InputError if the file is
    damaged, holds other things, or is ambiguous.
    """
    content = read_tensors(file, expected=_EXPECTED)
    if not isinstance(content, Mapping):
        return NamedMatrix(_array(file, content), None)
    matrices = [name for name, value in content.items() if _dimensions(value) == 2]
    if not matrices and content and all(_dimensions(value) == 1 for value in content.values()):
        if len({len(vector) for vector in content.values()}) > 1:
            raise InputError(f"{file}: vectors of several lengths; {_EXPECTED}")
        return NamedMatrix(_array(file, torch.stack(list(content.values()))), list(map(str, content)))
    lists = [name for name, value in content.items() if _is_text(value)]
    name, named = embedding or _only(matrices), ids or _only(lists)
    if name not in matrices or (named not in lists and (ids is not None or len(lists) > 1)):
        raise InputError(
            f"{file}: name the entries by --embedding-columns path=ENTRY,embedding=ENTRY; {_EXPECTED}; it has: "
            f"{', '.join(map(str, content)) or 'nothing'}"
        )
    return NamedMatrix(_array(file, content[name]), None if named is None else list(content[named]))


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _dimensions(value: Any) -> int:
    """Number of dimensions of a tensor; -1 for anything else."""
    return value.dim() if isinstance(value, Tensor) else -1


def _is_text(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, str) for item in value)


def _array(file: Path, value: Any) -> npt.NDArray:
    if not isinstance(value, Tensor) or value.dim() != 2 or not value.is_floating_point() or not is_plain(value):
        kind = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"{file}: is {kind}; {_EXPECTED}")
    known = value.dtype in (torch.float16, torch.float32, torch.float64)  # NumPy has no bfloat16
    array: npt.NDArray = value.detach().to(value.dtype if known else torch.float32).numpy()
    return array
