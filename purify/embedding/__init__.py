"""Embeddings: extraction from images, and files of them."""
