"""Drawn data sets: the tree that is read back, the same files from the same values, nothing written over."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsad.cli.main import main
from zsad.data.checking.check import check
from zsad.data.specification import data_set
from zsad.data.synthetic import KINDS, scenes, surface
from zsad.data.synthetic.dataset import COMBINED, GOOD, RECORD, write
from zsad.data.synthetic.defects import FEWEST, VISIBLE
from zsad.data.synthetic.drawing import LONGEST, Drawing, draw
from zsad.errors import ConfigError, InputError

SMALL = Drawing(images=20, side=48, seed=5)
PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.abs(after.astype(int) - before).max(2)


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[str, ...]:
    """Three surfaces that are wider than high."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.fromarray(surface(np.random.default_rng(number), (60, 80))[0]).save(path)
    return tuple(map(str, paths))


def test_what_is_written_is_read_back_with_a_mask_for_every_defect(tmp_path: Path) -> None:
    drawn = write(SMALL, tmp_path / "drawn")
    samples = data_set(f"mvtec:{tmp_path / 'drawn'}").samples
    assert len(samples) == 20 == sum(drawn.kinds.values()) == sum(drawn.classes.values())
    assert set(drawn.classes) == {"surface", "part"}
    assert set(drawn.kinds) <= {GOOD, COMBINED, *(kind.replace(" ", "_") for kind in KINDS)}
    for sample in samples:
        example = draw(SMALL, int(sample.image.stem))
        np.testing.assert_array_equal(np.asarray(Image.open(sample.image)), example.scene.image)
        assert sample.class_name == example.class_name
        kinds = set(example.scene.kinds)
        assert sample.kind == (COMBINED if len(kinds) > 1 else "".join(kinds).replace(" ", "_") or GOOD)
        if sample.mask is None:
            assert (sample.kind, example.scene.mask.any()) == (GOOD, False)
        else:
            expected = np.where(example.scene.mask, np.uint8(255), np.uint8(0))
            np.testing.assert_array_equal(np.asarray(Image.open(sample.mask)), expected)
            assert expected.any()
    assert drawn.kinds[GOOD] == sum(sample.mask is None for sample in samples)


def test_the_check_of_data_sets_finds_nothing_wrong(tmp_path: Path, photographs: tuple[str, ...]) -> None:
    write(SMALL, tmp_path / "drawn")
    write(replace(SMALL, photographs=photographs, share=1.0, class_name="nut"), tmp_path / "own")
    for name in ("drawn", "own"):
        (finding,) = check([f"mvtec:{tmp_path / name}"], workers=1).findings
        assert finding.message == "no images: 1 other file (1 .json)"


def test_masks_are_where_the_image_changed_and_what_they_mark_can_be_seen() -> None:
    drawing, varied, shares = replace(SMALL, damaged=1.0), 0, []
    for number in range(60):
        example = draw(drawing, number)
        mask = example.scene.mask
        np.testing.assert_array_equal(example.harmed[~mask], example.good[~mask])
        changed = change(example.good, example.harmed) >= VISIBLE
        assert np.count_nonzero(changed) >= FEWEST
        assert 1 <= len(example.scene.kinds) <= scenes.MOST_DEFECTS
        shares.append(changed[mask].mean())
        varied += not np.array_equal(example.harmed, example.scene.image)
    assert np.median(shares) > 0.5
    assert 10 < varied < 40


def test_changes_that_would_hide_the_defects_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsad.data.synthetic.drawing.vary", lambda rng, image: np.zeros_like(image))
    example = draw(replace(SMALL, damaged=1.0), 0)
    np.testing.assert_array_equal(example.scene.image, example.harmed)
    assert not draw(replace(SMALL, damaged=0.0), 0).scene.image.any()


def test_the_same_values_give_the_same_files_whoever_draws(tmp_path: Path, photographs: tuple[str, ...]) -> None:
    drawing = replace(SMALL, photographs=photographs, share=0.5)
    for name, one, workers in (("a", drawing, 1), ("b", drawing, 2), ("c", replace(drawing, seed=6), 1)):
        write(one, tmp_path / name, workers)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


def test_an_image_depends_on_its_number_and_not_on_how_many_there_are(tmp_path: Path) -> None:
    write(SMALL, tmp_path / "many")
    write(replace(SMALL, images=4), tmp_path / "few")
    many, few = content(tmp_path / "many"), content(tmp_path / "few")
    assert {name: many[name] for name in few if name != RECORD} == {n: c for n, c in few.items() if n != RECORD}


