"""Methods and layouts from elsewhere: registered by a program, or offered by an installed package."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from tests.trainer.toys import PAPER, ToyReader
from zsad import checkpoint, methods
from zsad.cli.main import main
from zsad.data import DataSet, Layout, Sample, layouts, samples_of
from zsad.errors import ConfigError, InputError
from zsad.methods import Method
from zsad.methods.clip import ClipDetector


class NearestColour(ClipDetector):
    """CLIP under a name of its own."""


class Snapshots(Layout):
    """``<root>/*.png``, all normal."""

    title, about = "Snapshots", "Normal images in one folder."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        return [Sample(image, 0, "snapshot", "good", None, "test") for image in sorted(root.glob("*.png"))]


@pytest.fixture(autouse=True)
def _registries_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (methods._REGISTRY, layouts._REGISTRY):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages; what is imported from it is forgotten afterwards."""
    folder, before = tmp_path / "site", set(sys.modules)
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]


def install(site: Path, package: str, code: str, **groups: str) -> None:
    """As pip leaves it: a module and its entry points."""
    module = package.replace("-", "_")
    (site / f"{module}.py").write_text(code, encoding="utf-8")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"[zsad.{group}]\n{offer}\n" for group, offer in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    sys.path[:] = [*sys.path]
    from zsad import registry

    registry._offers.cache_clear()


METHOD = """
from zsad.methods.clip import ClipDetector
class Outside(ClipDetector):
    'CLIP from another package.'
class Another(ClipDetector):
    'And one more.'
"""


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3)).astype(np.uint8)).save(path)
    return path


def test_a_registered_method_is_known_by_its_name_and_its_class() -> None:
    assert zsad.register(NearestColour) is NearestColour
    assert "nearest-colour" in methods.names()
    assert methods.get("nearest-colour") is NearestColour
    assert methods.name_of(NearestColour) == "nearest-colour"
    assert methods.name_of(ClipDetector) == "clip"
    assert (methods.origin("clip"), "nearest-colour" in methods.built_in()) == (None, False)
    assert methods.origin("nearest-colour") == methods.Origin("", "tests.test_registry:NearestColour")
    zsad.register(NearestColour, "mine")
    assert {"mine", "nearest-colour"} <= set(methods.available())


def test_a_class_takes_the_place_of_one_of_the_same_module_and_name() -> None:
    zsad.register(NearestColour)
    again = type("NearestColour", (ClipDetector,), {"__module__": __name__, "__doc__": "Edited."})
    zsad.register(again)
    assert methods.get("nearest-colour") is again


@pytest.mark.parametrize(
    ("cls", "name", "message"),
    [
        (NearestColour, "clip", "'clip', which is that of zsad"),
        (NearestColour, "Nearest Colour", "lower-case letters, digits and hyphens; got 'Nearest Colour'"),
        (NearestColour, "../clip", "lower-case letters"),
        (type("Bare", (Method,), {"paper": PAPER}), "bare", "defines its abstract methods; got Bare without forward"),
        (type("Nameless", (ClipDetector,), {"paper": None}), "nameless", "names its paper; got Nameless"),
        (
            type("Odd", (ClipDetector,), {"config_type": dict}),
            "odd",
            "derived from zsad.methods.Config; got <class 'dict'>",
        ),
        (
            type("Idle", (ToyReader,), {"training_defaults": None}),
            "idle",
            "says how; got Idle without training_defaults",
        ),
        (type("Mute", (Snapshots,), {"about": None}), "mute", "a title and one line about its source; got Mute"),
        (int, None, "is the class of a method or of a data set layout; got <class 'int'>"),
    ],
)
def test_what_cannot_be_registered(cls: type, name: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        zsad.register(cls, name)
    assert name is None or name in ("clip",) or name not in {*methods.names(), *layouts.names()}


def test_another_class_of_a_registered_name_is_refused() -> None:
    zsad.register(NearestColour, "mine")
    other = type("Other", (ClipDetector,), {})
    with pytest.raises(ConfigError, match=r"'mine', which is that of tests\.test_registry:NearestColour"):
        zsad.register(other, "mine")


def test_a_class_is_loaded_saved_and_loaded_by_its_folder(tmp_path: Path) -> None:
    detector = zsad.load(NearestColour)
    ours = zsad.load(ClipDetector)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert (detector.name, ours.name) == ("nearest-colour", "clip")
    assert detector.predict(pixels).score == ours.predict(pixels).score
    detector.save(tmp_path / "out")
    ours.save(tmp_path / "ours")
    card = json.loads((tmp_path / "out" / checkpoint.CARD).read_text())
    assert (card["package"], card["class_path"]) == ("", "tests.test_registry:NearestColour")
    assert not {"package", "class_path"} & json.loads((tmp_path / "ours" / checkpoint.CARD).read_text()).keys()
    assert type(zsad.load(tmp_path / "out").method) is NearestColour


def test_a_card_leads_to_no_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    zsad.load("clip").save("out")
    card = json.loads(Path("out", checkpoint.CARD).read_text())
    for name in ("clip", "unheard-of", "hostile"):
        for package in (None, "", "hostile", "zsad", "evil\x1b[2J"):
            changed = card | {"method": name, "package": package, "class_path": "hostile:Method"}
            Path("out", checkpoint.CARD).write_text(json.dumps(changed))
            with pytest.raises(ConfigError, match=r"hostile:Method") as refused:
                zsad.load("./out")
            assert "\x1b" not in str(refused.value)
    assert not Path("ran").exists()
    assert "hostile" not in sys.modules


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    zsad.load(NearestColour).save(tmp_path / "out")
    path = tmp_path / "out" / checkpoint.CARD
    card = json.loads(path.read_text())
    methods._REGISTRY._registered.clear()
    with pytest.raises(ConfigError, match=r"'nearest-colour' of tests.test_registry:NearestColour.*zsad.register"):
        zsad.load(tmp_path / "out")
    path.write_text(json.dumps(card | {"package": "zsad-colours", "class_path": "zsad_colours:NearestColour"}))
    with pytest.raises(ConfigError, match=r"zsad-colours.*install the package zsad-colours, if you trust it"):
        zsad.load(tmp_path / "out")
    zsad.register(NearestColour)
    with pytest.raises(ConfigError, match="is that of the package zsad-colours"):
        zsad.load(tmp_path / "out")


def test_entry_points_of_the_backport_are_as_good(site: Path) -> None:
    pytest.importorskip("importlib_metadata")  # once it is imported, it answers for the standard library
    install(site, "zsad-more", METHOD, methods="outside = zsad_more:Outside")
    assert methods.get("outside").__name__ == "Outside"
    assert methods.origin("outside").package == "zsad-more"


def test_an_installed_package_offers_a_method_and_a_layout(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = METHOD + "from tests.test_registry import Snapshots\nclass Theirs(Snapshots): pass\n"
    install(site, "zsad-more", layout, methods="outside = zsad_more:Outside", datasets="theirs = zsad_more:Theirs")
    assert "outside" in methods.names()
    assert "zsad_more" not in sys.modules
    assert main(["methods"]) == 0
    said = capsys.readouterr()
    assert "CLIP from another package." in said.out
    assert "of the package zsad-more" in said.out
    assert said.err == ""
    assert main(["datasets", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out) if row["name"] == "theirs")
    assert row["package"] == "zsad-more"
    assert methods.name_of(methods.get("outside")) == "outside"
    detector = zsad.load("outside")
    detector.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / checkpoint.CARD).read_text())["package"] == "zsad-more"
    assert zsad.load(tmp_path / "out").card == checkpoint.read(tmp_path / "out")
    picture = image(tmp_path / "data" / "one.png")
    assert [sample.image for sample in samples_of(f"theirs:{picture.parent}")] == [picture]


@pytest.mark.parametrize(
    ("code", "offer", "reason"),
    [
        ("import a_package_that_is_nowhere", "broken:Outside", "ModuleNotFoundError"),
        ("1 +", "broken:Outside", "SyntaxError"),
        ("raise SystemExit(3)", "broken:Outside", "SystemExit: 3"),
        (METHOD, "broken:Missing", "AttributeError"),
        ("Outside = 3", "broken:Outside", "derives from Method; got broken:Outside, 3"),
    ],
)
def test_a_package_that_cannot_be_imported_is_a_note(
    site: Path, capsys: pytest.CaptureFixture[str], code: str, offer: str, reason: str
) -> None:
    install(site, "broken", code, methods=f"outside = {offer}")
    assert main(["methods"]) == 0
    said = capsys.readouterr()
    assert "winclip" in said.out
    assert "'outside' of the package broken cannot be used" in said.err
    assert reason in said.err
    assert zsad.load("clip").name == "clip"
    with pytest.raises(ConfigError, match=reason):
        zsad.load("outside")


def test_a_name_of_two_packages_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "first", METHOD, methods="outside = first:Outside\nclip = first:Another")
    install(site, "second", METHOD, methods="outside = second:Outside")
    for name, packages in (("outside", "first and second"), ("clip", "zsad and first")):
        with pytest.raises(ConfigError, match=f"belongs to one package; got '{name}' of {packages}"):
            zsad.load(name)
    assert main(["methods"]) == 0
    assert "'clip' of the package first cannot be used" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="which is that of the package"):
        zsad.register(NearestColour, "outside")


def test_an_entry_point_of_another_form_of_name_is_a_note(site: Path) -> None:
    install(site, "odd", METHOD, methods="../outside = odd:Outside")
    (offer,) = methods.unavailable()
    assert (offer.name, "lower-case letters" in offer.reason) == ("../outside", True)


def test_a_registered_layout_is_read(tmp_path: Path) -> None:
    zsad.register(Snapshots)
    picture = image(tmp_path / "data" / "one.png")
    assert [sample.image for sample in samples_of([f"snapshots:{picture.parent}"])] == [picture]


def test_a_data_set_of_listed_samples(tmp_path: Path) -> None:
    pictures = [image(tmp_path / "data" / f"{number}.png") for number in range(2)]
    samples = [Sample(path, label, "lid", "bent", None, "test") for label, path in enumerate(pictures)]
    data = DataSet.of("lids", samples, tmp_path / "data")
    assert (data.is_published, data.kind.counts) == (False, {})
    assert samples_of(data) == samples
    with pytest.raises(ConfigError, match=r"class of lids must be one of lid"):
        samples_of(data, classes=["nut"])
    with pytest.raises(InputError, match="has samples"):
        DataSet.of("lids", [])
    with pytest.raises(ConfigError, match="has a name"):
        DataSet.of("", samples)
    with pytest.raises(InputError, match="the image of a sample is a file"):
        DataSet.of("lids", [Sample(tmp_path / "none.png", 0, "lid", "good", None, "test")])
    found = zsad.evaluate(ClipDetector, data, tmp_path / "out", resamples=0, resolution=32)
    assert [result.name for result in found.data_sets] == ["lids"]
    again = zsad.evaluate("clip", [data], tmp_path / "out", resamples=0, resolution=32)
    assert again.data_sets == found.data_sets


def test_names_for_packages_need_no_torch() -> None:
    source = (
        "import sys, zsad, zsad.data; zsad.register; zsad.data.DataSet, zsad.data.Layout, zsad.data.names();"
        "sys.exit('torch' in sys.modules)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", source]) == 0
