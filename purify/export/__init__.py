"""Tables of samples in the formats of other tools: one small module a format."""
