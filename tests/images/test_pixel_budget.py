from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from purify.images.pixel_budget import PixelBudget


@pytest.mark.parametrize(("pixels", "together"), [(100, 1), (60, 1), (50, 2), (1000, 1), (1, 8)])
def test_no_more_pixels_at_once_than_the_budget(pixels: int, together: int) -> None:
    budget, lock = PixelBudget(100), threading.Lock()
    now = most = 0

    def work(_: int) -> None:
        nonlocal now, most
        with budget.take(pixels):
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.01)
            with lock:
                now -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert most <= together
    assert now == 0


def test_a_failure_gives_its_pixels_back() -> None:
    budget = PixelBudget(100)
    for _ in range(3):
        with pytest.raises(ValueError), budget.take(100):
            raise ValueError
