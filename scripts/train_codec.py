"""`hf-hybrid train-codec` as a script, for `accelerate launch`: trains an alphaGAN."""

import sys

from hf_hybrid.commands.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("train-codec", sys.argv[1:]))
