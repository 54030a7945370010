"""What a run found, for people: figures and one self-contained page."""
