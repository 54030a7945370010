"""Evidence for every sample, and a decision by a named rule: embeddings + sub-centers -> verdicts."""
