"""Sources -> manifest: reading images, the tables of the project, and applying verdicts to them."""
