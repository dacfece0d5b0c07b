"""How long a call takes at its best, for benchmarks of pure functions."""

import timeit


def microseconds(call):
    """The best of five runs, each of about a tenth of a second."""
    timer = timeit.Timer(call)
    number, taken = timer.autorange()
    number = max(1, int(number * 0.1 / taken))
    return min(timer.repeat(5, number)) / number * 1e6
