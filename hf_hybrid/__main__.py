"""`python -m hf_hybrid COMMAND ...`: the command line, where its script is not on the path."""

import sys

from hf_hybrid.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
