"""Prefect on top of the library: the flow, its artifacts, and the API server that it reports to.

Nothing here affects the results; every stage is a function in `purify.pipeline.stages`.
"""
