"""Faces: augmentation of training images, synthetic masks."""
