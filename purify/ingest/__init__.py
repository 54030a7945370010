"""Ingest: sources -> manifest."""
