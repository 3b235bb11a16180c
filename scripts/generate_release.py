"""`hf-hybrid generate` as a script, for `accelerate launch`: draws a release."""

import sys

from hf_hybrid.commands.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("generate", sys.argv[1:]))
