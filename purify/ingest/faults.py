"""Faults of a source to be corrected by its owner, reported together in one message."""

from __future__ import annotations

import enum

from purify.errors import InputError
from purify.storage.locations import Location

_SHOWN = 3


class Fault(enum.Enum):
    """A kind of fault: its name for one case, for several, and the remedy."""

    LINKED_FOLDER = ("is a linked folder", "are linked folders", "such links are not followed; put the folder there")
    LINK_OUTSIDE = "is a link that leaves the root", "are links that leave the root", "put a copy of the file there"
    EMPTY_LABEL = (
        "lies in a folder whose name, the label, is empty",
        "lie in folders whose name, the label, is empty",
        "rename the folder",
    )
    SAME_LABEL = (
        "are two folders of one label",
        "are pairs of folders of one label",
        "merge or rename them, or give a table of path,label",
    )
    SAME_NAME = "is the name of two files in UTF-8", "are names of two files each in UTF-8", "rename one of the two"


class Faults:
    """Collects faults with their examples."""

    def __init__(self) -> None:
        self._examples: dict[Fault, list[str]] = {}
        self._texts: list[str] = []

    def add(self, fault: Fault, example: str) -> None:
        """Note one more case."""
        self._examples.setdefault(fault, []).append(example)

    def add_text(self, text: str) -> None:
        """Note a fault with its complete description."""
        self._texts.append(text)

    def refuse(self, place: Location) -> None:
        """Raise an InputError that names every kind of fault, if there is any."""
        # Questions first: their answer may settle the rest.
        lines = [*self._texts, *(_describe(fault, examples) for fault, examples in self._examples.items())]
        if len(lines) == 1:
            raise InputError(f"{place}: {lines[0]}")
        if lines:
            raise InputError("\n  ".join([f"{place}: correct these problems first:", *lines]))


def _describe(fault: Fault, examples: list[str]) -> str:
    one, several, remedy = fault.value
    if len(examples) == 1:
        return f"{examples[0]} {one}; {remedy}"
    return f"{len(examples)} {several}, such as {', '.join(examples[:_SHOWN])}; {remedy}"