def test_the_record_tells_what_was_drawn(tmp_path: Path, photographs: tuple[str, ...]) -> None:
    drawn = write(replace(SMALL, photographs=photographs, share=0.5), tmp_path / "drawn")
    record = json.loads((tmp_path / "drawn" / RECORD).read_text())
    assert (record["seed"], record["images"], record["side"], record["share"]) == (5, 20, 48, 0.5)
    assert record["counts"] == drawn.counts
    assert record["photographs"] == ["0.png", "1.png", "2.png"]
    assert str(tmp_path) not in json.dumps(record)


def test_photographs_are_taken_whole_and_in_turn(photographs: tuple[str, ...]) -> None:
    drawing = replace(SMALL, photographs=photographs, share=1.0, damaged=0.0, class_name="nut")
    examples = [draw(drawing, number) for number in range(9)]
    assert {example.class_name for example in examples} == {"nut"}
    assert {example.good.shape for example in examples} == {(48, 64, 3)}
    whole = [np.asarray(Image.open(path).resize((64, 48), Image.Resampling.BICUBIC)) for path in photographs]
    for example in examples:
        assert any(np.array_equal(example.good, one) for one in whole)
    assert len({example.good.tobytes() for example in examples[:3]}) == 3
    assert len({example.scene.image.tobytes() for example in examples}) == 9


def test_squares_are_cut_from_photographs(photographs: tuple[str, ...]) -> None:
    drawing = replace(SMALL, photographs=photographs, share=1.0, crop=0.5)
    images = [draw(drawing, number).good for number in range(9)]
    assert {image.shape for image in images} == {(48, 48, 3)}
    assert len({image.tobytes() for image in images}) == 9


def test_deep_photographs_keep_their_tones(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)).save(tmp_path / "deep.png")
    drawing = Drawing(side=64, damaged=0.0, photographs=(str(tmp_path / "deep.png"),), share=1.0)
    expected = np.rint(np.linspace(0, 255, 64 * 64)).reshape(64, 64, 1)
    assert np.abs(draw(drawing, 0).good - expected).max() <= 1


def test_photographs_that_cannot_be_drawn_on_are_told_and_others_stand_in(
    photographs: tuple[str, ...], tmp_path: Path
) -> None:
    broken, long = str(tmp_path / "broken.png"), str(tmp_path / "long.png")
    Path(broken).write_bytes(b"no image")
    Image.new("RGB", (10 * LONGEST + 1, 10)).save(long)
    drawing = replace(SMALL, photographs=(broken, *photographs, long), share=1.0)
    drawn = write(drawing, tmp_path / "drawn")
    assert list(drawn.unusable) == [broken, long]
    assert f"at most {LONGEST} times as long" in drawn.unusable[long]
    assert sum(drawn.kinds.values()) == 20
    (finding,) = check([f"mvtec:{tmp_path / 'drawn'}"], workers=1).findings
    assert finding.message == "no images: 1 other file (1 .json)"
    assert draw(replace(drawing, photographs=(long,), crop=1.0), 0).good.shape == (48, 48, 3)
    with pytest.raises(InputError, match="a photograph can be drawn on"):
        write(replace(drawing, photographs=(broken, long)), tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"images": 0}, "at least one image; got 0"),
        ({"side": 16}, "at least 32 px; got 16"),
        ({"seed": -1}, "seed is not negative; got -1"),
        ({"damaged": 1.5}, r"damaged images lies in \[0, 1\]; got 1.5"),
        ({"photographs": ("a.png",), "share": -0.5}, r"photographs lies in \[0, 1\]; got -0.5"),
        ({"photographs": ("a.png",), "crop": 0.0}, r"in \(0, 1\]; got 0.0"),
        ({"share": 0.5}, "need photographs; got none"),
        ({"crop": 0.5}, "need photographs; got none"),
        ({"class_name": "nut"}, "need photographs; got none"),
        *(({"photographs": ("a.png",), "class_name": name}, "a class is called") for name in ("a/b", "..", "", "test")),
    ],
)
def test_values_that_cannot_be_drawn_are_refused(changed: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        replace(SMALL, **changed)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConfigError, match="new folder"):
            write(SMALL, folder)
    with pytest.raises(ConfigError, match="at least one process"):
        write(SMALL, tmp_path / "drawn", workers=0)
    with pytest.raises(InputError, match="must be writable"):
        write(SMALL, tmp_path / "file" / "below")
    assert content(tmp_path) == {"file": b"mine"}


