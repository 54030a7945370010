"""Embeddings: extraction from images, storage, and reuse."""
