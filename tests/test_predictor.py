"""Loading detectors and running them on every kind of image; and that importing the package is quick."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import zsad
from tests import small
from zsad.checkpoint import CARD, Card
from zsad.data.preprocess import to_batch
from zsad.errors import ConfigError, InputError, WeightsError
from zsad.loading import load
from zsad.methods._base import Config, Method
from zsad.methods.clip import ClipDetector, ClipDetectorConfig
from zsad.methods.winclip import WinClip
from zsad.parts.maps import resize
from zsad.passes import MAX_PASSES
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.scoring import anomaly_maps
from zsad.types import DecodedImage, Failure, Prediction

ROWS, COLS = 45, 70


def make(
    runtime: RuntimeConfig | None = None,
    kind: type[Method] = ClipDetector,
    config: Config | None = None,
    **card: float,
) -> Detector:
    return Detector(Card("clip", **card), kind(small.frozen(), config or kind.config_type()), runtime)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make()


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    small.register(monkeypatch)
    save_file(small.snapshot(small.build()), tmp_path / "weights.safetensors")
    return str(tmp_path / "weights.safetensors")


def pixels(seed: int = 0, rows: int = ROWS, cols: int = COLS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((cols, rows), Image.Resampling.BILINEAR))


def png(array: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def assert_same(ours: Prediction, theirs: Prediction, atol: float = 0) -> None:
    np.testing.assert_allclose(ours.score, theirs.score, rtol=0, atol=atol)
    np.testing.assert_allclose(ours.anomaly_map, theirs.anomaly_map, rtol=0, atol=atol)


# --- predict


def test_a_prediction_is_what_the_parts_give(detector: Detector) -> None:
    prediction = detector.predict(pixels(), "metal nut")
    config = detector.method.clip.config
    batch = to_batch([DecodedImage(pixels(), "x")], (32, 32), config.mean, config.std)
    with torch.inference_mode():
        evidence = detector.method(batch.pixels, ["metal nut"])
        expected = resize(anomaly_maps(evidence, (32, 32), Config(sigma=4.0)), (ROWS, COLS))[0]
    np.testing.assert_allclose(prediction.anomaly_map, expected.numpy(), rtol=0, atol=1e-6)
    assert prediction.score == float(evidence.score[0])
    assert (prediction.class_name, prediction.threshold) == ("metal nut", None)
    assert (prediction.is_anomalous, prediction.p_value, prediction.pixel_threshold) == (None, None, None)


def test_the_map_has_the_size_of_the_image_and_lies_in_range(detector: Detector) -> None:
    for rows, cols in ((ROWS, COLS), (32, 32), (7, 300), (1, 1)):
        prediction = detector.predict(pixels(0, rows, cols))
        assert prediction.anomaly_map.shape == prediction.size == (rows, cols)
        assert prediction.anomaly_map.dtype == np.float32
        assert prediction.anomaly_map.min() >= 0
        assert prediction.anomaly_map.max() <= 1
        assert 0 <= prediction.score <= 1


@pytest.mark.parametrize(
    "form",
    [
        lambda array, path: path,
        lambda array, path: str(path),
        lambda array, path: png(array),
        lambda array, path: Image.fromarray(array),
        lambda array, path: np.dstack([array, np.full(array.shape[:2], 255, np.uint8)]),
        lambda array, path: array.astype(np.uint16) * 257,
    ],
    ids=["path", "string", "bytes", "PIL", "RGBA", "16 bits"],
)
def test_every_form_of_an_image_gives_the_same(
    form: Callable[[np.ndarray, Path], object], detector: Detector, tmp_path: Path
) -> None:
    (tmp_path / "image.png").write_bytes(png(pixels()))
    prediction = detector.predict(form(pixels(), tmp_path / "image.png"))
    assert isinstance(prediction, Prediction)
    # Images of 16 bits are resized without rounding to 8.
    assert_same(prediction, detector.predict(pixels()), atol=0.01)


def test_grey_images_are_images(detector: Detector) -> None:
    grey = pixels()[..., 0]
    expected = detector.predict(np.dstack([grey] * 3))
    assert_same(detector.predict(grey), expected)
    assert_same(detector.predict(grey[..., None]), expected)


def test_a_list_gives_a_list_in_order(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png(pixels(1)))
    predictions = detector.predict([pixels(0), tmp_path / "image.png", Image.fromarray(pixels(2))], "nut")
    assert [prediction.source for prediction in predictions] == [
        "image 0",
        str(tmp_path / "image.png"),
        "image 2",
    ]
    for seed, prediction in enumerate(predictions):
        assert_same(prediction, detector.predict(pixels(seed), "nut"), atol=1e-5)
    assert detector.predict([]) == []


def test_the_class_name_matters(detector: Detector) -> None:
    assert detector.predict(pixels(), "metal nut").score != detector.predict(pixels(), "carpet").score


@pytest.mark.parametrize("kind", [ClipDetector, WinClip])
def test_the_batch_size_changes_nothing(kind: type[Method]) -> None:
    images = [pixels(seed, ROWS + seed, COLS - seed) for seed in range(5)]
    one, several, many = (make(RuntimeConfig(batch_size=size), kind).predict(images) for size in (1, 2, 100))
    for alone, paired, together in zip(one, several, many, strict=True):
        assert_same(paired, alone, atol=1e-5)
        assert_same(together, alone, atol=1e-5)


def test_the_threshold_is_the_score_from_which_an_image_is_anomalous() -> None:
    score = make().predict(pixels()).score
    for threshold, expected in ((score, True), (score + 1e-6, False), (0.0, True)):
        prediction = make(threshold=threshold).predict(pixels())
        assert prediction.is_anomalous == expected


def test_smoothing_is_that_of_the_method() -> None:
    rough, fine = (make(config=ClipDetectorConfig(sigma=sigma)).predict(pixels()) for sigma in (0.0, 8.0))
    assert rough.anomaly_map.std() > 1.5 * fine.anomaly_map.std() > 0
    assert rough.score == fine.score


def test_bf16_is_near_fp32(detector: Detector) -> None:
    half = make(RuntimeConfig(precision="bf16")).predict(pixels())
    assert half.anomaly_map.dtype == np.float32
    assert_same(half, detector.predict(pixels()), atol=0.05)


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"not an image", "")])
def test_an_image_that_cannot_be_read_is_named(content: bytes, reason: str, detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"broken\.png.*{reason}"):
        detector.predict([pixels(), tmp_path / "broken.png"])
    with pytest.raises(InputError, match="image 1"):
        detector.predict([pixels(), content])
    with pytest.raises(InputError, match="nowhere"):
        detector.predict("nowhere.png")


# --- stream


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_a_stream_goes_on_after_failures_and_keeps_the_order(batch_size: int, tmp_path: Path) -> None:
    detector = make(RuntimeConfig(batch_size=batch_size))
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    broken = {1, 2, 3, 6}
    for number, path in enumerate(paths):
        path.write_bytes(b"broken" if number in broken else png(pixels(number)))
    paths[6].unlink()
    answers = list(detector.stream(paths, "nut"))
    assert len(answers) == 7
    for number, (path, answer) in enumerate(zip(paths, answers, strict=True)):
        if number in broken:
            assert isinstance(answer, Failure)
            assert answer.source == str(path)
            assert f"{number}.png" in answer.message
        else:
            image, prediction = answer
            np.testing.assert_array_equal(image.pixels, pixels(number))
            assert image.source == prediction.source == str(path)
            assert_same(prediction, detector.predict(path, "nut"), atol=1e-5)


def test_a_stream_gives_maps_of_the_size_that_is_asked_for(tmp_path: Path) -> None:
    detector = make(RuntimeConfig(batch_size=2))
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(png(pixels(number, ROWS + number)))
    config = detector.method.clip.config
    images = [DecodedImage(pixels(number, ROWS + number), "x") for number in range(3)]
    with torch.inference_mode():
        batches = [to_batch(some, (32, 32), config.mean, config.std) for some in (images[:2], images[2:])]
        found = [detector.method(one.pixels, ["nut"] * len(one.pixels)) for one in batches]
        maps = [anomaly_maps(evidence, (32, 32), Config(sigma=4.0)) for evidence in found]
    own = torch.cat(maps)
    for size in ((32, 32), (40, 56), (8, 80)):
        answers = [answer for answer in detector.stream(paths, "nut", size) if isinstance(answer, tuple)]
        found = torch.stack([torch.from_numpy(prediction.anomaly_map) for _, prediction in answers])
        # At the size at which the method runs, this is its map to the bit.
        expected = own if size == (32, 32) else resize(own, size)
        torch.testing.assert_close(found, expected, rtol=0, atol=0 if size == (32, 32) else 1e-6)
        assert [image.size for image, _ in answers] == [(ROWS + number, COLS) for number in range(3)]


def test_a_stream_takes_what_its_reader_takes(detector: Detector) -> None:
    def read(number: int) -> DecodedImage | Failure:
        return DecodedImage(pixels(number), f"{number}") if number else Failure("0", "none")

    failure, (image, prediction) = detector.stream([0, 1], "nut", read=read)
    assert failure == Failure("0", "none")
    assert image.source == prediction.source == "1"
    np.testing.assert_array_equal(prediction.anomaly_map, detector.predict(pixels(1), "nut").anomaly_map)


def test_a_stream_of_nothing_is_empty(detector: Detector) -> None:
    assert list(detector.stream([])) == []


def test_a_stream_reads_little_ahead(detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def listen(path: Path, value_range: object) -> DecodedImage:
        read.append(path)
        return DecodedImage(pixels(), str(path))

    monkeypatch.setattr("zsad.data.reading.decode", listen)
    answers = detector.stream([tmp_path / f"{number}.png" for number in range(50)])
    for number in range(1, 10):
        next(answers)
        assert len(read) <= number + MAX_PASSES
    answers.close()
    assert len(read) < 15


# --- load


def test_load_gives_a_detector(checkpoint: str) -> None:
    detector = load("clip", backbone="small", weights=checkpoint, image_size=40, threshold=0.25, device="cpu")
    assert detector.runtime == RuntimeConfig("cpu", "fp32", 1)
    assert (detector.image_size, detector.threshold) == (40, 0.25)
    assert detector.method.config == ClipDetectorConfig()
    expected = make(image_size=40)
    assert_same(detector.predict(pixels()), expected.predict(pixels()))


def test_load_takes_every_option(checkpoint: str) -> None:
    detector = load(
        "winclip",
        backbone="small",
        weights=checkpoint,
        precision="bf16",
        batch_size=3,
        activation="gelu",
        position_resize="bilinear",
        options={"sigma": 2, "scales": [1, 2]},
    )
    assert isinstance(detector.method, WinClip)
    assert (detector.method.config.sigma, detector.method.config.scales) == (2.0, (1, 2))
    assert (detector.method.clip.config.activation, detector.method.clip.config.position_resize) == ("gelu", "bilinear")
    assert detector.method.clip.dtype == torch.bfloat16
    assert (detector.runtime.batch_size, detector.image_size) == (3, 32)
    assert detector.predict(pixels()).size == (ROWS, COLS)


@pytest.mark.usefixtures("checkpoint")
def test_the_image_size_is_that_of_the_papers_unless_told_otherwise() -> None:
    assert load("clip", backbone="wider", weights="random").image_size == 48
    assert load("clip", backbone="small", weights="random").image_size == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "winclp"}, r"a detector must be one of .*clip, clip-ac.*'winclp'.*did you mean 'winclip'"),
        ({"backbone": "smal"}, r"a backbone must be one of .*'smal'.*did you mean 'small'"),
        ({"weights": "openia"}, r"a set of weights for small must be one of .*'openia'"),
        ({"threshold": 1.5}, r"a threshold lies in \[0, 1\]; got 1\.5"),
        ({"threshold": -0.1}, r"a threshold lies in \[0, 1\]; got -0\.1"),
        ({"threshold": float("nan")}, r"threshold must be a finite number; got nan"),
        ({"device": "gpu"}, r"the device must exist on this machine; got 'gpu' \(.*--device auto"),
        ({"device": "cuda:99"}, r"the device must exist on this machine; got 'cuda:99' \("),
        ({"device": ""}, r"the device must exist on this machine; got ''"),
        ({"image_size": 15}, r"small needs an image size of at least 16 px; got 15.*use 16 or more"),
        ({"image_size": 0}, r"small needs an image size of at least 16 px; got 0"),
        ({"image_size": -32}, r"small needs an image size of at least 16 px; got -32"),
        ({"batch_size": 0}, r"a batch has at least one image; got 0"),
        (
            {"detector": "clip-ac", "options": {"sigmma": 2.0}},
            r"a key of the options of clip-ac must be one of .*'sigmma'.*did you mean 'sigma'",
        ),
        (
            {"detector": "clip-ac", "options": {"sigma": "wide"}},
            r"the options of clip-ac, sigma must be float; got 'wide'",
        ),
        ({"options": {"sigma": -1}}, r"the sigma of a Gaussian is at least 0; got -1\.0"),
        ({"detector": "clip-ac", "options": {"temperature": 0}}, r"a temperature is greater than 0; got 0\.0"),
    ],
)
def test_what_cannot_be_loaded_says_why(options: dict[str, object], message: str, checkpoint: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(**{"backbone": "small", "weights": checkpoint, **options})


# Here the type checker of the tests would be first to refuse, which users do not have.
CHOICES = """
import zsad
for choice in ({"precision": "fp16"}, {"activation": "relu"}, {"position_resize": "nearest"}):
    try:
        zsad.load("clip", backbone="ViT-B-32", weights="random", **choice)
    except zsad.ConfigError as error:
        print(error)
