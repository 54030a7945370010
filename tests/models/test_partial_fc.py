from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from purify.models.heads import Margin, SubcenterHead
from purify.models.partial_fc import borrowed_rows, sample_classes, sampled_head
from purify.models.process_group import SINGLE_PROCESS, Ranks

CLASSES, DIM = 12, 5
ALL = SINGLE_PROCESS.shard(CLASSES)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _head(k: int = 3) -> SubcenterHead:
    return SubcenterHead(CLASSES, DIM, subcenters=k, scale=8.0, margin=Margin(m2=0.3), generator=_generator(k))


def _optimizer(head: SubcenterHead, *, momentum: float = 0.9) -> torch.optim.SGD:
    other = torch.nn.Parameter(torch.zeros(1))
    return torch.optim.SGD(
        [{"params": [other]}, {"params": [head.weight]}],
        lr=0.1,
        momentum=momentum,
        weight_decay=0.01,
        nesterov=momentum > 0,
    )


def _momentum(head: SubcenterHead, optimizer: torch.optim.SGD) -> torch.Tensor:
    return optimizer.state[head.weight]["momentum_buffer"]


def _batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(6, DIM, generator=_generator(step)), torch.randint(CLASSES, (6,), generator=_generator(step))


def _update(head: SubcenterHead, optimizer: torch.optim.SGD, x: torch.Tensor, targets: torch.Tensor) -> None:
    optimizer.zero_grad()
    cross_entropy(head(x, targets), targets).backward()
    optimizer.step()


@given(st.integers(2, 300), st.integers(1, 40), st.floats(0.001, 1), st.integers(0, 2**31), st.sampled_from([1, 2, 50]))
def test_positives_are_always_in_and_the_share_is_of_the_others(
    classes: int, batch: int, rate: float, seed: int, spread: int
) -> None:
    labels = torch.randint(min(classes, spread), (batch,), generator=_generator(seed))
    sample = sample_classes(labels, classes, rate=rate, generator=_generator(seed))
    own = labels.unique()
    assert torch.equal(sample.classes, sample.classes.unique())  # ascending, no repeats
    assert sample.classes.max() < classes
    assert torch.equal(sample.classes[sample.targets], labels)
    others = classes - len(own)
    assert len(sample.classes) - len(own) == min(others, max(1, round(rate * others)))


@given(st.integers(2, 60), st.integers(1, 9), st.floats(0.01, 1), st.integers(1, 5), st.integers(0, 2**31))
def test_the_ranks_have_the_sample_of_one_process_among_them(
    classes: int, batch: int, rate: float, ranks: int, seed: int
) -> None:
    labels = torch.randint(classes, (batch,), generator=_generator(seed))
    whole = sample_classes(labels, classes, rate=rate, generator=_generator(seed))
    parts = [Ranks(rank, ranks).shard(classes) for rank in range(ranks)]
    own = [whole.within(part) for part in parts]
    found = torch.cat([sample.classes + part.start for sample, part in zip(own, parts, strict=True)])
    assert torch.equal(found, whole.classes)
    for i, label in enumerate(labels.tolist()):
        placed = [
            int(sample.classes[sample.targets[i]]) + part.start
            for sample, part in zip(own, parts, strict=True)
            if sample.targets[i] >= 0
        ]
        assert placed == [label]


