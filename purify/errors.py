"""The errors that a user may see.

Each carries the exit code of the command line: 2 for bad input or usage, 1 for work that failed.
A message names the file (and the row where there is one), says what was expected, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PurifyError(Exception):
    """Work that could not be done; the command line prints the message and exits with 1."""

    exit_code = 1


class InputError(PurifyError):
    """Input or usage that the user has to mend; the command line exits with 2."""

    exit_code = 2


class CheckpointError(InputError):
    """A checkpoint that is damaged, or does not belong to the manifest or model that it is used with."""


class TrainingCollapsedError(PurifyError):
    """Training ended in a state from which no verdict may be drawn."""


class RankLostError(PurifyError):
    """One of the processes of a training ended, so the others can't go on."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'epochs'?"``, to end a message about an unknown `word`; empty where nothing is like it.

    A name without its section counts too: ``epochs`` means ``train.epochs``.
    """
    known = list(known)
    same_name = [name for name in known if name.rpartition(".")[2] == word.rpartition(".")[2]]
    found = same_name or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
