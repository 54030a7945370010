"""Several identities under one label, and one identity under several labels."""