def test_what_a_kill_left_is_finished(tmp_path: Path) -> None:
    write(SMALL, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    classes = sorted(path.name for path in (tmp_path / "whole").iterdir() if path.is_dir())
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / classes[0])  # killed while classes were moved into their place
    (tmp_path / "half" / f".{'0' * 32}.tmp" / classes[0]).mkdir(parents=True)
    (tmp_path / "half" / "notes.txt").write_text("mine")
    drawn = write(SMALL, tmp_path / "half")
    assert content(tmp_path / "half") == whole | {"notes.txt": b"mine"}
    assert drawn == write(SMALL, tmp_path / "half")


def test_other_photographs_of_the_same_names_are_another_drawing(photographs: tuple[str, ...], tmp_path: Path) -> None:
    drawing = replace(SMALL, photographs=photographs, share=1.0)
    write(drawing, tmp_path / "drawn")
    assert write(drawing, tmp_path / "drawn").unusable == {}
    Image.new("RGB", (64, 64), "teal").save(photographs[0])
    with pytest.raises(ConfigError, match="a data set is drawn into a new folder"):
        write(drawing, tmp_path / "drawn")


@pytest.mark.parametrize(("name", "workers"), [("new", 1), ("empty", 1), ("new", 2)])
def test_a_data_set_that_is_not_finished_is_not_there(name: str, workers: int, tmp_path: Path) -> None:
    def interrupted(images, total):
        assert total == 20
        next(images)
        raise KeyboardInterrupt

    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write(SMALL, tmp_path / name, workers, interrupted)
    assert [*tmp_path.rglob("*")] == [tmp_path / "empty"]


def test_scenes_are_the_good_image_harmed_and_varied() -> None:
    image = surface(np.random.default_rng(0), (48, 48))[0]
    kinds = []
    for seed in range(20):
        whole = scenes.scene(np.random.default_rng(seed), image, None, 0.5)
        rng = np.random.default_rng(seed)
        one = scenes.harm(rng, image, None) if rng.random() < 0.5 else scenes.unharmed(image)
        np.testing.assert_array_equal(whole.image, scenes.vary(rng, one.image))
        np.testing.assert_array_equal(whole.mask, one.mask)
        kinds.append(whole.kinds)
    assert 3 < kinds.count(()) < 17


def draw_by_command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["data", "draw", "--images", "12", "--size", "48", "--workers", "1", *words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_says_what_it_drew_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = draw_by_command(capsys, "--out", "runs/my set")
    assert status == 0
    assert out.startswith("runs/my set: 12 images, ")
    assert "\nnext: zsad train fe-clip --data 'mvtec:runs/my set' --out RUN\n" in out
    record = json.loads((tmp_path / "runs/my set" / RECORD).read_text())
    good = sum(kinds.get(GOOD, 0) for kinds in record["counts"].values())
    assert f"  {GOOD:<8}  {good:>7}\n" in out
    assert max(map(len, out.splitlines())) <= 80
    before = content(tmp_path)
    assert draw_by_command(capsys, "--out", "runs/my set") == (0, out, "")
    assert content(tmp_path) == before
    status, out, err = draw_by_command(capsys, "--out", "runs/my set", "--seed", "1")
    assert (status, out) == (2, "")
    assert "a data set is drawn into a new folder" in err


def test_the_command_draws_on_photographs_and_names_those_it_cannot(
    tmp_path: Path,
    photographs: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = draw_by_command(capsys, "--out", "own", "--on", "photographs", "--class-name", "metal nut")
    assert status == 0
    assert out.startswith("own: 12 images, 12 of class metal_nut\n")
    assert [one.name for one in (tmp_path / "own").iterdir() if one.is_dir()] == ["metal_nut"]
    (tmp_path / "photographs" / "broken.png").write_bytes(b"no image")
    (tmp_path / "photographs" / "raw.nef").write_bytes(b"II*\0")
    status, out, err = draw_by_command(capsys, "--out", "again", "--on", "photographs", "--share", "0.9")
    assert status == 1
    assert "2 photographs could not be drawn on: see the lines above" in out
    assert err.count("zsad: skipped: ") == 2
    assert "broken.png" in err
    assert "raw.nef" in err
    assert max(map(len, out.splitlines())) <= 80


def test_the_page_has_the_options_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "draw", "--help"])
    known = capsys.readouterr().out
    section = PAGE.read_text(encoding="utf-8").partition("## Synthetic defects")[2].partition("\n## ")[0]
    said = set(re.findall(r"--[a-z-]+", section)) - {"--data", "--train"}  # of other verbs
    assert {"--on", "--share", "--crop", "--class-name", "--damaged", "--workers"} < said
    assert [option for option in said if option not in known] == []
