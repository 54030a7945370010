"""Embeddings: extraction by a checkpoint, and the files that hold them."""
