"""State dicts of tensors that no backbone can take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from purify.errors import InputError
from purify.models.state_dicts import read_state_dict

ODD = {
    "sparse": torch.eye(3).to_sparse(),
    "rows": torch.eye(3).to_sparse_csr(),
    "complex": torch.ones(3, dtype=torch.complex64),
    "no values": torch.ones(3, device="meta"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_tensors_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"fine": torch.ones(2), "layer.weight": ODD[kind]}, path)
    with pytest.raises(InputError, match=r"weights\.pth: layer\.weight is sparse.*1 such tensors"):
        read_state_dict(path)
