"""Description of a release; importing these options needs no torch."""

from dataclasses import dataclass

from hf_hybrid.core.provenance import NO_LICENSE


@dataclass
class ReleaseInfo:
    """Description of a release in its card, in addition to its provenance.

    Args:
        pretty_name: title of the card.
        license: a licence identifier of the Hub.
        source_name: name of the private source; None (the default) does not name it.
    """

    pretty_name: str = "Synthetic image and table records"
    license: str = NO_LICENSE
    source_name: str | None = None
