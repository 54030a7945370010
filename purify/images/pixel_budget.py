"""One budget of pixels for all decoding threads: large images wait for each other, small ones don't notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

#: Pixels decoded at the same time in this process. Decoding takes up to 14 bytes for each: the file's channels, an
#: alpha channel laid over black, and RGB.
_MOST_PIXELS = 64_000_000


class LargeImageError(Exception):
    """An image that this process leaves to another one."""


class PixelBudget:
    """Pixels that threads may decode at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._largest: int | None = None
        self._taken = 0
        self._changed = Condition()

    def leave_above(self, pixels: int) -> None:
        """Refuse images of more `pixels` from now on by a LargeImageError: another process has the budget for them."""
        self._largest = pixels

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` are free; an image above the whole budget waits until it is alone."""
        if self._largest is not None and pixels > self._largest:
            raise LargeImageError
        wanted = min(max(pixels, 0), self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + wanted <= self._most)
            self._taken += wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()


DECODING = PixelBudget(_MOST_PIXELS)
