"""``zsad knowledge build`` against a chat endpoint over loopback."""

import base64
import re
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from tests.knowledge.serving import Reply, about, good, run, serving
from zsad.backbones.prompt_cache import cache_dir
from zsad.knowledge import Knowledge, image_key


def test_a_class_is_asked_for_as_the_paper_does_and_kept(tmp_path: Path) -> None:
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "coil_spring", "gear") == 0
    entry = Knowledge.read(tmp_path / "k.json").lookup("coil spring")
    assert entry.background == "A coil spring is fine."
    assert entry.llm[1] == "An abnormal image of a coil spring may show fault two."
    assert [text.split("?")[0] for text in chat.texts] == [
        f"Describe what an abnormal image of {name} looks like" for name in ("coil spring", "gear")
    ]
    path, key, body = chat.asked[0]
    assert path == "/v1/chat/completions"
    assert key is None
    assert body == {"model": "llm", "messages": [{"role": "user", "content": chat.texts[0]}]}


def test_images_are_sent_and_described(tmp_path: Path, data: Path) -> None:
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--data", f"mvtec:{data}", "--vision-model", "vlm") == 0
    known = Knowledge.read(tmp_path / "k.json")
    bent = data / "spring" / "test" / "bent"
    assert set(known.lookup("spring").vqa) == {image_key(bent / "0.png"), image_key(bent / "1.bmp")}
    assert known.descriptions("spring", bent / "2.png")[5:] == ("The spring is bent at its upper end.",)
    assert [body["model"] for _, _, body in chat.asked] == ["llm", "vlm", "vlm"]
    text, attachment = chat.asked[2][2]["messages"][0]["content"]
    assert text["text"].startswith(
        "Identify anomalies in the input image of the specified class (spring). Describe each anomaly's location, "
        "color, shape, size, and other characteristics."
    )
    head, _, content = attachment["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(BytesIO(base64.b64decode(content))) as image:
        assert image.getpixel((0, 0)) == (160, 10, 10)


def test_large_images_of_any_kind_are_made_smaller(tmp_path: Path, data: Path) -> None:
    bent = data / "spring" / "test" / "bent"
    for path in bent.iterdir():
        path.unlink()
    Image.new("I;16", (2048, 1000), 40000).save(bent / "deep.tiff")
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--data", f"mvtec:{data}", "--vision-model", "vlm") == 0
    url = chat.asked[1][2]["messages"][0]["content"][1]["image_url"]["url"]
    with Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        assert (image.size, image.mode, image.getpixel((5, 5))) == ((1024, 500), "RGB", (156, 156, 156))


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZSAD_CACHE", str(tmp_path / "file"))
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear") == 0
    assert Knowledge.read(tmp_path / "k.json").classes == ("gear",)


def test_a_class_that_ships_is_not_asked_for_but_its_images_are(tmp_path: Path, data: Path) -> None:
    (data / "spring").rename(data / "metal_nut")
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--data", f"mvtec:{data}", "--vision-model", "vlm") == 0
    assert [body["model"] for _, _, body in chat.asked] == ["vlm", "vlm"]
    entry = Knowledge.read(tmp_path / "k.json").lookup("metal nut")
    assert entry.llm == Knowledge.shipped().lookup("metal nut").llm
    assert len(entry.vqa) == 2


def test_a_class_that_ships_is_asked_for_again_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "bottle") == 0
        assert "Nothing to ask" in capsys.readouterr().out
        assert run(chat, tmp_path / "k.json", "--classes", "bottle", "--again") == 0
    assert len(chat.asked) == 1
    assert Knowledge.read(tmp_path / "k.json").lookup("bottle").background == "A bottle is fine."


