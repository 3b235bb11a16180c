"""`hf-hybrid evaluate` as a script, for `accelerate launch`: measures a release."""

import sys

from hf_hybrid.commands.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("evaluate", sys.argv[1:]))
