"""The command line: thin commands over the pipeline. ``purify --help`` is the map."""

from purify.cli.app import main

__all__ = ["main"]
