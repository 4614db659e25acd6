"""A request to the service, in this process."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import zsad

if TYPE_CHECKING:
    from fastapi import FastAPI

ROUTES = ("predict", "regions")
BOUNDARY, TYPE = b"b", "multipart/form-data; boundary=b"
ANSWER = ("rule", "value", "remedy")


def form(fields: dict[str, str], files: list[tuple[str, str, bytes]]) -> bytes:
    """The body of a form: text fields by name, and files as name of the field, name and content."""
    parts = [_part(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [_part(f'name="{field}"; filename="{name}"', content) for field, name, content in files]
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def _part(about: str, content: bytes) -> bytes:
    head = f"Content-Disposition: form-data; {about}\r\n\r\n".encode()
    return b"--" + BOUNDARY + b"\r\n" + head + content + b"\r\n"


@cache
def application() -> "FastAPI":
    """The service; made before the process forks, and started after it."""
    from zsad.service.app import create_app

    return create_app({name: zsad.load(name, image_size=64) for name in ("clip", "winclip")})


def post(route: str, *files: str) -> int:
    """Post bodies, one after the other, and print the answers.

    Returns:
        0 where all are answered, 1 where one is refused with a reason.

    Raises:
        AssertionError: one is answered otherwise. What the service raises comes through.
    """
    from starlette.testclient import TestClient

    status = 0
    with TestClient(application(), base_url="http://127.0.0.1:8000") as client:
        for file in files:
            answer = client.post(f"/v1/{route}", content=Path(file).read_bytes(), headers={"Content-Type": TYPE})
            told = json.loads(answer.content)
            if answer.status_code == 200:
                print("answered")
                continue
            status = 1
            assert 400 <= answer.status_code < 500, (file, answer.status_code)
            assert all(isinstance(told[key], str) and told[key] for key in ANSWER), (file, told)
            print(f"{told['rule']}; got {told['value']}")
        assert client.get("/healthz").status_code == 200
    return status
