"""Messages of other libraries' errors, in one line."""

import pytest

from colorgan.errors import reason


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("damaged"), "damaged"),
        (ValueError("\nno such layer\n  at line 7\n  at line 8"), "no such layer"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_the_first_line_or_the_type(error, message):
    assert reason(error) == message