def test_images_are_not_forgotten_in_silence(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--data", f"mvtec:{data}") == 0
    assert "3 anomalous images not described: give --vision-model." in capsys.readouterr().out
    assert len(chat.asked) == 1


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    reached, release = Event(), Event()

    def stalls(number: int, prompt: str) -> Reply:
        if number == 2:
            reached.set()
            release.wait(60)
        return good(number, prompt)

    out, classes = tmp_path / "k.json", ("gear", "rack", "shaft", "axle")
    with serving(stalls) as chat:
        options = ["--base-url", chat.url, "--model", "llm", "--out", str(out), "--classes", *classes]
        command = [sys.executable, "-m", "zsad.cli.main", "knowledge", "build", *options]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            assert reached.wait(60)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        release.set()
        assert Knowledge.read(out).classes == ("gear", "rack")
        assert run(chat, out, "--classes", *classes) == 0
        assert Knowledge.read(out).classes == classes
        assert run(chat, out, "--classes", *classes) == 0
    assert [re.search("image of (.*) looks", text.split("?")[0])[1] for text in chat.texts] == [  # type: ignore[index]
        *("gear", "rack", "shaft"),
        *("shaft", "axle"),
    ]


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(good) as chat:
        monkeypatch.setattr("zsad.cli.knowledge._to_png", interrupt)
        image = tmp_path / "data" / "gear" / "test" / "worn" / "0.png"
        image.parent.mkdir(parents=True)
        image.write_bytes(b"of no interest")
        options = ["--data", f"mvtec:{tmp_path / 'data'}", "--vision-model", "vlm"]
        assert run(chat, tmp_path / "k.json", *options) == 130
    assert Knowledge.read(tmp_path / "k.json").classes == ("gear",)


def interrupt(_: Path) -> bytes:
    raise KeyboardInterrupt


def test_answers_are_kept_by_model_prompt_and_image(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", f"mvtec:{data}", "--vision-model", "vlm"]
    with serving(good) as chat:
        assert run(chat, tmp_path / "a.json", *options) == 0
        capsys.readouterr()
        for number, image in enumerate(sorted((data / "spring" / "test" / "bent").iterdir())):
            image.rename(image.with_stem(f"renamed {number}"))
        assert run(chat, tmp_path / "b.json", *options) == 0
        assert "3 answers taken, 3 from earlier runs" in capsys.readouterr().out
        assert len(chat.asked) == 3
        assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
        assert run(chat, tmp_path / "c.json", *options, "--model", "other llm") == 0
        assert len(chat.asked) == 4


def test_a_damaged_answer_of_an_earlier_run_is_asked_for_again(tmp_path: Path) -> None:
    with serving(good) as chat:
        for _ in range(2):
            assert run(chat, tmp_path / "k.json", "--classes", "gear") == 0
            (tmp_path / "k.json").unlink()
            for answer in cache_dir().glob("answers/*.json"):
                answer.write_text("{")
    assert len(chat.asked) == 2


TOO_LONG = "An abnormal image of a gear may show " + "a crooked tooth and " * 30 + "rust."


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("Here are five sentences.", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"descriptions": [', "no JSON object"),
        ("I'm sorry, but I cannot help with that.", "the model would not answer"),
        (about("gear", 4), "4 descriptions instead of 5"),
        (about("gear", background=""), "a sentence is empty"),
        (about("gear", background=None), "it lacks a sentence"),
        (about("gear", descriptions="one string"), "it lacks a sentence"),
        (about("gear", descriptions=["A.", "a.", "B.", "C.", "D."]), "two of its sentences are the same"),
        (about("gear", background="Odd \ud800 sign."), "surrogate"),
        (about("gear", background=TOO_LONG), "a sentence has 1"),
        (about("gear", descriptions=["I cannot say.", "A.", "B.", "C.", "D."]), "the model would not answer"),
        (about("gear", descriptions=["There are no visible defects.", *"ABCD"]), "it describes no anomaly"),
    ],
)
def test_a_bad_answer_is_refused_and_asked_for_again(
    bad: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda number, _: (bad, about("gear"))[number]) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear") == 0
    assert chat.texts[1].startswith(f"{chat.texts[0]} An earlier answer was refused: ")
    assert reason in chat.texts[1]
    with serving(lambda number, prompt: bad if "gear" in prompt else good(number, prompt)) as chat:
        options = ["--retries", "1", "--model", "another", "--classes", "gear", "rack"]
        assert run(chat, tmp_path / "other.json", *options) == 1
    captured = capsys.readouterr()
    assert re.search(f"refused: class gear: .*{reason}", captured.err)
    assert "1 refused: see the lines above (exit status 1)" in captured.out
    assert len(chat.asked) == 3
    assert Knowledge.read(tmp_path / "other.json").classes == ("rack",)


@pytest.mark.parametrize("wrapped", ["```json\n{}\n```", "Sure!\n{}", "<think>{{maybe}}</think>{}"])
def test_what_stands_around_the_answer_does_not_matter(wrapped: str, tmp_path: Path) -> None:
    with serving(lambda *_: wrapped.format(about("gear"))) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear") == 0
    assert len(chat.asked) == 1


def test_images_of_a_class_without_descriptions_and_broken_ones_are_named(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", f"mvtec:{data}", "--vision-model", "vlm", "--retries", "0"]
    with serving(lambda *_: "no") as chat:
        assert run(chat, tmp_path / "k.json", *options) == 1
    assert "0.png (spring): its class has no descriptions" in capsys.readouterr().err
    assert len(chat.asked) == 1
    (data / "spring" / "test" / "bent" / "0.png").write_text("no image")
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", *options) == 1
    assert re.search(r"refused: image .*0\.png \(spring\)", capsys.readouterr().err)
    assert len(Knowledge.read(tmp_path / "k.json").lookup("spring").vqa) == 2


def test_a_limit_leaves_the_rest_for_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--classes", "gear", "rack", "axle", "--limit", "2"]
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", *options) == 0
        assert "2 answers taken, 0 from earlier runs; 1 question left" in capsys.readouterr().out
        assert len(chat.asked) == 2
        assert run(chat, tmp_path / "k.json", *options) == 0
    assert len(chat.asked) == 3
    assert Knowledge.read(tmp_path / "k.json").classes == ("gear", "rack", "axle")


def test_a_dry_run_asks_nothing(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", f"mvtec:{data}", "--vision-model", "vlm", "--dry-run"]
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", *options) == 0
        text = capsys.readouterr().out
        assert "class spring: Describe what an abnormal image of spring looks like?" in text
        assert re.search(r"image .*0\.png \(spring\): Identify anomalies", text)
        assert "3 requests to http://127" in text
        assert chat.asked == []
        assert not (tmp_path / "k.json").exists()
        assert run(chat, tmp_path / "k.json", *options[:2]) == 0
        assert run(chat, tmp_path / "other.json", *options) == 0
        assert "2 requests" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "something to ask about"),
        (["--classes", "gear", "--limit", "0"], "a limit is at least 1 question"),
        (["--classes", "gear", "--retries", "-1"], "retries are at least 0"),
        (["--classes", "gear", "--timeout", "0"], "a timeout is greater than 0 s"),
        (["--classes", "gear", "--base-url", "file:///etc"], "a base URL begins with http"),
        (["--classes", "gear", "--api-key-variable", "BAD_KEY"], "an API key is printable ASCII"),
        (["--classes", " "], "a class has a name"),
        (["--data", "mvtc:."], "did you mean 'mvtec'"),
    ],
)
def test_a_wrong_option_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BAD_KEY", "se\ncret")
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "cret" not in error
    assert chat.asked == []


def test_data_without_a_layout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), serving(good) as chat:
        run(chat, tmp_path / "k.json", "--data", "data")
    assert "'data' is no LAYOUT:PATH" in capsys.readouterr().err


def test_a_knowledge_file_that_is_broken_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text("{")
    with serving(good) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear") == 2
    assert (tmp_path / "k.json").read_text() == "{"
