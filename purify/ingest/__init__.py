"""Sources -> manifest."""
