"""`hf-hybrid fit` as a script, for `accelerate launch`: learns private records."""

import sys

from hf_hybrid.commands.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("fit", sys.argv[1:]))
