"""Entry point of ``python -m purify``, as started by cluster launchers."""

from purify.cli import main

if __name__ == "__main__":
    main(prog_name="purify")
