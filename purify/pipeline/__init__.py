"""The pipeline in plain Python: stages, rounds, updates."""
