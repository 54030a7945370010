from __future__ import annotations

import math

import pytest
import torch

from purify.config import InvertConfig
from purify.inversion.objective import (
    FeatureIdentity,
    LossTerms,
    MarginIdentity,
    cosines_of,
    squared_norm,
    total_variation,
)
from purify.models.heads import Margin, SubcenterHead


def _head(*, subcenters: int = 2) -> SubcenterHead:
    head = SubcenterHead(3, 2, subcenters=subcenters, scale=4.0)
    with torch.no_grad():
        angles = torch.tensor([[0.0, 90.0], [180.0, 200.0], [270.0, 260.0]])[:, :subcenters].deg2rad()
        head.weight.copy_(3 * torch.stack([angles.cos(), angles.sin()], dim=2))
    return head


def test_total_variation_counts_the_steps_between_neighbors() -> None:
    images = torch.zeros(2, 3, 4, 4)
    images[1, 0, :, 2:] = 0.5  # an edge of height 4 in one channel
    assert total_variation(images).tolist() == [0.0, 2.0]
    images[1, 2, 1, 1] = 1.0  # a point has four edges
    assert total_variation(images).tolist() == [0.0, 6.0]


def test_the_norm_is_the_sum_of_squares() -> None:
    assert squared_norm(torch.full((1, 3, 2, 2), -0.5)).tolist() == [3.0]


def test_the_feature_term_is_the_squared_distance_of_unit_vectors() -> None:
    targets = torch.tensor([[2.0, 0.0], [0.0, 5.0], [1.0, 0.0]])
    features = torch.tensor([[7.0, 0.0], [1.0, 0.0], [-0.1, 0.0]])
    assert FeatureIdentity(targets)(features).tolist() == pytest.approx([0.0, 2.0, 4.0], abs=1e-6)
    assert FeatureIdentity(targets, 8.0)(features)[1].item() == pytest.approx(16.0)


def test_the_margin_term_of_a_class_is_the_cross_entropy_at_its_nearest_subcenter() -> None:
    term = MarginIdentity(_head(), torch.tensor([0]), torch.tensor([-1]), Margin(m2=0.3))
    feature = torch.tensor([[math.cos(math.radians(80)), math.sin(math.radians(80))]])
    own = 4 * math.cos(math.radians(10) + 0.3)
    others = [4 * math.cos(math.radians(100)), 4 * math.cos(math.radians(170))]
    expected = math.log(sum(map(math.exp, [own, *others]))) - own
    assert term(feature).item() == pytest.approx(expected, rel=1e-5)


def test_the_pull_adds_the_squared_distance_to_the_center() -> None:
    feature = torch.tensor([[math.cos(math.radians(60)), -math.sin(math.radians(60))]])
    plain, pulled = (
        MarginIdentity(_head(), torch.tensor([0]), torch.tensor([0]), Margin(), pull) for pull in (0.0, 5.0)
    )
    assert (pulled(feature) - plain(feature)).item() == pytest.approx(5 * (2 - 2 * 0.5), rel=1e-5)


def test_the_margin_term_of_a_subcenter_ignores_the_nearer_one_of_its_class() -> None:
    term = MarginIdentity(_head(), torch.tensor([0]), torch.tensor([0]), Margin())
    at_the_other = torch.tensor([[0.0, 1.0]])
    own, others = 0.0, [0.0, -4.0]  # of the classes at 180 and 200, at 270 and 260 degrees
    others[0], others[1] = 4 * math.cos(math.radians(90)), 4 * math.cos(math.radians(170))
    expected = math.log(sum(map(math.exp, [own, *others]))) - own
    assert term(at_the_other).item() == pytest.approx(expected, rel=1e-5)
    assert term(torch.tensor([[1.0, 0.0]])).item() < term(at_the_other).item()


@pytest.mark.parametrize("kind", ["class", "subcenter", "feature", "variation", "norm"])
def test_gradients_of_the_terms(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    head = SubcenterHead(4, 5, subcenters=2, scale=8.0, generator=generator).double().requires_grad_(False)
    classes = torch.tensor([0, 2, 3])
    terms = {
        "class": MarginIdentity(head, classes, torch.tensor([-1, -1, -1]), Margin(m2=0.2), 3.0),
        "subcenter": MarginIdentity(head, classes, torch.tensor([0, 1, 1]), Margin(m2=0.2)),
        "feature": FeatureIdentity(torch.randn(3, 5, generator=generator, dtype=torch.float64)),
        "variation": total_variation,
        "norm": squared_norm,
    }
    shape = (2, 3, 4, 4) if kind in ("variation", "norm") else (3, 5)
    given = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(terms[kind], (given,))


def test_the_objective_is_the_weighted_sum_of_means() -> None:
    terms = LossTerms(torch.tensor([1.0, 3.0]), torch.tensor(7.0), torch.tensor([10.0, 30.0]), torch.tensor([4.0, 0.0]))
    config = InvertConfig(identity=2.0, batchnorm=0.5, total_variation=0.1, norm=0.01)
    assert terms.weighted(config).item() == pytest.approx(4.0 + 3.5 + 2.0 + 0.02)


def test_cosines_of_rows() -> None:
    a, b = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, -1.0]])
    assert cosines_of(a, b).tolist() == pytest.approx([math.sqrt(0.5), -1.0])
