"""What training reads, and how it changes it."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trainer.toys import draw, register_toys
from zsad.data.decode import decode
from zsad.data.layouts import Sample
from zsad.data.preprocess import to_batch
from zsad.data.specification import samples_of
from zsad.errors import ConfigError, DependencyError, InputError
from zsad.methods._trainable import TrainingConfig
from zsad.trainer.augmentation import augment
from zsad.trainer.images import TrainingImages
from zsad.trainer.observers import Epoch, ProgressLog, TensorBoardScalars
from zsad.trainer.recipe import Recipe, read
from zsad.trainer.training import train

# --- images and masks ---


def test_pixels_are_those_of_prediction_and_masks_are_cut_at_one_half(tmp_path: Path) -> None:
    samples = samples_of([draw(tmp_path, count=2)])
    images = TrainingImages(samples, 24)
    batch = images.batch([0, 3])
    for row, index in enumerate(batch.indices):
        sample = images.samples[index]
        expected = to_batch([decode(sample.image)], (24, 24), (0.0,) * 3, (1.0,) * 3).pixels[0]
        torch.testing.assert_close(batch.pixels[row], expected, rtol=0, atol=1e-6)
        if sample.mask is None:
            assert batch.masks[row].sum() == 0
        else:
            half = Image.open(sample.mask).convert("L").resize((24, 24), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(batch.masks[row].numpy(), np.asarray(half) > 127)
    assert batch.labels.tolist() == [float(images.samples[index].label or 0) for index in (0, 3)]


def test_memory_is_bounded_and_changes_nothing(tmp_path: Path) -> None:
    samples = samples_of([draw(tmp_path, count=2)])
    roomy, tight = TrainingImages(samples, 24), TrainingImages(samples, 24, memory=24 * 24 * 3)
    for _ in range(2):
        for ours, theirs in zip(roomy.batches([[0, 1], [2, 3]], 2), tight.batches([[0, 1], [2, 3]], 2), strict=True):
            torch.testing.assert_close(ours.pixels, theirs.pixels, rtol=0, atol=0)
            torch.testing.assert_close(ours.masks, theirs.masks, rtol=0, atol=0)
    assert len(roomy._images) == 4
    assert len(tight._images) + len(tight._masks) <= 2


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    samples = samples_of([draw(tmp_path, count=1, side=16)])
    deep = np.arange(256, dtype=np.uint16).reshape(16, 16) + 30000
    Image.fromarray(deep).save(samples[0].image)
    batch = TrainingImages(samples, 16).batch([0])
    np.testing.assert_allclose(batch.pixels[0, 0].numpy(), deep / 65535, rtol=0, atol=1e-6)


def test_what_has_no_mask_or_no_label_is_left_out_and_counted(tmp_path: Path) -> None:
    samples = samples_of([draw(tmp_path, count=2)])
    odd = [Sample(samples[0].image, label, "nut", "unknown", None, "test") for label in (1, None)]
    assert TrainingImages([*samples, *odd], 24).left_out == 2


@pytest.mark.parametrize("label", [0, 1])
def test_training_needs_both_states(label: int, tmp_path: Path) -> None:
    samples = [one for one in samples_of([draw(tmp_path, count=2)]) if one.label == label]
    with pytest.raises(InputError, match="normal images, and anomalous ones with masks"):
        TrainingImages(samples, 24)


def test_hashes_tell_contents(tmp_path: Path) -> None:
    samples = samples_of([draw(tmp_path, count=2)])
    before, masks_before = TrainingImages(samples, 24).hashes(2)
    assert len(set(before)) == 4
    assert [bool(one) for one in masks_before] == [sample.mask is not None for sample in samples]
    mask = samples[-1].mask
    assert mask is not None
    mask.write_bytes(mask.read_bytes() + b"more")
    after, masks_after = TrainingImages(samples, 24).hashes(1)
    assert after == before
    assert [old == new for old, new in zip(masks_before, masks_after, strict=True)].count(False) == 1


# --- data sets by name ---


def test_splits_and_classes_are_chosen(tmp_path: Path) -> None:
    one, two = draw(tmp_path / "a", count=2), draw(tmp_path / "b", count=1, class_name="tile")
    assert len(samples_of([one, two])) == 6
    assert {sample.class_name for sample in samples_of([one, two], "test", ["tile"])} == {"tile"}
    with pytest.raises(InputError, match="images in its split 'train'"):
        samples_of([one], "train")
    with pytest.raises(ConfigError, match="did you mean 'tile'"):
        samples_of([one, two], classes=["tiles"])
    for wrong in ("mvtec", "mvtec:", str(tmp_path)):
        with pytest.raises(ConfigError, match="LAYOUT:PATH"):
            samples_of([wrong])


# --- augmentation ---


GREY = (0.5, 0.5, 0.5)


def test_augmentation_moves_image_and_mask_alike_and_is_seeded() -> None:
    mask = torch.zeros(64, 64)
    mask[16:32, 20:44] = 1
    image = mask.expand(3, -1, -1).clone()
    results = [augment(image, mask, seed, (0.0, 0.0, 0.0), (64, 64)) for seed in range(12)]
    for changed, moved in results:
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert set(moved.unique().tolist()) <= {0.0, 1.0}
        inside, outside = changed[:, moved == 1].mean(), changed[:, moved == 0].mean()
        assert inside > outside + 0.2
    assert all(not torch.equal(results[0][0], other) for other, _ in results[1:])
    for ours, theirs in zip(augment(image, mask, 5, (0.0, 0.0, 0.0), (64, 64)), results[5], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_augmentation_keeps_shapes_of_things() -> None:
    """Turned, shifted and mirrored, never sheared or scaled: the area stays where nothing leaves the image."""
    mask = torch.zeros(96, 96)
    mask[40:56, 44:52] = 1
    for seed in range(20):
        area = augment(mask.expand(3, -1, -1), mask, seed, GREY, (96, 96))[1].sum()
        assert abs(float(area) - 128) < 20


def test_each_kind_of_change_has_its_share_of_the_images() -> None:
    """As in ACD-CLIP's code: colour 1 - 0.3³ = .973, noise .3, turned or shifted .75; outside is the mean colour."""
    rows = torch.linspace(0.2, 0.8, 32)[:, None].expand(32, 32)
    image, mask = torch.stack([rows, rows.T, rows * rows.T]), torch.zeros(32, 32)
    plain, filled, mirrored = 0, 0, 0
    count = 400
    for seed in range(count):
        changed, _ = augment(torch.full((3, 32, 32), 0.25), mask, seed, GREY, (32, 32))
        corner = changed[:, 0, 0]
        filled += bool((changed == 0.5).all(0).any()) and not torch.equal(corner, changed[:, 16, 16])
        changed, _ = augment(image, mask, seed, GREY, (32, 32))
        mirrors = [image, image.flip(1), image.flip(2), image.flip(1, 2)]
        plain += any(torch.allclose(changed, one, atol=1e-5) for one in mirrors)
        mirrored += bool((changed[0, 4:-4, 16].diff() < 0).float().mean() > 0.5)
    assert 0.55 * count < filled < 0.85 * count
    assert plain < 0.05 * count
    assert 0.35 * count < mirrored < 0.65 * count


