"""``python -m purify``, which is what a cluster's launcher starts."""

from purify.cli import main

if __name__ == "__main__":
    main(prog_name="purify")
