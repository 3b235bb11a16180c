"""What a release says of itself; importing these options needs no torch."""

from dataclasses import dataclass

from hf_hybrid.core.provenance import NO_LICENSE


@dataclass
class ReleaseInfo:
    """What the card says of a release beside what made it.

    Args:
        pretty_name: title of the card.
        license: a licence identifier of the Hub.
        source_name: name of the private source; None (the default) does not name it.
    """

    pretty_name: str = "Synthetic image and table records"
    license: str = NO_LICENSE
    source_name: str | None = None
