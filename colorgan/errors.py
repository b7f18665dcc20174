"""The one exception that a person is meant to read."""


class UserError(Exception):
    """Something the user can mend (a path, a value, a file): the commands print it, one sentence, and exit with 1."""
