import json

from colorgan.early_stop import EarlyStop


def _after(early_stop, *values):
    due = []
    for value in values:
        early_stop.add({"validation/score": value, "validation/psnr": 9})
        due.append(early_stop.is_due)
    return due


def test_it_is_due_after_so_many_without_a_better_one():
    assert _after(EarlyStop(2, "validation/score", {}), 1, 2, 2, 3, 1, 3) == [False] * 5 + [True]
    assert not any(_after(EarlyStop(0, "validation/score", {}), *range(9, 0, -1)))


def test_it_goes_on_from_what_was_saved():
    first = EarlyStop(3, "validation/score", {})
    _after(first, 5, 4)
    saved = json.loads(json.dumps(first.saved))
    assert _after(EarlyStop(3, "validation/score", saved), 4, 4) == [False, True]
    assert _after(EarlyStop(3, "validation/psnr", saved), 4, 4) == [
        False,
        False,
    ]  # the best of another figure says nothing
    assert first.saved == saved
