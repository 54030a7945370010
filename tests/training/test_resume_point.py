from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from purify.config import ModelConfig, TrainConfig
from purify.models.process_group import Ranks
from purify.training import resume_point
from purify.training.resume_file import ResumeFile
from purify.training.resume_point import ResumeKeeper
from purify.training.train_state import initial_state


@dataclass(frozen=True)
class _Counted(Ranks):
    """One rank that counts how often the ranks would have been asked."""

    asked: list[int] = field(default_factory=list)

    def all_reduce_max(self, tensor: Tensor) -> Tensor:
        self.asked.append(int(tensor.item()))
        return tensor


@pytest.mark.parametrize(("seconds", "saved", "most"), [(100.0, [100, 200, 300], 50), (0.0, list(range(1, 301)), 300)])
def test_points_are_saved_in_time_though_the_ranks_rarely_ask_each_other(
    model: ModelConfig,
    recipe: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    saved: list[int],
    most: int,
) -> None:
    """Each step takes a second."""
    now, ranks = [0.0], _Counted()
    monkeypatch.setattr(resume_point, "time", SimpleNamespace(monotonic=lambda: now[0]))
    state = initial_state(model, recipe, classes=3, subcenters=1, seed=0, device=torch.device("cpu"), ranks=ranks)
    found: list[int] = []
    monkeypatch.setattr(ResumeFile, "save", lambda self, point, **_: found.append(point.step))
    keeper = ResumeKeeper(ResumeFile(tmp_path / "resume.safetensors", "mine"), state, seconds)
    for step in range(1, 301):
        state.step, now[0] = step, float(step)
        keeper.save_if_due()
    assert found == saved
    assert len(ranks.asked) <= most
