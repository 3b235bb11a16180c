"""The parts of a report, the families of attacks on a release, their verdicts, and what each may risk by default."""

PARTS = ("utility", "fidelity", "pairing", "privacy")
VERDICTS = ("fail", "inconclusive", "pass")  # from the worst on
FAMILIES = ("copies", "membership", "attribute inference", "singling out", "linkability", "files")
# A publisher may choose others; the gate then asks for a reason that the card shows.
MIN_BOOTSTRAPS = 100  # replicates behind a report that lets anything through: few hide what is too strong
LIMITS = {
    "copies": 0.05,
    "membership": 0.1,
    "attribute inference": 0.09,
    "singling out": 0.09,
    "linkability": 0.09,
    "files": 0.0,
}
