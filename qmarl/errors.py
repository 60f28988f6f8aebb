"""The errors that reach a person: one sentence each, with the exit code that belongs to it."""


class QmarlError(Exception):
    """An error that a user can act on; the command line prints its text without a traceback."""

    exit_code = 4


class ConfigurationError(QmarlError):
    """What was asked for cannot be: a key, a value, or a combination of parts that do not fit."""

    exit_code = 2


class UnreachableError(QmarlError):
    """An environment, a simulator or a cluster does not answer."""

    exit_code = 3


class RunError(QmarlError):
    """A run went wrong after it had started: bad numbers, a bad directory, a full disk."""


class UndeliveredError(RunError):
    """A message did not get across its link: it counts as missing, and the run goes on."""