def test_a_seed_decides_the_draw() -> None:
    labels = torch.tensor([3, 500])
    first, again, other = (sample_classes(labels, 1000, rate=0.1, generator=_generator(s)).classes for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_negatives_are_drawn_uniformly() -> None:
    labels, generator = torch.tensor([4]), _generator(0)
    counts = torch.zeros(21)
    for _ in range(4000):
        counts[sample_classes(labels, 21, rate=0.25, generator=generator).classes] += 1
    assert counts[4] == 4000
    others = torch.cat([counts[:4], counts[5:]])
    # each is in with probability 1 / 4: five standard deviations of a binomial count
    assert (others - 1000).abs().max() < 5 * math.sqrt(4000 * 0.25 * 0.75)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("k", [1, 3])
def test_steps_on_all_rows_equal_dense_steps_to_the_bit(k: int, momentum: float) -> None:
    dense, sampled = _head(k), _head(k)
    optimizers = _optimizer(dense, momentum=momentum), _optimizer(sampled, momentum=momentum)
    for step in range(4):
        x, labels = _batch(step)
        _update(dense, optimizers[0], x, labels)
        with borrowed_rows(sampled, optimizers[1], torch.arange(CLASSES)) as part:
            _update(part, optimizers[1], x, labels)
    assert torch.equal(dense.weight, sampled.weight)


def test_loss_and_gradient_are_those_of_a_softmax_over_the_drawn_classes() -> None:
    head, (x, labels) = _head(), _batch(1)
    sample = sample_classes(labels, CLASSES, rate=0.3, generator=_generator())
    part = head.with_rows(head.weight.detach()[sample.classes])
    loss = cross_entropy(part(x, sample.targets), sample.targets)
    absent = torch.ones(CLASSES, dtype=torch.bool).index_fill_(0, sample.classes, False)
    expected = cross_entropy(head(x, labels).masked_fill(absent, -math.inf), labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    assert head.weight.grad is not None
    torch.testing.assert_close(part.weight.grad, head.weight.grad[sample.classes])
    assert (head.weight.grad[absent] == 0).all()


def test_rows_that_were_not_drawn_stay_and_keep_their_momentum() -> None:
    head = _head()
    optimizer = _optimizer(head)
    for step in range(8):
        x, labels = _batch(step)
        before = head.weight.detach().clone()
        state = optimizer.state[head.weight].get("momentum_buffer", torch.zeros_like(before)).clone()
        drawn_head = sampled_head(head, optimizer, labels, classes=ALL, rate=0.2, generator=_generator(step))
        with drawn_head as (part, targets):
            _update(part, optimizer, x, targets)
        drawn = sample_classes(labels, CLASSES, rate=0.2, generator=_generator(step)).classes
        rest = torch.ones(CLASSES, dtype=torch.bool).index_fill_(0, drawn, False)
        assert rest.any()
        assert torch.equal(head.weight[rest], before[rest])
        assert torch.equal(_momentum(head, optimizer)[rest], state[rest])
        assert (head.weight[drawn] != before[drawn]).any(dim=2).all()  # all K rows: weight decay at least
        assert head.weight.grad is None


def test_momentum_of_a_row_goes_on_where_it_was_when_drawn_again() -> None:
    """A class that is drawn in steps 0 and 2 moves as a head of this class alone, updated twice."""
    head, drawn, others = _head(), torch.tensor([2, 7]), torch.tensor([1, 4])
    alone = head.with_rows(head.weight.detach()[drawn])
    optimizer, reference = _optimizer(head), _optimizer(alone)
    for step, classes in enumerate((drawn, others, drawn)):
        x, targets = torch.randn(4, DIM, generator=_generator(step)), torch.tensor([0, 1, 1, 0])
        with borrowed_rows(head, optimizer, classes) as part:
            _update(part, optimizer, x, targets)
        if classes is drawn:
            _update(alone, reference, x, targets)
    assert torch.equal(head.weight[drawn], alone.weight)
    assert torch.equal(_momentum(head, optimizer)[drawn], _momentum(alone, reference))


def test_the_optimizer_has_the_whole_head_back_also_after_an_error() -> None:
    head = _head()
    optimizer = _optimizer(head)
    with pytest.raises(KeyboardInterrupt), borrowed_rows(head, optimizer, torch.tensor([0, 3])):
        raise KeyboardInterrupt
    assert optimizer.param_groups[1]["params"][0] is head.weight
    assert set(optimizer.state) == {head.weight}


def test_rate_one_is_the_head_itself_and_draws_nothing() -> None:
    head, (_, labels), generator = _head(), _batch(0), _generator()
    before = generator.get_state()
    with sampled_head(head, _optimizer(head), labels, classes=ALL, rate=1.0, generator=generator) as (same, targets):
        assert same is head
        assert torch.equal(targets, labels)
    assert torch.equal(generator.get_state(), before)


def test_a_part_has_the_settings_of_its_head() -> None:
    head = SubcenterHead(9, 4, subcenters=2, scale=11.0, margin=Margin(m3=0.2), negative_filter=0.4)
    state = torch.random.get_rng_state()
    rows = head.weight.detach()[[5, 0]]
    part = head.with_rows(rows)
    assert torch.equal(part.weight, rows)
    assert (part.scale, part.margin, part.negative_filter, part.subcenters) == (11.0, Margin(m3=0.2), 0.4, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