# --- recipes ---


def test_every_recipe_of_the_repository_is_one(request: pytest.FixtureRequest) -> None:
    files = [
        path
        for path in (request.config.rootpath / "recipes").glob("*/**/*.toml")
        if path.parts[-2] not in ("tiny", "benchmark")
    ]
    assert files
    for path in files:
        recipe = read(str(path))
        assert recipe.training_config().epochs >= 1
        assert recipe.paper
        assert path.relative_to(request.config.rootpath / "recipes").parts[0] == recipe.method


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method = 'clip'\n[training]\nepochs = 3", "something to train"),
        ("method = 'winclp'", "did you mean 'winclip'"),
        ("method = 'toy-editor'\n[training]\nepochz = 3", "did you mean 'epochs'"),
        ("method = 'toy-editor'\n[training]\nepochs = 0", "at least one epoch"),
        ("method = 'toy-editor'\n[training]\nlearning_rate = 0.0", "greater than 0"),
        ("methid = 'toy-editor'", "did you mean 'method'"),
        ("method = ", "readable TOML"),
    ],
)
def test_a_wrong_recipe_is_refused(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read(str(tmp_path / "recipe.toml"))


def test_a_recipe_may_be_of_a_method_that_is_never_trained(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("method = 'winclip'\nbackbone = 'ViT-B-16'\noptions = { sigma = 2.0 }")
    assert read(str(tmp_path / "recipe.toml")) == Recipe("winclip", backbone="ViT-B-16", options={"sigma": 2.0})
    with pytest.raises(ConfigError, match="something to train"):
        train(str(tmp_path / "recipe.toml"), "mvtec:nowhere", tmp_path / "out")


def test_rates_follow_their_schedules() -> None:
    schedules = {"constant": [1, 1, 1], "exponential": [1, 0.9, 0.81], "inverse": [1, 1 / 2, 1 / 3]}
    for schedule, rates in schedules.items():
        training = TrainingConfig(epochs=3, batch_size=1, learning_rate=1.0, schedule=schedule)  # type: ignore[arg-type]
        assert [training.rate(epoch) for epoch in range(3)] == pytest.approx(rates)


def test_recipes_are_plain_toml(request: pytest.FixtureRequest) -> None:
    for path in (request.config.rootpath / "recipes").rglob("*.toml"):
        tomllib.loads(path.read_text())


# --- telling ---


def test_an_epoch_is_told_in_lines_of_eighty_columns() -> None:
    lines: list[str] = []
    log = ProgressLog(lines.append)
    for done in range(8, 201, 8):
        log.features(done, 200)
    terms = {"image": 0.6931, "focal": 0.12, "dice": 0.9, "divergence": 0.001, "reconstruction": 1.0}
    log.epoch(Epoch(3, 9, terms, 65.0))
    assert all(len(line) <= 80 for line in lines)
    extraction, epoch = lines[:10], lines[10:]
    assert extraction[-1] == "extracting features: 200/200 images"
    assert epoch[0].startswith("epoch 3/9  loss 2.7141")
    assert "6:30 left" in epoch[0]
    assert " ".join(epoch[1:]).split() == [word for name, value in terms.items() for word in (name, f"{value:.4f}")]


def test_scalars_are_what_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scalars = TensorBoardScalars(tmp_path)
    for number in (1, 2):
        scalars.epoch(Epoch(number, 2, {"dice": 0.5 / number, "focal": 0.25}, 1.0))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 0.75), (2, 0.5)]
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/dice", "train/focal"}


