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
        accept_risk: why it may be public although its privacy is not settled; written into its card. What failed
            stays refused.
        gated: readers ask for access, and you grant it by hand.
        dry_run: only check whether the folder may be pushed, and list what would be sent; no token, no network.
    """

    folder: str
    repo_id: str
    public: bool = False
    accept_risk: str | None = None
    gated: bool = False
    dry_run: bool = False


def main(options: Options) -> int:
    """Pushes; returns 0, or 1 when the Hub failed on the way."""
    from hf_hybrid.hub import PushFailed, push

    if options.accept_risk and not options.dry_run:
        from hf_hybrid.publisher import accept_risk  # with all that makes cards

        accept_risk(options.folder, options.accept_risk)
    try:
        result = push(
            options.folder,
            options.repo_id,
            options.public,
            options.gated,
            options.dry_run,
            accept_risk=options.accept_risk,
        )
    except PushFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
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
