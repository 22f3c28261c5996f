"""Numbers from 0 to 1 that may move over time."""

import numpy as np
import pytest

from helpers.audio import AudioError
from helpers.dials import Dials, along, breakpoints


def test_a_dial_is_read_as_breakpoints():
    np.testing.assert_array_equal(breakpoints(0.5), [[0, 0.5]])
    np.testing.assert_array_equal(breakpoints([(0, 0), (2, 1)]), [[0, 0], [2, 1]])


def test_a_dial_moves_evenly_between_its_breakpoints_and_stays_outside():
    seconds = np.array([0, 1, 1.5, 2, 9])
    moved = along([(1, 0.2), (2, 0.8)], seconds)
    np.testing.assert_allclose(moved, [0.2, 0.2, 0.5, 0.8, 0.8])
    np.testing.assert_array_equal(along(0.3, seconds), np.full(5, 0.3))


def test_a_dial_leaps_where_two_breakpoints_meet():
    moved = along([(1, 0), (1, 1)], np.array([0.99, 1.01]))
    np.testing.assert_array_equal(moved, [0, 1])


@pytest.mark.parametrize("name", ["blend", "continuity", "melody", "dynamics"])
@pytest.mark.parametrize(
    "dial",
    [
        *(-0.1, 1.5, np.nan, "half", None, [], [1, 2], [(0, 2)], [(1, 0), (0, 1)]),
        *([(0,)], [(np.nan, 0), (1, 1)], [[(0, 0), (1, 1)]], [(0, 0), "x"], 10**400),
    ],
)
def test_a_dial_that_does_not_work_is_refused_in_one_sentence(name, dial):
    with pytest.raises(
        AudioError, match=rf"^{name}=.* work: give a number from 0 .*\.$"
    ):
        Dials(**{name: dial})