def test_scalars_without_tensorboard_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(DependencyError, match=r"zsad\[tensorboard\]"):
        TensorBoardScalars(tmp_path)


def noise(taken: tuple[int, int], size: int, count: int) -> np.ndarray:
    image, mask = torch.full((3, size, size), 0.6), torch.zeros(size, size)
    changed = [augment(image, mask, seed, GREY, taken)[0] for seed in range(count)]
    return (torch.stack(changed) - 0.6).numpy()


def test_noise_is_as_strong_as_where_it_is_added_before_the_resize(monkeypatch: pytest.MonkeyPatch) -> None:
    """ACD-CLIP's code: pixels whose draw is above 3 times another draw, cut to [0, 1], then PIL's bicubic resize."""
    for chance, value in {"NOISE_PROBABILITY": 1.0, "JITTER_PROBABILITY": 0.0, "AFFINE_PROBABILITY": 0.0}.items():
        monkeypatch.setattr(f"zsad.trainer.augmentation.{chance}", value)
    draw, side, size = np.random.default_rng(0), 192, 64
    theirs = []
    for _ in range(60):
        hit = draw.standard_normal((side, side)) > 3
        image = np.where(hit, np.clip(0.6 * draw.standard_normal((side, side)), 0, 1), 0.6)
        small = Image.fromarray(image.astype(np.float32), mode="F").resize((size, size), Image.Resampling.BICUBIC)
        theirs.append(np.asarray(small) - 0.6)
    ours = noise((side, side), size, 20)
    assert ours.std() == pytest.approx(np.stack(theirs).std(), rel=0.15)
    assert noise((size, size), size, 20).std() > 2 * ours.std()  # what it would be at the size of the method
