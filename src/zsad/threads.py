"""Threads that work ahead, and are cancelled when their results are no longer needed."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_HELPERS = 16


def helpers() -> int:
    """Threads that decode or encode images beside a model: as many as the machine has, 2 to 16."""
    return min(max(os.cpu_count() or 1, 2), MOST_HELPERS)


@contextmanager
def readers(count: int, start: Callable[[], object] | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool with that many threads, at least one. Pending tasks are cancelled when the block ends.

    A block that ends with an exception does not wait for running tasks: Ctrl-C would otherwise wait for all requested
    files.

    Args:
        count: of threads.
        start: called in each thread before its first task.
    """
    pool = ThreadPoolExecutor(max(count, 1), "zsad-reader", start or (lambda: None))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown(cancel_futures=True)


def in_order(pool: ThreadPoolExecutor, run: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """The results of a function in the order of the items, computed by a pool.

    Args:
        pool: of threads.
        run: called in these threads.
        items: taken by the caller's thread.
        ahead: tasks beyond the result that is waited for, at most; bounds memory.
    """
    pending = deque[Future[R]]()
    for item in items:
        pending.append(pool.submit(run, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
