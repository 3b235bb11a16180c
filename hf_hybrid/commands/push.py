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
        gated: whether readers ask for access, and you grant it by hand; `--public` asks for a yes or a no.
        license: under which everyone may use it, an identifier of the Hub; written into its card. `--public` asks for
            one, unless the card names it already.
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
    """Pushes; returns 0, or 1 when the Hub failed on the way."""
    from hf_hybrid.hub import PushFailed, push

    if options.public:
        _ask(options)
    if not options.dry_run and (options.license or options.accept_risk):
        from hf_hybrid import publisher  # with all that makes cards

        if options.license:
            publisher.put_under(options.folder, options.license)
        if options.accept_risk:
            publisher.accept_risk(options.folder, options.accept_risk)
    try:
        result = push(
            options.folder,
            options.repo_id,
            options.public,
            bool(options.gated),
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


def _ask(options: Options) -> None:
    """What a publisher decides before everyone can see it.

    Raises:
        InputError: he has not.
    """
    from hf_hybrid import gate, provenance
    from hf_hybrid.errors import InputError

    if options.gated is None:
        raise InputError(
            "expected `--gated true` (readers ask, you decide) or `--gated false` (everyone at once) beside "
            "`--public`, found neither: what was once downloaded cannot be called back"
        )
    kind, facts = gate.kind_of(options.folder), provenance.read_provenance(options.folder)
    named = options.license or facts.get("release", facts).get("license") or "other"
    if named in ("other", "unknown"):
        raise InputError(
            f"expected a licence for a public {kind.name}, found {named!r} in its card: add `--license`, such as "
            "cc-by-4.0 or cc-by-nc-4.0"
        )
