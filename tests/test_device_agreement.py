"""A GPU computes what the CPU does. Without one only the CPU is compared with itself, which must be exact."""

from __future__ import annotations

import pytest
import torch

from benchmarks.device_agreement import CPU, agreement


def test_the_cpu_agrees_with_itself_to_the_bit() -> None:
    assert agreement(CPU) == {"loss": 0.0, "weights": 0.0, "embeddings": 0.0, "nearest": 0.0}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_agrees_with_the_cpu() -> None:
    found = agreement(torch.device("cuda"))
    assert found["loss"] < 1e-3
    assert found["weights"] < 1e-2
    assert found["embeddings"] < 1e-4
    assert found["nearest"] == 0
