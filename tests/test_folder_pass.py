"""Detectors whose method scores a folder as a whole: two passes over the files, and what may go wrong between them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from tests import small
from zsad.checkpoint import Card
from zsad.data import reading
from zsad.data.decoding.ranges import Range
from zsad.errors import InputError
from zsad.folder_pass import FirstPass, digest
from zsad.methods import Config, Evidence, FolderScores, LoadImages, TransductiveMethod
from zsad.methods.clip import ClipDetector
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.types import DecodedImage, Failure, Prediction


class BrightnessRank(TransductiveMethod):
    """Images scored by the share of the folder that is darker, their maps by it and the column."""

    paper = ClipDetector.paper

    def __init__(self) -> None:
        super().__init__(small.frozen(), Config(sigma=0.0))
        self.batches: list[list[int]] = []

    def scores_folder(self, count: int) -> bool:
        return count >= 2

    def explain(self, count: int) -> str:
        return f"{count} alone"

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        score = images.new_full((len(images),), 0.25)
        return Evidence(score[:, None, None, None].expand(-1, 1, 4, 4), score)

    def score_folder(self, load: LoadImages, count: int, class_name: str) -> FolderScores:
        indices, brightness = [], torch.empty(0)
        for numbers, pixels in load(range(count)):
            self.batches.append(numbers)
            indices += numbers
            brightness = torch.cat([brightness, pixels.mean((1, 2, 3)).cpu()])
        if len(indices) == 1:
            raise InputError("a rank is among several images", "one", "name more")
        if not indices:
            return FolderScores.of_none()
        score = (brightness[:, None] > brightness).float().mean(1)
        maps = score[:, None, None, None] * torch.linspace(0, 1, 4).expand(1, 1, 4, 4)
        return FolderScores(Evidence(maps, score), indices, f"{len(indices)} of {class_name}")


def make(batch_size: int = 2) -> Detector:
    return Detector(Card("clip"), BrightnessRank(), RuntimeConfig(batch_size=batch_size))


def write(folder: Path, name: str, level: int, size: tuple[int, int] = (20, 30)) -> Path:
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(folder / name)
    return folder / name


def files(folder: Path) -> list[Path]:
    """Ranks 3, -, 0, 1, 2 of 4; the second cannot be read."""
    paths = [write(folder, f"{number}.png", level) for number, level in enumerate((200, 0, 10, 90, 100))]
    paths[1].write_bytes(b"no image")
    return paths


def scores(answers: Sequence[tuple[DecodedImage, Prediction] | Failure]) -> list[float | None]:
    return [None if isinstance(answer, Failure) else answer[1].score for answer in answers]


def test_a_folder_is_read_as_a_whole_before_its_first_answer(tmp_path: Path) -> None:
    detector, done = make(), list[int]()
    answers = list(detector.stream(files(tmp_path), "metal nut", progress=done.append))
    assert scores(answers) == [0.75, None, 0.0, 0.25, 0.5]
    assert detector.method.batches == [[0], [2, 3], [4]]
    assert done == [2, 4, 5]
    assert detector.explanation == "4 of metal nut"
    failure = answers[1]
    assert isinstance(failure, Failure)
    assert failure.source == str(tmp_path / "1.png")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_answers_do_not_depend_on_the_batch_size(batch_size: int, tmp_path: Path) -> None:
    answers = list(make(batch_size).stream(files(tmp_path)))
    assert scores(answers) == [0.75, None, 0.0, 0.25, 0.5]
    assert [answer.source if isinstance(answer, Failure) else answer[0].source for answer in answers] == [
        str(tmp_path / f"{number}.png") for number in range(5)
    ]


def test_maps_have_the_size_of_each_image_or_the_one_asked_for(tmp_path: Path) -> None:
    paths = [write(tmp_path, "wide.png", 9, (20, 50)), write(tmp_path, "high.png", 200, (64, 32))]
    sizes = [answer[1].anomaly_map.shape for answer in make().stream(paths) if not isinstance(answer, Failure)]
    assert sizes == [(20, 50), (64, 32)]
    _, second = make().stream(paths, size=(8, 8))
    assert not isinstance(second, Failure)
    # 4 cells at half of 0, 1/3, 2/3 and 1 over 32 px, then over 8
    expected = torch.nn.functional.interpolate(
        0.5 * torch.linspace(0, 1, 4).expand(1, 1, 4, 4), 32, mode="bilinear", align_corners=False
    )
    expected = torch.nn.functional.interpolate(expected, 8, mode="bilinear", align_corners=False, antialias=True)
    np.testing.assert_allclose(second[1].anomaly_map, expected[0, 0], atol=1e-6)


def test_a_list_is_scored_as_a_stream_is(tmp_path: Path) -> None:
    paths = [path for path in files(tmp_path) if path.name != "1.png"]
    detector = make()
    listed = detector.predict([np.asarray(Image.open(path)) for path in paths], "metal nut")
    assert [prediction.score for prediction in listed] == [0.75, 0.0, 0.25, 0.5]
    assert detector.explanation == "4 of metal nut"
    for ours, theirs in zip(listed, make().stream(paths, "metal nut"), strict=True):
        assert not isinstance(theirs, Failure)
        np.testing.assert_array_equal(ours.anomaly_map, theirs[1].anomaly_map)


def test_one_image_goes_the_way_of_other_methods(tmp_path: Path) -> None:
    detector, path = make(), write(tmp_path, "one.png", 9)
    assert detector.predict(path).score == 0.25
    assert scores(list(detector.stream([path]))) == [0.25]
    assert detector.explanation == "1 alone"
    assert not detector.method.batches


def test_a_plain_method_has_nothing_to_explain(tmp_path: Path) -> None:
    detector, done = Detector(Card("clip"), ClipDetector(small.frozen())), list[int]()
    detector.explanation = "of an earlier run"
    list(detector.stream([write(tmp_path, "a.png", 9), write(tmp_path, "b.png", 90)], progress=done.append))
    assert (detector.explanation, done) == ("", [])


def test_a_folder_without_a_readable_image_gives_failures_alone(tmp_path: Path) -> None:
    paths = [tmp_path / "missing.png", tmp_path / "none.png"]
    answers = list(make().stream(paths))
    assert [isinstance(answer, Failure) and answer.source for answer in answers] == [str(path) for path in paths]
    assert list(make().stream([])) == []


def test_too_few_readable_images_are_refused_in_words(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a.png", 9), tmp_path / "missing.png"]
    with pytest.raises(InputError, match="a rank is among several images"):
        list(make().stream(paths))


def test_copies_are_images_of_their_own(tmp_path: Path) -> None:
    path, other = write(tmp_path, "a.png", 9), write(tmp_path, "b.png", 90)
    assert scores(list(make().stream([path, other, path, path]))) == [0.0, 0.75, 0.0, 0.0]


CHANGES: dict[str, Callable[[Path], object]] = {
    "another image": lambda path: write(path.parent, path.name, 8),
    "another size": lambda path: write(path.parent, path.name, 10, (30, 20)),
    "damaged": lambda path: path.write_bytes(b"no image"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_changes_between_the_passes_has_no_score(change: Callable[[Path], object], tmp_path: Path) -> None:
    paths = files(tmp_path)
    changed = False

    def at_the_end(done: int) -> None:
        nonlocal changed
        if done == len(paths) and not changed:
            changed = True
            change(paths[2])

    answers = list(make().stream(paths, progress=at_the_end))
    assert scores(answers) == [0.75, None, None, 0.25, 0.5]
    failure = answers[2]
    assert isinstance(failure, Failure)
    assert failure.source == str(paths[2])
    assert str(paths[2]) in failure.message


def test_a_file_that_was_unreadable_and_is_repaired_in_between_has_no_score(tmp_path: Path) -> None:
    paths = files(tmp_path)
    answers = list(make().stream(paths, progress=lambda done: done == 5 and write(tmp_path, "1.png", 9) and None))
    failure = answers[1]
    assert scores(answers) == [0.75, None, 0.0, 0.25, 0.5]
    assert isinstance(failure, Failure)
    assert "changed in between" in failure.message


def decoded(*levels: int) -> list[DecodedImage]:
    return [DecodedImage(np.full((4, 5, 3), level, np.uint8), str(level)) for level in levels]


def pixels(batch: Sequence[DecodedImage]) -> Tensor:
    return torch.tensor([float(image.pixels[0, 0, 0]) for image in batch])


def test_loading_twice_gives_the_same_and_leaves_out_what_changed() -> None:
    images = decoded(3, 4, 5)
    tried = list[int]()
    first_pass = FirstPass(images.__getitem__, pixels, 2, tried.append)
    assert [(numbers, batch.tolist()) for numbers, batch in first_pass.load([2, 0, 1])] == [
        ([2, 0], [5, 3]),
        ([1], [4]),
    ]
    images[0] = decoded(9)[0]
    assert [numbers for numbers, _ in first_pass.load([0, 1])] == [[1]]
    assert [numbers for numbers, _ in first_pass.load([0])] == []
    assert tried == [2, 3, 3, 3]
    assert first_pass.is_unchanged(1, images[1])
    assert not first_pass.is_unchanged(0, images[0])


def test_loading_reads_little_ahead() -> None:
    read = list[int]()

    def image(index: int) -> DecodedImage:
        read.append(index)
        return decoded(index % 200)[0]

    loaded = FirstPass(image, pixels, 2).load(range(100))
    next(loaded)
    loaded.close()
    assert len(read) <= 6


def test_a_digest_tells_sizes_and_depths_apart() -> None:
    eight = np.zeros((2, 6, 3), np.uint8)
    arrays = [eight, eight.reshape(6, 2, 3), eight.reshape(3, 4, 3), np.zeros((1, 6, 3), np.uint16)]
    assert len({digest(DecodedImage(array, "x")) for array in arrays}) == 4
    assert digest(DecodedImage(eight, "x")) == digest(DecodedImage(np.zeros_like(eight), "y"))


def test_memory_does_not_hold_images_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of decoded images no more live at a time than a few batches."""
    import gc
    import weakref

    paths = [write(tmp_path, f"{number}.png", number) for number in range(24)]
    alive, most = list[weakref.ref[DecodedImage]](), 0
    decode = reading.decode

    def watched(path: Path, value_range: Range | None) -> DecodedImage:
        nonlocal most
        image = decode(path, value_range=value_range)
        alive.append(weakref.ref(image))
        most = max(most, sum(one() is not None for one in alive))
        return image

    monkeypatch.setattr(reading, "decode", watched)
    for answer in make().stream(paths):
        del answer
        gc.collect()
    assert most <= 10
