"""Two processes that write one folder: the second is told, whatever the command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.faults.commands import FAST, prepare

from tests.holding import held_by_another
from zsad.cli.main import main
from zsad.locks import alone, alone_with

NUT = "data/nuts/nut/test/good"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a recipe and an evaluation."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "data").mkdir()
    prepare(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--data", "mvtec:data/nuts", "--resolution", "32", "--no-intervals", "--out", "evaluated"]
        assert main(["evaluate", "clip", *FAST, *words]) == 0
    return folder


@pytest.fixture
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(home)
    yield
    assert not (home / "out").exists()


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize(
    "words",
    [
        ["predict", NUT, *FAST],
        ["fit-normal", "fe-clip", *FAST, "--normal", NUT],
        ["data", "draw", "--images", "2", "--size", "48", "--workers", "1"],
        ["train", "fe-clip", "--data", "mvtec:data/nuts", *FAST],
        ["evaluate", "clip", *FAST, "--data", "mvtec:data/nuts"],
        ["benchmark", "data/faults.toml", "--data-root", "data"],
        ["benchmark", "data/faults.toml", "--data-root", "data", "--shard", "1/2"],
        ["pretrain", "--recipe", str(Path(__file__).parents[2] / "recipes" / "tiny" / "tiny.toml")],
    ],
)
def test_a_folder_that_another_process_writes_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with held_by_another(alone(Path("out"))):
        assert main([*words, "--out", "out"]) == 2
        assert [path.name for path in Path("out").iterdir()] == [".zsad.lock"]
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "zsad: one process at a time writes into a folder; got out/.zsad.lock, which is held by process "
    )
    assert said.endswith("Remedy: wait for it to end, stop it, or choose another --out.")


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["gallery", "clip", "--data", "mvtec:data/nuts", "--random", "1"], "figure.png"),
        (
            ["knowledge", "build", "--classes", "gasket", "--model", "m", "--base-url", "http://127.0.0.1:9"],
            "known.json",
        ),
        (["compare", "evaluated", "evaluated", "--resamples", "100"], "compared.json"),
    ],
)
def test_a_file_that_another_process_writes_is_refused(
    words: list[str], out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with held_by_another(alone_with(Path(out))):
        assert main([*words, "--out", out]) == 2
    assert "one process at a time writes into a folder; got ." in capsys.readouterr().err
    assert not Path(out).exists()


@pytest.mark.usefixtures("_at_home")
def test_shards_share_a_folder_and_the_same_shard_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    from zsad.benchmark.running import alone_in

    out = Path("out")
    with held_by_another(alone_in(out, (1, 2))):
        with alone_in(out, (2, 2)), alone_in(out, collects=True):
            pass
        for words in (["--shard", "1/2"], []):
            assert main(["benchmark", "data/faults.toml", "--data-root", "data", "--out", "out", *words]) == 2
            assert "one process at a time" in capsys.readouterr().err
