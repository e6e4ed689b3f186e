"""Ordered processing of items in threads, a few items ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield `work(item)` for each item, in order, with at most `ahead` further items submitted.

    Parameters
    ----------
    pool : ThreadPoolExecutor
        The threads. Items that have not started when the iterator is closed are canceled.
    work : callable
        Function of one item.
    items : iterable
        The items.
    ahead : int
        Number of items that are submitted in advance.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from committee.images.threads import in_order
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(in_order(pool, abs, [-1, -2, -3], ahead=2))
    [1, 2, 3]
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
