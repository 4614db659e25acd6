"""Many clients at a time: errors, memory, latency, and the rate over that of predict on the same images."""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread

import numpy as np

import zsad
from benchmarks.service.running import Service, serving
from zsad.predictor import Detector
from zsad.throughput import draw_photographs
from zsad.types import Failure

TOLERANCE = 1e-4
BAR = 0.8
SETTLED = 1 / 3
"""Of the time, before memory is measured."""
MOST_GROWTH = 0.02
"""Share of the memory by which it may grow after that: it moves up and down by as much."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add options."""
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--detector", default="clip-ac")
    parser.add_argument("--images", type=int, default=24, help="JPEG files (default: 24)")
    parser.add_argument("--side", type=int, default=1024, help="of the files in px (default: 1024)")
    parser.add_argument("--image-size", type=int, help="input size of the detector in px (default: its own)")
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill", action="store_true", help="kill -9 in the middle, and start again")


def run(options: argparse.Namespace) -> int:
    """Measure, print; returns the exit status."""
    with TemporaryDirectory() as folder:
        files = draw_photographs(Path(folder), options.images, options.side)
        detector = zsad.load(options.detector, image_size=options.image_size)
        right = [one.score for one in detector.predict([*files])]
        before = rate_of_predict(detector, files)
        bodies = [form(path.read_bytes()) for path in files]
        size = [] if options.image_size is None else ["--image-size", str(options.image_size)]
        with serving(options.detector, "--queue", str(options.queue), *size) as service:
            clients = Clients(service, bodies, right, options)
            found = clients.measured(options.kill)
        after = rate_of_predict(detector, files)
    return report(found, [before, after], options)


def rate_of_predict(detector: Detector, files: Sequence[Path]) -> float:
    """Images a second of ``Detector.stream``."""
    start = time.perf_counter()
    assert not any(isinstance(answer, Failure) for answer in detector.stream([*files]))
    return len(files) / (time.perf_counter() - start)


def form(content: bytes) -> bytes:
    """The body of a request with one image."""
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x.jpg"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n"


class Clients:
    """Threads that ask, each for one image after the other.

    Args:
        service: that is asked.
        bodies: of the requests.
        right: score that each must be answered with.
        options: of the command line.
    """

    def __init__(
        self, service: Service, bodies: Sequence[bytes], right: Sequence[float], options: argparse.Namespace
    ) -> None:
        self._service, self._bodies, self._right, self._options = service, bodies, right, options
        self.statuses: Counter[str] = Counter()
        self.latencies = list[float]()
        self.wrong = 0
        self.memory = list[tuple[float, int]]()
        self.seconds = 0.0
        self._lock, self._over = Lock(), Event()
        self._outage = math.inf, math.inf

    def measured(self, kill: bool) -> "Clients":
        """Ask for the time that was given, then wait for the last answers."""
        threads = [Thread(target=self._client, args=(number,)) for number in range(self._options.clients)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        while (now := time.monotonic() - start) < self._options.seconds:
            if kill and now > self._options.seconds / 2:
                kill = False
                self._outage = time.monotonic(), math.inf
                self._service.kill()
                self._service.start()
                self._outage = self._outage[0], time.monotonic()
            self.memory.append((now, self._service.memory))
            time.sleep(1)
        self._over.set()
        for thread in threads:
            thread.join()
        self.seconds = time.monotonic() - start
        return self

    def _client(self, number: int) -> None:
        draw, connection = Random(f"{self._options.seed} {number}"), None
        while not self._over.is_set():
            which = draw.randrange(len(self._bodies))
            if connection is None:
                connection = HTTPConnection("127.0.0.1", self._service.port, timeout=120)
            began = time.monotonic()
            try:
                connection.request(
                    "POST", "/v1/predict", self._bodies[which], {"Content-Type": "multipart/form-data; boundary=b"}
                )
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, HTTPException) as error:
                connection.close()
                connection = None
                is_expected = began <= self._outage[1] and time.monotonic() >= self._outage[0]
                self._count("unanswered, killed" if is_expected else f"broken: {type(error).__name__}")
                time.sleep(0.2)
                continue
            self._judge(answer.status, content, which, time.monotonic() - began)
            if answer.status == 429:
                connection.close()  # else the service closes it, which a client of this library does not notice
                self._over.wait(float(answer.headers["Retry-After"]) * draw.uniform(0.5, 1.5))
        if connection is not None:
            with suppress(OSError):
                connection.close()

    def _judge(self, status: int, content: bytes, which: int, seconds: float) -> None:
        if status == 200:
            score = json.loads(content)["predictions"][0]["score"]
            with self._lock:
                self.latencies.append(seconds)
                self.wrong += abs(score - self._right[which]) > TOLERANCE
        self._count(str(status))

    def _count(self, what: str) -> None:
        with self._lock:
            self.statuses[what] += 1


def report(found: Clients, rates: list[float], options: argparse.Namespace) -> int:
    """Print beside the bars; returns the exit status."""
    rate, predicted = len(found.latencies) / found.seconds, sum(rates) / len(rates)
    print(f"{options.clients} clients, {found.seconds:.0f} s, {options.detector}, JPEG of {options.side} px")
    print("answers: " + ", ".join(f"{count:,} × {what}" for what, count in sorted(found.statuses.items())))
    print(f"answers with another score than predict: {found.wrong}")
    p50, p99 = median(found.latencies), float(np.quantile(found.latencies, 0.99))
    print(f"seconds to an answer: p50 {p50:.2f}, p99 {p99:.2f}")
    ratio = rate / predicted
    print(f"images a second: {rate:.2f}; predict before {rates[0]:.2f}, after {rates[1]:.2f}: ratio {ratio:.2f}")
    print(
        "MiB every tenth of the time: " + ", ".join(f"{found.memory[place][1] / 2**20:.0f}" for place in tenths(found))
    )
    settled = [one for one in found.memory if one[0] > options.seconds * SETTLED]
    growth = slope(settled)
    share = growth * (settled[-1][0] - settled[0][0]) / 60 / (settled[-1][1] / 2**20)
    print(f"memory: {found.memory[-1][1] / 2**20:.0f} MiB at the end; after a third of the time")
    print(f"slope {growth:+.2f} MiB a minute, {share:+.1%} in all")
    faults = [what for what in found.statuses if what not in ("200", "429", "unanswered, killed")]
    bars = {
        "no error but 429": not faults,
        "no wrong answer": not found.wrong,
        f"rate ≥ {BAR} of predict": options.kill or ratio >= BAR,
        f"memory grows by at most {MOST_GROWTH:.0%}": options.kill or share <= MOST_GROWTH,
    }
    for bar, passes in bars.items():
        print(f"{bar}: {'passes' if passes else 'FAILS'}")
    return 0 if all(bars.values()) else 1


def tenths(found: Clients) -> list[int]:
    """Places in the list of memory, a tenth of it apart."""
    return [*map(int, np.linspace(0, len(found.memory) - 1, 11))]


def slope(memory: Sequence[tuple[float, int]]) -> float:
    """MiB a minute, by least squares."""
    seconds, resident = np.array(memory, float).T
    return float(np.polyfit(seconds / 60, resident / 2**20, 1)[0])
