"""Decoding and loading of images, shared by ingest, training and embedding."""
