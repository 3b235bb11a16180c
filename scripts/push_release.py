"""`hf-hybrid push` as a script, for `accelerate launch`: uploads a codec, a pipeline or a release."""

import sys

from hf_hybrid.commands.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("push", sys.argv[1:]))
