"""Threads that read ahead, and end when nobody waits for them any more."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def readers(count: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads, at least one. What has not begun when the block ends is never begun.

    A block that ends with an exception does not wait for what has: a Ctrl-C would otherwise wait for every file that
    was asked for.
    """
    pool = ThreadPoolExecutor(max(count, 1), "zsad-reader")
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown(cancel_futures=True)
