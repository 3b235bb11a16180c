"""The two ways a command ends early that are the user's to mend."""


class InputError(ValueError):
    """Bad input: the message says in one line what was expected, what was found and what to do (exit code 2)."""


class PushRefused(RuntimeError):
    """The gate before a push said no; nothing was uploaded (exit code 3)."""
