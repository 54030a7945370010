"""A data set that grows: what is new in the source, and whether that is a reason to train again."""
