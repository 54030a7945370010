"""Decision rules by name: `official`, `paper`, `calibrated`, and the rules of installed packages."""
