"""Every bad request is a 4xx with a reason, and nothing of a client is opened."""

import struct
import zlib

import pytest

from tests.service.asking import client, files, photo
from zsad.errors import ConfigError
from zsad.service.settings import ServiceSettings, read_token

SMALL = {"max_files": 2, "max_file_bytes": 40_000, "max_request_bytes": 60_000, "max_pixels": 100_000}
TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def asking():
    with client("clip", "promptad", **SMALL) as found:
        yield found


def bomb() -> bytes:
    """A PNG that says it has ten thousand times ten thousand pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


UPLOADS = {
    "nothing": (b"", 422, "whole image file"),
    "cut off": (photo(0)[:200], 422, "whole image file"),
    "text": (b"hello", 422, "whole image file"),
    "a pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.", 422, "whole image file"),
    "a document": (b"%PDF-1.7", 422, "a PDF document is not supported"),
    "a bomb": (bomb(), 422, "at most 100000 pixels"),
    "a large file": (bytes(40_001), 413, "at most 40,000 bytes"),
}


@pytest.mark.parametrize("what", UPLOADS)
def test_an_upload_is_refused(asking, what: str) -> None:
    content, status, rule = UPLOADS[what]
    answer = asking.post("/v1/predict", files=[("images", ("x.png", content))])
    assert answer.status_code == status
    assert rule in answer.json()["rule"]
    assert answer.json()["remedy"]


FORMS = [
    ({"detector": "../../etc"}, 404, "detector"),
    ({"detector": "promptad", "normal": "yes"}, 422, "never opened"),
    ({"images": "/etc/passwd"}, 422, "never opened"),
    ({"images": "http://localhost/x.png"}, 422, "never opened"),
    ({"class_name": "two\nlines"}, 422, "class name"),
    ({"class_name": "\x00"}, 422, "class name"),
    ({"threshold": "nan"}, 422, "threshold is a number in [0, 1]"),
    ({"threshold": "1e400"}, 422, "threshold is a number in [0, 1]"),
    ({"map_side": "-1"}, 422, "map_side"),
    ({"map_side": "9" * 30}, 422, "map_side"),
    ({"maps": "exe"}, 422, "kind of maps"),
    ({"regions": "maybe"}, 422, "regions is true or false"),
    ({"regions": "true"}, 422, "threshold for pixels"),
    ({"colour": "red"}, 422, "part of the form"),
    ({"class_name": "x" * 20_000}, 413, "a field has at most"),
]


@pytest.mark.parametrize(("fields", "status", "rule"), FORMS)
def test_a_field_is_refused(asking, fields: dict[str, str], status: int, rule: str) -> None:
    answer = asking.post("/v1/predict", files=files(1), data=fields)
    assert answer.status_code == status
    assert rule in answer.json()["rule"]


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/passwd", "C:/x.png", "a/../../b", "a\rb", "x" * 300, " ", "..\\x.png"]
)
def test_a_path_trick_is_refused(asking, name: str) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="images"; filename="'
        + name.encode().replace(b"\\", b"\\\\")
        + b'"\r\n\r\n'
        + photo(0)
        + b"\r\n--b--\r\n"
    )
    answer = asking.post("/v1/predict", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert 400 <= answer.status_code < 500
    assert answer.json()["rule"]


PART = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x.png"\r\n\r\nx\r\n'
BODIES = {
    "no form": (b"{}", "application/json", 415),
    "no boundary": (PART, "multipart/form-data", 400),
    "a long boundary": (PART, "multipart/form-data; boundary=" + "b" * 999, 400),
    "another boundary": (PART + b"--b--\r\n", "multipart/form-data; boundary=c", 400),
    "no end": (PART, "multipart/form-data; boundary=b", 400),
    "empty": (b"", "multipart/form-data; boundary=b", 400),
    "no name": (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
    "no head": (b"--b\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
    "a long head": (b"--b\r\nX: " + b"y" * 9999 + b"\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
    "base64": (
        PART.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + b"--b--\r\n",
        "multipart/form-data; boundary=b",
        400,
    ),
    "twice": (
        b'--b\r\nContent-Disposition: form-data; name="maps"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
        "multipart/form-data; boundary=b",
        422,
    ),
    "no Unicode": (
        b'--b\r\nContent-Disposition: form-data; name="maps"\r\n\r\n\xff\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
        422,
    ),
    "many files": (PART * 3 + b"--b--\r\n", "multipart/form-data; boundary=b", 413),
    "many fields": (
        b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\n\r\n' % n for n in range(40)) + b"--b--\r\n",
        "multipart/form-data; boundary=b",
        413,
    ),
    "large": (bytes(60_001), "multipart/form-data; boundary=b", 413),
    "no image": (
        b'--b\r\nContent-Disposition: form-data; name="maps"\r\n\r\nnone\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
        400,
    ),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_malformed_body_is_refused(asking, what: str) -> None:
    body, kind, status = BODIES[what]
    answer = asking.post("/v1/predict", content=body, headers={"content-type": kind})
    assert (answer.status_code, sorted(answer.json())) == (status, ["remedy", "rule", "value"])


def test_a_body_of_unknown_length_has_the_same_limit(asking) -> None:
    head = {"content-type": "multipart/form-data; boundary=b"}
    answer = asking.post("/v1/predict", content=(bytes(10_000) for _ in range(7)), headers=head)
    assert answer.status_code in (400, 413)
    pieces = (PART if number == 0 else bytes(10_000) for number in range(8))
    answer = asking.post("/v1/predict", content=pieces, headers=head)
    assert answer.status_code in (400, 413)


def test_a_normal_image_that_cannot_be_read_is_named() -> None:
    with client("auto") as asking:
        answer = asking.post("/v1/predict", files=[*files(1), ("normal", ("good.png", b"no image"))])
    assert answer.status_code == 422
    assert answer.json()["value"].startswith("good.png")


def test_unknown_routes_are_answered_in_the_same_form(asking) -> None:
    assert asking.get("/docs").status_code == asking.get("/../etc/passwd").status_code == 404
    answer = asking.get("/v1/predict")
    assert (answer.status_code, answer.json()["value"]) == (405, "GET /v1/predict")


def test_other_pages_and_other_names_of_this_machine_are_refused(asking) -> None:
    assert asking.get("/healthz", headers={"host": "evil.example"}).status_code == 403
    assert asking.get("/healthz", headers={"host": "[::1"}).status_code == 403
    assert asking.get("/healthz", headers={"host": "[::1]:80"}).status_code == 200
    assert asking.get("/healthz", headers={"origin": "http://evil.example"}).status_code == 403
    assert asking.get("/healthz", headers={"origin": "null"}).status_code == 403
    assert asking.get("/healthz", headers={"origin": "http://127.0.0.1:8000"}).status_code == 200


def test_a_token_is_asked_for() -> None:
    with client(token=TOKEN, host="0.0.0.0") as asking:
        for header in (None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer ü"):
            answer = asking.get("/v1/detectors", headers={} if header is None else {"authorization": header.encode()})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert asking.post("/v1/predict", files=files(1)).status_code == 401
        assert asking.get("/metrics").status_code == 401
        assert asking.get("/healthz").status_code == 200
        assert asking.get("/v1/detectors", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_other_machines_need_a_token(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.org"):
        with pytest.raises(ConfigError, match="asks for a token"):
            ServiceSettings(host=host)
    assert ServiceSettings(host="localhost").token is None
    assert TOKEN not in repr(ServiceSettings(host="::", token=TOKEN))
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "token") == TOKEN
    assert read_token(None) is None
    monkeypatch.setenv("ZSAD_SERVE_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    for wrong in ("", "short", "two words and more", "ü" * 20):
        (tmp_path / "token").write_text(wrong)
        with pytest.raises(ConfigError, match="a token is 16 to"):
            read_token(tmp_path / "token")


def test_every_answer_restricts_what_a_page_may_do(asking) -> None:
    for answer in (asking.get("/healthz"), asking.get("/none"), asking.post("/v1/predict")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
