"""The pages of the documentation, and the code blocks in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    [REPOSITORY / "README.md", *(p for p in (REPOSITORY / "docs").rglob("*.md") if "_generate" not in p.parts)]
)

_FENCE = re.compile(
    r"(?:<!-- not run: (?P<excuse>[^>]+) -->\s*\n)?(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)\n(?P=indent)```",
    re.DOTALL,
)
_GIVEN = re.compile(r"<!-- given: (.+) -->")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced code block; `excuse` is why the test does not run it."""

    language: str
    code: str
    line: int
    excuse: str | None

    def commands(self) -> Iterator[list[str]]:
        """Words of each command of a shell block, without comments; environment variables come first."""
        for line in self.code.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            text.count("\n", 0, found.start("language")) + 1,
            found["excuse"],
        )
        for found in _FENCE.finditer(text)
    ]


def given(page: Path) -> list[str]:
    """Runs that a page takes for granted."""
    found = _GIVEN.search(page.read_text(encoding="utf-8"))
    return found[1].split(", ") if found else []


def inline_code(page: Path) -> list[str]:
    return _INLINE.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def purify_arguments(words: list[str]) -> list[str] | None:
    """Arguments of `purify` in a command, also behind variables, launchers and ``sh -c``; None if it is another."""
    for position, word in enumerate(words):
        if " purify " in word:  # sh -c '... purify ...'
            return purify_arguments(shlex.split(word))
        if word == "purify" and (position == 0 or "=" in words[position - 1] or words[position - 1] in ("-m", "USER")):
            return words[position + 1 :]
    return None
