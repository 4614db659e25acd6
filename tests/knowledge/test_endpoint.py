"""Endpoints that are busy, broken, silent or ask for a key."""

import re
from pathlib import Path
from threading import Event

import pytest

from tests.knowledge.serving import Reply, failure, good, run, serving
from zsad.knowledge import Knowledge

EMPTY = '{"choices": [{"message": {"content": null}}]}'


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_a_while(status: int, tmp_path: Path, waits: list[float]) -> None:
    busy = [failure(status), failure(status, **{"Retry-After": "7"}), failure(status, **{"Retry-After": "soon"})]
    with serving(lambda number, prompt: busy[number] if number < 3 else good(number, prompt)) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear") == 0
    assert waits == [1, 7, 4]
    assert len(set(chat.texts)) == 1


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (failure(401, '{"error": {"message": "Incorrect API key: secret"}}'), r"401 .*Incorrect API key: \*\*\*"),
        (failure(403, ""), r"accept the API key; got 403 .*no reason given. Remedy: correct \$MY_KEY"),
        (failure(404, "no such model"), "404 Not Found: no such model. Remedy: check --base-url and the model"),
        (failure(429, "quota"), "429 Too Many Requests: quota. Remedy: wait, or check quota"),
        (failure(302, "", Location="http://127.0.0.1:9/"), "got 302"),
        (failure(200, "<html>"), "answers with choices, message and content; got '<html>'"),
        (failure(200, '{"choices": []}'), "answers with choices"),
    ],
)
def test_an_endpoint_that_does_not_work_ends_the_run_with_one_line(
    reply: Reply, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret\n")
    with serving(lambda number, prompt: reply if number else good(number, prompt)) as chat:
        options = ["--api-key-variable", "MY_KEY", "--retries", "1", "--classes", "gear", "rack", "axle"]
        assert run(chat, tmp_path / "k.json", *options) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\nzsad: ") + error.startswith("zsad: ") == 1
    assert "secret" not in error
    assert {key for _, key, _ in chat.asked} == {"Bearer secret"}
    assert Knowledge.read(tmp_path / "k.json").classes == ("gear",)


def test_a_key_that_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda *_: failure(401, "no key")) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear") == 2
    assert "Remedy: set $OPENAI_API_KEY" in capsys.readouterr().err
    assert len(chat.asked) == 1


@pytest.mark.parametrize("reply", [failure(400, "content filter"), failure(200, EMPTY)])
def test_a_question_that_the_server_refuses_does_not_end_the_run(
    reply: Reply, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda number, prompt: reply if "gear" in prompt else good(number, prompt)) as chat:
        assert run(chat, tmp_path / "k.json", "--retries", "2", "--classes", "gear", "rack") == 1
    assert "refused: class gear: the " in capsys.readouterr().err
    assert len(chat.asked) == 2
    assert Knowledge.read(tmp_path / "k.json").classes == ("rack",)


def test_a_server_that_is_out_of_reach_or_silent_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], waits: list[float]
) -> None:
    with serving(good) as chat:
        pass
    assert run(chat, tmp_path / "k.json", "--classes", "gear", "--retries", "2") == 2
    assert "refused" in capsys.readouterr().err.lower()
    assert waits == [1, 2]
    release = Event()
    with serving(lambda *_: "late" if release.wait(60) else "") as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear", "--retries", "0", "--timeout", "0.2") == 2
        release.set()
    assert "must answer within 0.2 s; got timed out" in capsys.readouterr().err
