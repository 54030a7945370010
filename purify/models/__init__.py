"""Backbones, margin heads, and the checkpoint that holds both."""
