"""Malformed requests by seed: each must be a 4xx with a reason; none a 5xx, none without an answer."""

import argparse
import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

from benchmarks.service.rude import Rude, good, kinds, rude
from benchmarks.service.running import Service, serving

PATIENCE = 60.0
"""Seconds: the time limits of the service, and more."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add options."""
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--at-a-time", type=int, default=16)
    parser.add_argument("--detector", default="clip-ac")


def run(options: argparse.Namespace) -> int:
    """Send, count, print; returns the exit status."""
    numbers = range(options.first, options.first + options.cases)
    counts: Counter[tuple[str, str]] = Counter()
    faults = 0
    with serving(options.detector, "--image-size", "64") as service:
        right, before = asked(service), service.memory
        with ThreadPoolExecutor(options.at_a_time) as pool:
            cases = [rude(Random(f"{options.seed} {number}")) for number in numbers]
            for number, case, found in zip(
                numbers, cases, pool.map(lambda case: outcome(service.port, case), cases), strict=True
            ):
                counts[case.kind, found] += 1
                if found[:1] != "4":
                    faults += 1
                    print(f"case {number}: {case.kind}, {case.what}: {found}", flush=True)
        after = service.memory
        if asked(service) != right:
            faults += 1
            print("a good request is answered otherwise than before")
    for kind in kinds():
        found = {what: count for (of, what), count in sorted(counts.items()) if of == kind}
        print(f"{kind:<22}{sum(found.values()):>6}  " + ", ".join(f"{count} × {what}" for what, count in found.items()))
    print(f"memory {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after")
    print(f"{options.cases} cases, seed {options.seed}, from {options.first}: {faults} faults")
    return 1 if faults else 0


def asked(service: Service) -> float:
    """The score of a good image."""
    status, content = answered(service.port, [good()], ends=False)
    assert status == 200, content
    score: float = json.loads(content)["predictions"][0]["score"]
    return score


def outcome(port: int, case: Rude) -> str:
    """The status where a reason comes with it, or what is wrong."""
    start = time.monotonic()
    try:
        status, content = answered(port, case.pieces, ends=case.ends)
    except TimeoutError:
        return "a hang"
    except (OSError, ValueError) as error:
        return f"no answer ({type(error).__name__}, {time.monotonic() - start:.1f} s)"
    try:
        told = json.loads(content)
    except ValueError:
        return f"without a reason: {status} {content[:80]!r}"
    if not all(isinstance(told.get(key), str) and told[key] for key in ("rule", "value", "remedy")):
        return f"without a reason: {status} {content[:80]!r}"
    return str(status)


def answered(port: int, pieces: list[bytes], *, ends: bool) -> tuple[int, bytes]:
    """Status and content of the first answer on a connection.

    Raises:
        TimeoutError: none comes.
        ValueError: it is no HTTP.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer may be there already
        answer = b""
        while b"\r\n\r\n" not in answer:
            if not (piece := connection.recv(65536)):
                raise ValueError("no head")
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        while len(body) < length:
            if not (piece := connection.recv(65536)):
                raise ValueError("half a body")
            body += piece
    return int(head.split()[1]), body[:length]
