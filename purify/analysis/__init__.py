"""Evidence for every sample, and a decision by a rule that has a name: embeddings + sub-centers -> verdicts."""
