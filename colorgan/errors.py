"""The one exception that a person is meant to read, and what others say."""


class UserError(Exception):
    """Something the user can mend (a path, a value, a file): the commands print it, one sentence, and exit with 1."""


def reason(error: Exception) -> str:
    """What another's error says, without the pages that may follow, or of what kind it is where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
