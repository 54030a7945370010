from __future__ import annotations

import math

import pytest

from tests.mutation.__main__ import Case, _quickest
from tests.mutation.mutants import mutants_of


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("if a < b:\n    pass\n", ["if (a <= b):\n    pass\n"]),
        ("x = a + b * c\n", ["x = (a - b * c)\n", "x = a + (b / c)\n"]),
        ("x = not a\n", ["x = (a)\n"]),
        ("x = a and b\n", ["x = (a or b)\n"]),
        ("x = 2\ny = True\n", ["x = (3)\ny = True\n", "x = 2\ny = (False)\n"]),
        ("def f():\n    return a\n", ["def f():\n    return None\n"]),
        ("x = a if b else c\n", ["x = (c if b else a)\n"]),
        ("x += a\n", ["x -= a\n"]),
        ("x = '\u00e4' if a else -b\n", ["x = (-b if a else '\u00e4')\n", "x = '\u00e4' if a else (b)\n"]),
        ("raise E(1 + 2)\n", []),
        ('"""Text."""\nx: Literal[1]\ndef f() -> Literal[1]: ...\n', []),
        ("if TYPE_CHECKING:\n    x = 1\n", []),
        ("x = f'{a + 1}'\n", []),
    ],
)
def test_each_mutant_changes_one_thing(source: str, changed: list[str]) -> None:
    assert sorted(mutant.applied_to(source) for mutant in mutants_of(source)) == sorted(changed)


def test_mutants_say_where_they_are() -> None:
    (mutant,) = mutants_of("\nx = a >= b\n")
    assert str(mutant) == "2: comparison: a >= b -> (a > b)"


@pytest.mark.parametrize(
    ("most", "tests"), [(math.inf, ("a", "b", "c")), (3.0, ("a", "b")), (2.9, ("a",)), (0.5, ("a",))]
)
def test_the_quickest_tests_are_left_and_at_least_one(most: float, tests: tuple[str, ...]) -> None:
    (mutant,) = mutants_of("x = a >= b\n")
    seconds = {"a": 1.0, "b": 2.0, "c": 3.0}
    found = _quickest(Case("f.py", mutant, ("a", "b", "c"), 6.0), {"seconds": seconds}, most)
    assert found.tests == tests
    assert found.seconds == sum(seconds[test] for test in tests)
    untried = Case("f.py", mutant, (), 0.0)
    assert _quickest(untried, {"seconds": seconds}, most) == untried
