"""The errors that a user may see.

Each carries the exit code of the command line: 2 for bad input or usage, 1 for work that failed.
A message names the file (and the row where there is one), says what was expected, and what to do.
"""

from __future__ import annotations


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
