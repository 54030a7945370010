"""Proof: verification of the models, detection of the noise, and the gain."""
