"""Faults by the hundred: `python -m tests.campaign`, or ``make campaign``."""
