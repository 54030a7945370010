"""Prefect on top of the library: the flow, its artifacts, and the API server that it reports to.

Nothing here decides anything about the data; every stage is a function of ``purify``.
"""
