"""Benchmarks: rivals side by side on the same data; each prints a table and writes JSON."""
