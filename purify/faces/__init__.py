"""Faces: the demo set, and random views of them for training."""
