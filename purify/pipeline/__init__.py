"""The whole job as plain Python: stages, rounds, updates."""
