"""`hf-hybrid push`: uploads a codec, a pipeline or a release to the Hugging Face Hub."""

import sys
from dataclasses import dataclass

POSITIONAL = ("folder",)
LEFT_OUT_SHOWN = 20  # a codec's folder may hold hundreds of files of its training


@dataclass
class Options:
    """Uploads a codec, a pipeline or a release, private first; the token comes from `hf auth login` or `HF_TOKEN`.

    Args:
        folder: the codec, pipeline or release, recognised by its files.
        repo_id: repository on the Hub, as namespace/name.
        public: make it public once every file and record has been verified.
        accept_risk: reason to publish it although its privacy is inconclusive; written into its card. A failed release
            stays refused.
        gated: whether readers must ask for access, which you grant by hand; required with `--public`.
        license: licence for its users, an identifier of the Hub; written into its card. Required with `--public`,
            unless the card names one already.
        dry_run: only check whether the folder may be pushed, and list what would be sent; no token, no network.
    """

    folder: str
    repo_id: str
    public: bool = False
    accept_risk: str | None = None
    gated: bool | None = None
    license: str | None = None
    dry_run: bool = False


def main(options: Options) -> int:
    """Pushes and prints what was sent."""
    from hf_hybrid.hub.upload import push

    if not options.dry_run and (options.license or options.accept_risk):
        from hf_hybrid.evaluation.publication import state  # imports the card templates too

        state(options.folder, options.license, options.accept_risk)
    result = push(
        options.folder,
        options.repo_id,
        options.public,
        options.gated,
        options.dry_run,
        license=options.license,
        accept_risk=options.accept_risk,
    )
    verb = "sent" if result.uploaded else "would send"
    lines = [f"{verb} {name}" for name in result.files]
    lines += [f"left out {name}: not a file of a {result.kind}" for name in result.left_out[:LEFT_OUT_SHOWN]]
    if (hidden := len(result.left_out) - LEFT_OUT_SHOWN) > 0:
        lines.append(f"left out {hidden} more")
    if result.uploaded:
        lines.append(f"{result.url} is verified and {'public' if result.public else 'private'}")
    else:
        lines.append(f"dry run: this {result.kind} may be pushed to {result.url}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
