"""Reads pickles of arrays that others distribute, without running the code that a pickle may contain."""

import pickle
from collections.abc import Mapping
from typing import IO, Any


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickles with a few named functions and classes only.

    Args:
      file: open for reading in binary mode.
      allowed: what may be used, by module and name; anything else raises pickle.UnpicklingError.
    """

    def __init__(self, file: IO[bytes], allowed: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(file)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler.find_class`."""
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not allowed")
        return self._allowed[module, name]