"""


def test_choices_that_there_are_not_are_refused() -> None:
    assert run("-c", CHOICES).splitlines() == [
        "a precision is one of fp32, bf16; got 'fp16'. Remedy: choose one of these.",
        "a kind of activation must be one of gelu, quick_gelu; got 'relu'. Remedy: did you mean 'gelu'?",
        "a way of resizing positions must be one of bicubic, bicubic_antialias, bicubic_offset, bilinear; "
        "got 'nearest'. Remedy: did you mean 'bilinear'?",
    ]


def test_what_is_asked_for_is_checked_before_any_weights_are_read(checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"")
    for options in ({"detector": "x"}, {"device": "x"}, {"image_size": 1}, {"options": {"x": 1}}, {"threshold": 2.0}):
        with pytest.raises(ConfigError):
            load(**{"backbone": "small", "weights": checkpoint, **options})


# --- save


def test_a_saved_detector_is_loaded_as_it_was(checkpoint: str, tmp_path: Path) -> None:
    saved = load(
        "winclip",
        backbone="small",
        weights=checkpoint,
        image_size=40,
        threshold=0.25,
        activation="gelu",
        options={"scales": [1, 2], "sigma": 1},
    )
    saved.save(tmp_path / "folder" / "detector")
    for place in (tmp_path / "folder" / "detector", str(tmp_path / "folder" / "detector")):
        loaded = load(place)
        assert (loaded.runtime, loaded.image_size) == (saved.runtime, saved.image_size)
        assert loaded.threshold == saved.threshold
        assert loaded.method.config == saved.method.config
        assert loaded.method.clip.config.activation == "gelu"
        assert_same(loaded.predict(pixels()), saved.predict(pixels()))


def test_what_is_said_at_loading_wins_over_the_card(checkpoint: str, tmp_path: Path) -> None:
    load("clip", backbone="small", weights=checkpoint, threshold=0.25, options={"sigma": 1}).save(tmp_path)
    loaded = load(tmp_path, threshold=0.75, image_size=48, options={"sigma": 2})
    assert (loaded.threshold, loaded.image_size, loaded.method.config.sigma) == (0.75, 48, 2.0)


def test_a_backbone_that_changed_since_is_refused_unless_it_is_named(checkpoint: str, tmp_path: Path) -> None:
    load("clip", backbone="small", weights=checkpoint).save(tmp_path)
    save_file(small.snapshot(small.build(seed=1)), checkpoint)
    with pytest.raises(WeightsError, match=r"must be the one that it was saved with; got other weights or settings"):
        load(tmp_path)
    assert load(tmp_path, weights=checkpoint).predict(pixels()).size == (ROWS, COLS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, rf"a folder of a detector holds a readable {CARD}"),
        (b"", rf"a folder of a detector holds a readable {CARD}"),
        (b"\xff", rf"a folder of a detector holds a readable {CARD}"),
        (b"[]", r"readable detector.json; got .*: an array instead of an object"),
        (b"{}", r"needs the key 'method'"),
        (b'{"method": "clip", "treshold": 1}', r"did you mean 'threshold'"),
        (b'{"method": "clip", "threshold": "high"}', r"threshold must be float; got 'high'"),
        (b'{"method": "clap"}', r"did you mean 'clip'"),
    ],
)
def test_a_damaged_card_says_why(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / CARD).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(tmp_path)


# --- the package


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "statement",
    ["import zsad", "import zsad.cli.main; zsad.cli.main.parser()", "import zsad; zsad.InputError; dir(zsad)"],
)
def test_what_shows_help_does_not_import_what_computes(statement: str) -> None:
    heavy = ("torch", "numpy", "PIL", "huggingface_hub", "tokenizers", "ftfy", "jaxtyping", "safetensors", "tqdm")
    assert run("-c", f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_public_names_are_there_and_no_others() -> None:
    for name in zsad.__all__:
        assert getattr(zsad, name).__name__ == name
        assert name in dir(zsad)
    with pytest.raises(AttributeError, match="module 'zsad' has no attribute 'Detecter'"):
        zsad.Detecter  # noqa: B018  # the look-up is the test


DEAD_ENDS = """
import sys
import numpy as np
import torch
import zsad
from zsad.errors import ConfigError, InputError, ZsadError
from zsad.methods.clip import ClipDetector

