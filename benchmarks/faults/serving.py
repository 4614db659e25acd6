"""``zsad serve`` is killed while it starts, answers or stops, and started again at the same address."""

import json
import shutil
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

from benchmarks.faults.commands import FAST
from benchmarks.faults.running import Child
from benchmarks.faults.trial import EARLIER, Fault, different, kept, temporary
from benchmarks.service.malformed import answered
from benchmarks.service.rude import part_of, photo, request, text_part

WORDS = ("serve", "clip", "fe-clip", *FAST, "--port")
STOPPED, STOPS = 0, 503
"""Exit status of a service that a signal stopped, and what it answers to requests that come after the signal."""
ANSWERING, PATIENCE = 1.0, 60.0
"""Seconds for which it answers before it is told to stop, and within which it must listen."""


def requests() -> list[bytes]:
    """Two that differ in all that can be asked for."""
    image, end = part_of(photo("PNG")), b"--b--\r\n"
    maps = text_part("maps", b"png") + text_part("regions", b"true") + text_part("pixel_threshold", b"0.4")
    both = part_of(photo("JPEG"), "y.jpg") + text_part("detector", b"fe-clip") + text_part("class_name", b"nut")
    return [request(image + maps + end), request(image + both + end)]


class Clients:
    """Threads that ask until the service is gone; one more has sent half of a request.

    Attributes:
        answers: number of the request, and what was answered, whole.
    """

    def __init__(self, port: int) -> None:
        self.answers: list[tuple[int, object]] = []
        self._port, self._over = port, threading.Event()
        asked = requests()
        self._half = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._half.sendall(asked[0][: len(asked[0]) // 2])
        self._threads = [threading.Thread(target=self._ask, args=one) for one in enumerate(asked)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int, content: bytes) -> None:
        while not self._over.is_set():
            try:
                status, body = answered(self._port, [content], ends=False)
            except (OSError, ValueError):  # it is gone, or went in the middle of an answer
                return
            if status == STOPS:
                return
            self.answers.append((number, [status, json.loads(body)]))

    @property
    def have_all(self) -> bool:
        """Whether each request has been answered."""
        return len({number for number, _ in self.answers}) == len(self._threads)

    def give_up(self) -> None:
        """Close the connection with half of a request."""
        self._half.close()

    def leave(self) -> None:
        """End all threads."""
        self._over.set()
        self.give_up()
        for thread in self._threads:
            thread.join(2 * PATIENCE)


class Session:
    """What happens to a service from its start to its end; called again and again while it runs.

    Args:
        port: where it listens.
        after: seconds after which it is to be killed; None for a signal to stop when it has answered for a while.
    """

    def __init__(self, port: int, after: float | None) -> None:
        self._port, self._after = port, after
        self._clients: Clients | None = None
        self._until = 0.0

    def __call__(self, child: Child) -> bool:
        """Whether it is to be killed now."""
        if self._clients is None and "serving:" in child.said:
            self._clients, self._until = Clients(self._port), child.seconds + ANSWERING
        if self._until and child.seconds > self._until and self._clients is not None and self._clients.have_all:
            self._clients.give_up()
            self._until = 0.0
            child.signal(signal.SIGTERM)
        return self._after is not None and child.seconds >= self._after

    def answers(self) -> list[tuple[int, object]]:
        """Those that came, once it has ended."""
        if self._clients is None:
            return []
        self._clients.leave()
        return self._clients.answers


class Services:
    """The kills of a service.

    Args:
        work: an empty folder.
        cold: whether each is a new process of Python.

    Attributes:
        seconds: that it takes undisturbed, to start, to answer and to stop.
        right: answers that came before a kill, and were right.

    Raises:
        RuntimeError: undisturbed, it does not stop as it should.
    """

    def __init__(self, work: Path, *, cold: bool = False) -> None:
        self._folder, self._cold, self.right = work / "folder", cold, 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._set_up()
        status, said, answers = self._session(None)
        self._expected = dict(answers)
        if status != STOPPED or self._wrong(answers):
            raise RuntimeError(f"a service ends with {status} undisturbed: {said} {self._wrong(answers)}")
        self._kept = kept(self._folder)

    def tried(self, fault: Fault) -> list[str]:
        """Kill a service and start it again; returns what is wrong then."""
        self._set_up()
        try:
            status, said, answers = self._session(fault.after)
            if status == STOPPED:
                return self.tried(replace(fault, after=fault.after * EARLIER))
            if status != -signal.SIGKILL:
                return [f"it was to be killed and ended with {status}: {said}"]
            self.right += len(answers)
            faults = self._wrong(answers)
            status, said, answers = self._session(None)
            if status != STOPPED:
                faults.append(f"started again, it ends with {status}: {said}")
            return [*faults, *self._wrong(answers), *different(kept(self._folder), self._kept)]
        except TimeoutError as error:
            return [str(error)]

    def _set_up(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "tmp").mkdir(parents=True)

    def _session(self, after: float | None) -> tuple[int, str, list[tuple[int, object]]]:
        child, session = Child((*WORDS, str(self._port)), self._folder, cold=self._cold), Session(self._port, after)
        try:
            status, said = child.ended(session)
        finally:
            answers = session.answers()
        self.seconds = child.seconds
        return status, said, answers

    def _wrong(self, answers: list[tuple[int, object]]) -> list[str]:
        """Answers other than those of a service that nothing happened to, and files that it left."""
        wrong = [(number, found) for number, found in answers if found != self._expected[number]]
        return [
            *(f"request {number} is answered {found}" for number, found in wrong),
            *(f"{name} is left" for name in temporary(self._folder)),
        ]
