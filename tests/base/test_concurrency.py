"""Work in advance: results in order, only so many calls begun, errors where their result would come."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from whales.base.concurrency import map_ahead, read_ahead


class LazyPool:
    """Runs a call when its result is asked for; `begun` and `cancelled` hold the items."""

    def __init__(self):
        self.begun, self.cancelled = [], []

    def submit(self, function, item):
        pool = self

        class Call(Future):
            def result(self, timeout=None):
                return function(item)

            def cancel(self):
                pool.cancelled.append(item)
                return True

        self.begun.append(item)
        return Call()


@pytest.mark.parametrize("limit", [0, 1, 3, 100])
def test_results_come_in_order(limit):
    with ThreadPoolExecutor(3) as pool:
        assert list(map_ahead(pool, lambda n: n * n, range(20), limit)) == [
            n * n for n in range(20)
        ]
        assert list(map_ahead(pool, abs, [], limit)) == []


def test_no_more_calls_are_begun_than_the_limit():
    pool = LazyPool()
    results = map_ahead(pool, abs, iter(range(10)), limit=3)
    assert pool.begun == []
    next(results)
    assert pool.begun == [0, 1, 2, 3]
    next(results)
    assert pool.begun == [0, 1, 2, 3, 4]
    results.close()
    assert pool.cancelled == [2, 3, 4]


def test_an_error_comes_where_its_result_would():
    results = read_ahead(lambda n: 6 // n, [3, 2, 0, 1], workers=2)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
