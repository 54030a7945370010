from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from purify.models.process_group import SINGLE_PROCESS, Ranks, Shard
from purify.models.seeding import class_normals
from purify.models.sharded_softmax import cross_entropy


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**31), st.sampled_from([1.0, 64.0, 1000.0]))
def test_one_process_computes_the_usual_loss_and_gradient(n: int, classes: int, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(n, classes, dtype=torch.float64, generator=generator)).requires_grad_()
    targets = torch.randint(classes, (n,), generator=generator)
    loss, expected = cross_entropy(logits, targets), functional.cross_entropy(logits, targets)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(3 * loss, logits, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(3 * expected, logits)[0])
    torch.testing.assert_close(gradient, torch.autograd.grad(3 * loss, logits)[0])  # nothing was overwritten


def test_classes_that_are_out_have_no_gradient() -> None:
    logits = torch.tensor([[2.0, -torch.inf, 1.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]))
    loss.backward()
    torch.testing.assert_close(loss, torch.log1p(torch.tensor(-1.0).exp()))
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert logits.grad.sum() == pytest.approx(0, abs=1e-6)


@given(st.integers(0, 100), st.integers(1, 7))
def test_parts_are_contiguous_whole_and_even(total: int, ranks: int) -> None:
    parts = [Ranks(rank, ranks).shard(total) for rank in range(ranks)]
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(total))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(1, 5000), st.integers(1, 4), st.integers(0, 2**40))
def test_a_class_draws_its_row_whoever_has_it(classes: int, ranks: int, seed: int) -> None:
    whole = class_normals(SINGLE_PROCESS.shard(classes), (1, 2), seed, 3)
    parts = [class_normals(Ranks(rank, ranks).shard(classes), (1, 2), seed, 3) for rank in range(ranks)]
    assert torch.equal(torch.cat(parts), whole)
    more = class_normals(Shard(0, classes + 1, classes + 1), (1, 2), seed, 3)
    assert torch.equal(more[:classes], whole)


def test_draws_are_standard_normal_and_differ_by_seed() -> None:
    first, other = (class_normals(SINGLE_PROCESS.shard(3000), (2, 8), seed, 0) for seed in (0, 1))
    assert first.mean() == pytest.approx(0, abs=0.02)
    assert first.std() == pytest.approx(1, abs=0.02)
    assert len(first[:, 0].unique(dim=0)) == 3000
    assert not torch.equal(first, other)
