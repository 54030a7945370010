"""Doors: one small module for each format in which sets of images are handed out."""
