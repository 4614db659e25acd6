"""Threads that read ahead, and are cancelled when their results are no longer needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def readers(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool with that many threads, at least one. Pending tasks are cancelled when the block ends.

    A block that ends with an exception does not wait for running tasks: Ctrl-C would otherwise wait for all requested
    files.
    """
    pool = ThreadPoolExecutor(max(count, 1), "zsad-reader")
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown(cancel_futures=True)
