"""The thread that owns the detectors, and the queue before it.

Images of any requests that go to one detector with one class name run through its pipeline as one stream: it goes on
as long as such images are next, and ends at once where none waits, so that nobody waits for a batch to fill for longer
than ``max_wait_ms``. Images that are scored by one another, or with normal images of their own, are a task as a whole.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Condition, Semaphore, Thread

from zsad.errors import ZsadError
from zsad.export.exported import Answer
from zsad.results.schema import setting_by
from zsad.service.jobs import Job, RefusedImage, read_upload
from zsad.service.metrics import Metrics
from zsad.service.refusal import UNAVAILABLE, Refusal, too_many
from zsad.service.settings import ServiceSettings
from zsad.threads import helpers
from zsad.types import DecodedImage, Failure

log = logging.getLogger(__name__)
LONGEST_PAUSE = 60
"""Seconds after which a client that was refused is asked to come again, at most."""
RECENT = 0.1
"""Weight of the last image in the running mean of seconds an image."""


class Abandoned(Exception):  # noqa: N818  # nothing is wrong
    """Nobody waits for a request any more."""


@dataclass(frozen=True)
class Task:
    """An image of a request, or all of them where the number is None."""

    job: Job
    index: int | None

    @property
    def images(self) -> int:
        """How many images it has."""
        asked = self.job.asked
        return 1 if self.index is not None else len(asked.images) + len(asked.normal)

    def joins(self, other: "Task") -> bool:
        """Whether both can be in one stream."""
        one, two = self.job.asked, other.job.asked
        return (
            self.index is not None
            and other.index is not None
            and one.detector is two.detector
            and one.class_name == two.class_name
        )


class Worker:
    """Answers jobs, one stream or whole request at a time.

    Args:
        settings: limits.
        metrics: where it counts.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._tasks, self._changed, self._is_stopping = deque[Task](), Condition(), False
        self._waiting, self._seconds = 0, 0.0
        self._writers = ThreadPoolExecutor(helpers(), "zsad-answers")
        self._room = Semaphore(2 * helpers())
        self._thread = Thread(target=self._run, name="zsad-worker", daemon=True)
        metrics.watch_queue(lambda: self._waiting)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Refuse new jobs, and wait until the accepted ones are answered, so many seconds at most."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join(seconds)
        self._writers.shutdown(wait=not self._thread.is_alive())

    @property
    def is_ready(self) -> bool:
        """Whether it takes jobs."""
        return self._thread.is_alive() and not self._is_stopping and self._waiting < self._settings.queue

    def submit(self, job: Job) -> None:
        """Put a job into the queue.

        Raises:
            Refusal: the queue is full, or the service is stopping.
        """
        indices = [None] if job.asked.is_whole else range(len(job.asked.images))
        tasks = [Task(job, index) for index in indices]
        count = sum(task.images for task in tasks)
        with self._changed:
            if self._is_stopping:
                raise Refusal(UNAVAILABLE, "a service that stops takes nothing new", "a request", "send it again")
            if self._waiting and self._waiting + count > self._settings.queue:
                rule = f"at most {self._settings.queue:,} images wait"
                raise too_many(rule, f"{self._waiting:,} that do, and {count:,} more", self._pause())
            self._tasks += tasks
            self._waiting += count
            self._changed.notify_all()

    def _pause(self) -> int:
        """Seconds until what waits is answered, by the rate of the last images."""
        return min(max(math.ceil(self._waiting * self._seconds), 1), LONGEST_PAUSE)

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                if task.index is None:
                    self._answer_whole(task.job)
                else:
                    self._answer_stream(task)
            except Exception as error:
                log.exception("the worker goes on after an error")
                task.job.fail(error)

    def _next(self) -> Task | None:
        """The next task that somebody waits for; None where the service stops and none is left."""
        with self._changed:
            while True:
                while self._tasks:
                    task = self._take(0)
                    if not task.job.is_over:
                        return task
                if self._is_stopping:
                    return None
                self._changed.wait()

    def _take(self, place: int) -> Task:
        task = self._tasks[place]
        del self._tasks[place]
        self._waiting -= task.images
        return task

    def _stream(self, taken: list[Task]) -> Iterator[Task]:
        """The first task, and those that join it."""
        first, batch = taken[0], taken[0].job.asked.detector.batch
        yield first
        until = time.monotonic() + self._settings.max_wait_ms / 1000
        while (task := self._joining(first, until, is_short=len(taken) < batch)) is not None:
            taken.append(task)
            yield task

    def _joining(self, first: Task, until: float, *, is_short: bool) -> Task | None:
        """A task for the same stream: the next one, or while a batch is short any that waits or comes until a time."""
        with self._changed:
            while True:
                for place in range(len(self._tasks) if is_short else min(len(self._tasks), 1)):
                    if first.joins(self._tasks[place]):
                        task = self._take(place)
                        return self._joining(first, until, is_short=is_short) if task.job.is_over else task
                left = until - time.monotonic()
                if not is_short or left <= 0 or self._is_stopping:
                    return None
                self._changed.wait(left)

    def _answer_stream(self, first: Task) -> None:
        detector, class_name = first.job.asked.detector, first.job.asked.class_name
        taken, answered, start = [first], 0, time.monotonic()
        try:
            for found in detector.run(class_name, self._stream(taken), _read):
                self._answered(taken[answered], found)
                answered, start = answered + 1, self._measured(start)
        except Exception as error:
            # One image may have spoilt the batch of others: each is tried alone.
            if len(taken) - answered == 1:
                self._fail(taken[answered], error)
            else:
                for task in taken[answered:]:
                    self._answer_alone(task)
        self._metrics.stream(len(taken))

    def _answer_alone(self, task: Task) -> None:
        asked = task.job.asked
        try:
            for found in asked.detector.run(asked.class_name, [task], _read):
                self._answered(task, found)
        except Exception as error:
            self._fail(task, error)

    def _answer_whole(self, job: Job) -> None:
        asked = job.asked
        detector, start = asked.detector, time.monotonic()
        try:
            _check_normal(job)
            normal = [upload.content for upload in asked.normal]
            with detector.temporary_memory(normal, asked.class_name) if normal else nullcontext():
                answers = detector.run_whole(
                    asked.class_name, [*range(len(asked.images))], job.read, lambda _: _check_awaited(job)
                )
                for index, found in enumerate(answers):
                    _check_awaited(job)
                    job.explanation = detector.detector.explanation
                    job.scored_together = detector.detector.scored_together
                    self._answered(Task(job, index), found)
                    start = self._measured(start)
        except Abandoned:
            return
        except Exception as error:
            self._fail(Task(job, None), error)

    def _answered(self, task: Task, found: Answer) -> None:
        """Hand a result on: what takes time is done in other threads, a bounded number of results at a time."""
        job, index = task.job, task.index
        assert index is not None
        _tell(job)
        self._metrics.image(job.asked.detector.name, is_scored=not isinstance(found, Failure))
        if isinstance(found, Failure):
            job.failed(index, found)
            return
        output = job.asked.output
        if output.maps == "none" and not output.regions:
            job.predicted(index, *found)
            return
        self._room.acquire()
        self._writers.submit(job.predicted, index, *found).add_done_callback(lambda _: self._room.release())

    def _fail(self, task: Task, error: Exception) -> None:
        if not isinstance(error, ZsadError):
            log.error("a request failed", exc_info=error)
        task.job.fail(error)

    def _measured(self, start: float) -> float:
        """Take the seconds of an image into the mean; returns the time now."""
        now = time.monotonic()
        self._seconds += RECENT * (now - start - self._seconds)
        return now


def _read(task: Task) -> DecodedImage | Failure:
    assert task.index is not None
    return task.job.read(task.index)


def _tell(job: Job) -> None:
    """Warnings, explanation and setting of a job, once; by the thread that owns the detector."""
    if job.warnings is not None:
        return
    served, class_name = job.asked.detector, job.asked.class_name
    detector = served.detector
    job.warnings = [*detector.memory_warnings(class_name), *detector.calibration_warnings(class_name)]
    job.explanation = job.explanation or served.told_alone()
    job.setting = setting_by(job.scored_together, has_references=bool(detector.memory_summary))


def _check_awaited(job: Job) -> None:
    if job.is_over:
        raise Abandoned


def _check_normal(job: Job) -> None:
    """Read the normal images once, so that an error names the file.

    Raises:
        ZsadError: one of them cannot be read.
    """
    for upload in job.asked.normal:
        _check_awaited(job)
        found = read_upload(upload, job.max_pixels)
        if isinstance(found, RefusedImage):
            raise found.error