image = np.zeros((64, 64, 3), np.uint8)
open("weights.pt", "wb").write(b"x")
detector = zsad.load("clip", image_size=64)
few = zsad.load("fe-clip", image_size=64)
detector.save("saved")
for said, kind, words in [
    (lambda: detector.predict(None), InputError, "got NoneType"),
    (lambda: detector.predict([[image]]), InputError, "got list"),
    (lambda: detector.predict(torch.zeros(3, 64, 64)), InputError, "tensor.numpy()"),
    (lambda: detector.predict(bytearray(b"x")), InputError, "got bytearray"),
    (lambda: detector.predict({"a": image}), InputError, "got dict"),
    (lambda: detector.predict("saved"), InputError, "name the files in it"),
    (lambda: detector.predict(image, None), ConfigError, "a class name says"),
    (lambda: detector.predict([image], ["nut"]), ConfigError, "a class name says"),
    (lambda: list(detector.stream("weights.pt")), InputError, "got str"),
    (lambda: list(detector.stream(None)), InputError, "got NoneType"),
    (lambda: few.fit_normal("a.png"), InputError, "got str"),
    (lambda: few.fit_normal(image), InputError, "got ndarray"),
    (lambda: few.fit_normal([]), ConfigError, "at least one normal image"),
    (lambda: detector.save(None), ConfigError, "saved into a folder"),
    (lambda: detector.save(""), ConfigError, "saved into a folder"),
    (lambda: zsad.load(int), ConfigError, "got the class int"),
    (lambda: zsad.load(123), ConfigError, "got 123"),
    (lambda: zsad.load(""), ConfigError, "got an empty name"),
    (lambda: zsad.load("weights.pt"), ConfigError, "weights go with a backbone"),
    (lambda: zsad.load("saved/detector.json"), ConfigError, "name its folder"),
    (lambda: zsad.load("ViT-L-14-336"), ConfigError, "say --backbone ViT-L-14-336"),
    (lambda: zsad.load("WinCLIP"), ConfigError, "did you mean 'winclip'"),
    (lambda: zsad.load("x" * 5000), ConfigError, "a detector must be one of"),
    (lambda: zsad.load("clip", threshold="0.5"), ConfigError, "threshold must be float; got '0.5'"),
    (lambda: zsad.load("clip", batch_size=2.5), ConfigError, "batch_size must be int; got 2.5"),
    (lambda: zsad.load("clip", batch_size=True), ConfigError, "batch_size must be int; got True"),
    (lambda: zsad.load("clip", image_size=(64, 64)), ConfigError, "image_size must be int"),
    (lambda: zsad.load("clip", options="sigma=3"), ConfigError, "options must be dict"),
    (lambda: zsad.load("clip", weights=3), ConfigError, "weights must be str"),
    (
        lambda: zsad.load("fe-clip", backbone="ViT-B-32", weights="random", activation="gelu", options={"blend": 0.2}),
        ConfigError,
        "run zsad train fe-clip --backbone ViT-B-32 --weights random --activation gelu --set blend=0.2 --data ",
    ),
]:
    try:
        said()
    except ZsadError as error:
        assert isinstance(error, kind) and words in str(error), error
    else:
        raise AssertionError(words)
assert len(detector.predict(one for one in [image, image])) == len(detector.predict((image,))) + 1 == 2
assert zsad.load("clip", image_size=np.int64(64), threshold=np.float32(0.25)).threshold == 0.25
"""
"""Without the checks of types that only tests have."""


def test_dead_ends_say_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DEAD_ENDS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
