"""Decoding and loading of images, the one way for ingest, training and embedding."""
