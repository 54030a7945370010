"""The review page: a person looks at faces, most informative first, and decides; see ``docs/how-to/review.md``."""
