"""Files of runs and sources: locations, atomic writes, remote stores, tar indexes, image bytes."""
