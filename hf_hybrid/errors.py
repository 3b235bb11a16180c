"""The ways a command ends early that are told in one line."""


class InputError(ValueError):
    """Bad input: the message says in one line what was expected, what was found and what to do (exit code 2)."""


class PushRefused(RuntimeError):
    """The gate before a push said no; nothing was uploaded (exit code 3)."""


class PushFailed(RuntimeError):
    """A push that passed the gate did not get to its end; who can see the repository has not changed (exit code 1)."""
