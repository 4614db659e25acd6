"""DINOv2 and DINOv3 in our tower: against transformers on random weights, in every layout, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from tests import small
from tests.backbones.test_hub import lay_out
from zsad.backbones import config as configs
from zsad.backbones import weights
from zsad.backbones.clip import Clip
from zsad.backbones.rotary import rotary_periods, rotation
from zsad.backbones.state_dicts import to_our_names
from zsad.errors import ConfigError, WeightsError
from zsad.references import level_features, level_widths

pytest.importorskip("transformers", reason="the oracle is transformers' DINOv2 and DINOv3")
from huggingface_hub import constants

from tests.backbones import vision_oracle as oracle

KINDS = tuple(small.VISION_ONLY)


@pytest.fixture(autouse=True)
def _small_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def model_of(kind: str) -> nn.Module:
    return oracle.randomise(oracle.build(small.VISION_ONLY[kind]))


def load(kind: str, path: Path, **options: str) -> Clip:
    # transformers resizes the positions of DINOv2 without its offset.
    way = "bicubic" if kind == "dinov2" else "bicubic_antialias"
    return weights.load(f"small-{kind}", str(path), **({"position_resize": way} | options))  # type: ignore[arg-type]


def close(ours: Tensor, theirs: Tensor) -> None:
    """Equal to 1e-5 of the largest magnitude."""
    assert ours.shape == theirs.shape
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    assert error <= 1e-5, f"relative error {error:.2e}"


# --- parity


@pytest.mark.parametrize("layout", ["hugging face", "authors"])
@pytest.mark.parametrize("size", [(32, 32), (56, 40), (24, 72)])
def test_every_block_is_that_of_transformers(kind: str, layout: str, size: tuple[int, int], tmp_path: Path) -> None:
    model = model_of(kind)
    if layout == "authors":
        torch.save(oracle.authors_keys(model), tmp_path / "pretrain.pth")
    else:
        model.save_pretrained(tmp_path)
    clip = load(kind, tmp_path / "pretrain.pth" if layout == "authors" else tmp_path)
    images = small.images(2, *size)
    with torch.inference_mode():
        theirs = model(images, output_hidden_states=True)
        trace = clip.vision(images, keep=range(-1, small.DEPTH))
        for block in range(-1, small.DEPTH):
            close(trace.kept[block], theirs.hidden_states[block + 1])
        close(clip.vision.project(trace.last), theirs.last_hidden_state)
        close(clip.vision.project(trace.last[:, 0]), theirs.pooler_output)
        patches = theirs.last_hidden_state[:, 1 if kind == "dinov2" else 5 :]
        close(clip.vision.patch_map(trace.last, trace.grid).flatten(2).transpose(1, 2), patches)


@pytest.mark.parametrize("name", ["dinov2-small", "dinov2-small-reg4", "dinov3-small"])
@torch.inference_mode()
def test_every_block_of_a_published_architecture_is_that_of_transformers(name: str) -> None:
    """At full width and depth, where positions of 37 × 37 patches are resized to 4 × 5."""
    config = configs.get(name)
    # Spread as at a width of 32: wider towers with larger weights would attend to single patches.
    model = oracle.randomise(oracle.build(config), 0.2 * (32 / config.vision.width) ** 0.5)
    # transformers resizes the positions of DINOv2 without its offset.
    way = "bicubic" if name == "dinov2-small" else config.position_resize
    with weights.SkipInit():
        clip = Clip(name, replace(config, position_resize=way))
    clip.load_state_dict(to_our_names(oracle.authors_keys(model), vision_only=True))
    patch, depth = config.vision.patch, config.vision.depth
    images = small.images(2, 4 * patch, 5 * patch)
    theirs = model(images, output_hidden_states=True)
    trace = clip.vision(images, keep=range(-1, depth))
    assert (depth, trace.grid) == (12, (4, 5))
    for block in range(-1, depth):
        close(trace.kept[block], theirs.hidden_states[block + 1])
    close(clip.vision.project(trace.last), theirs.last_hidden_state)


@pytest.mark.parametrize("name", ["dinov2-small", "dinov2-base-reg4", "dinov3-small"])
def test_the_architectures_have_the_shapes_of_transformers(name: str) -> None:
    """Their configuration names width, depth, heads and size; every tensor follows, and none is lacking."""
    config = configs.get(name)
    with torch.device("meta"):
        theirs = to_our_names(oracle.build(config).state_dict(), vision_only=True)
    with weights.SkipInit():
        ours = Clip(name, config).state_dict()
    assert {key: value.shape for key, value in theirs.items()} == {
        key: value.shape for key, value in ours.items() if key not in weights.COMPUTED
    }


def test_the_nine_architectures_are_those_of_the_authors() -> None:
    """Widths, depths and heads of ViT-S, -B and -L; patch, positions, registers, epsilon and resizing of each kind."""
    shapes = {"small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
    for size, (width, depth, heads) in shapes.items():
        plain, registers, third = (
            configs.get(name.format(size)) for name in ("dinov2-{}", "dinov2-{}-reg4", "dinov3-{}")
        )
        for config in (plain, registers, third):
            vision = config.vision
            assert (vision.width, vision.depth, vision.heads, config.embed) == (width, depth, heads, width)
            assert (vision.layer_scale, vision.patch_bias, vision.norm_pre) == (True, True, False)
            assert (config.activation, config.has_text) == ("gelu", False)
            assert config.mean == (0.485, 0.456, 0.406)
            assert config.std == (0.229, 0.224, 0.225)
            assert [(known.mean, known.std) for known in config.weights.values()] == [(config.mean, config.std)]
        for config in (plain, registers):
            assert (config.vision.patch, config.vision.image_size, config.vision.epsilon) == (14, 518, 1e-6)
        assert (plain.position_resize, registers.position_resize) == ("bicubic_offset", "bicubic_antialias")
        assert (plain.vision.registers, registers.vision.registers, third.vision.registers) == (0, 4, 4)
        assert (third.vision.patch, third.vision.rotary_base, third.vision.epsilon) == (16, 100.0, 1e-5)
        assert third.default_size == 512


# --- positions


def cubic(t: float) -> float:
    """Keys' kernel with a = -0.75, as PyTorch's bicubic."""
    a, t = -0.75, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def test_positions_of_dinov2_are_resized_for_a_grid_of_a_tenth_of_a_cell_more() -> None:
    """scale = (cells + 0.1) / side in the place of cells / side (the authors' interpolate_pos_encoding)."""
    vision = small.vision_only("dinov2").vision
    table = vision.position_embedding[1:].reshape(4, 4, -1).detach().numpy()

    def along(axis: int, cells: int) -> np.ndarray:
        matrix = np.zeros((cells, 4))
        for cell in range(cells):
            source = (cell + 0.5) * 4 / (cells + 0.1) - 0.5
            for near in range(int(np.floor(source)) - 1, int(np.floor(source)) + 3):
                matrix[cell, min(max(near, 0), 3)] += cubic(source - near)
        return matrix

    expected = np.einsum("ra,cb,abw->rcw", along(0, 6), along(1, 3), table).reshape(18, -1)
    positions = vision.positions((6, 3)).detach()
    np.testing.assert_allclose(positions[1:].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(positions[0], vision.position_embedding[0])
    assert torch.equal(vision.positions((4, 4)), vision.position_embedding)


def test_rotary_positions_written_out() -> None:
    """Channel n turns together with channel n + half, by 2π times a coordinate over a period; rows come first."""
    periods = rotary_periods(8, 100.0)
    torch.testing.assert_close(periods, torch.tensor([1.0, 10.0]))
    heads = torch.randn(1, 1, 1 + 6, 8, generator=torch.Generator().manual_seed(0))
    turned = rotation((2, 3), periods, torch.float32)(heads)
    assert torch.equal(turned[0, 0, 0], heads[0, 0, 0])
    for cell in range(6):
        row, col = (2 * (cell // 3 + 0.5) / 2 - 1, 2 * (cell % 3 + 0.5) / 3 - 1)
        angles = 2 * np.pi * np.array([row / 1, row / 10, col / 1, col / 10])
        before = heads[0, 0, 1 + cell].numpy()
        pairs = (before[:4] + 1j * before[4:]) * np.exp(1j * angles)
        np.testing.assert_allclose(turned[0, 0, 1 + cell].numpy(), [*pairs.real, *pairs.imag], rtol=1e-4, atol=1e-5)


def test_rotary_positions_need_heads_of_a_multiple_of_four_channels() -> None:
    with pytest.raises(ConfigError, match=r"multiple of 4 channels a head; got 6"):
        rotary_periods(6, 100.0)


def test_a_tower_with_rotary_positions_has_no_table() -> None:
    with pytest.raises(ConfigError, match="a tower with rotary positions"):
        small.vision_only("dinov3").vision.positions((2, 2))


def test_periods_come_from_the_authors_file_and_otherwise_from_the_base(tmp_path: Path) -> None:
    """Those of the authors were rounded to bf16, which transformers does not do."""
    model = model_of("dinov3")
    state = oracle.authors_keys(model)
    state["rope_embed.periods"] = torch.tensor([1.0, 3.15625, 10.0, 31.625])
    torch.save(state, tmp_path / "authors.pth")
    model.save_pretrained(tmp_path)
    authors = load("dinov3", tmp_path / "authors.pth").vision.transformer.periods
    theirs = load("dinov3", tmp_path).vision.transformer.periods
    assert authors.tolist() == [1.0, 3.15625, 10.0, 31.625]
    torch.testing.assert_close(theirs, torch.tensor([1.0, 3.1622777, 10.0, 31.622777]))


# --- layouts


def test_all_layouts_are_the_same_weights(kind: str) -> None:
    model = model_of(kind)
    authors = oracle.authors_keys(model)
    chunked = {name.replace("blocks.2.", "blocks.1.2."): value for name, value in authors.items()}
    wrapped = {f"module.{name}": value for name, value in model.state_dict().items()}
    ours = to_our_names(model.state_dict(), vision_only=True)
    assert not [name for name in ours if "scale_1" in name and ours[name].ndim != 1]
    for other in (authors, chunked, wrapped, ours):
        found = to_our_names(other, vision_only=True)
        found.pop(weights.COMPUTED[0], None)
        assert found.keys() == ours.keys()
        assert not [name for name in ours if not torch.equal(found[name], ours[name])]


def test_keys_of_dinov3_have_no_bias() -> None:
    ours = to_our_names(oracle.authors_keys(model_of("dinov3")), vision_only=True)
    query, key, value = ours["vision.transformer.blocks.0.attention.qkv.bias"].chunk(3)
    assert query.any()
    assert not key.any()
    assert value.any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blocks.0.mlp.w12.weight", r"belongs to DINOv2 or DINOv3; got blocks.0.mlp.w12.weight.*not SwiGLU"),
        ("head.weight", "belongs to DINOv2 or DINOv3; got head.weight"),
        ("blocks.0.attn.query.weight", "belongs to DINOv2 or DINOv3"),
    ],
)
def test_a_tensor_of_another_model_is_refused(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        to_our_names({"patch_embed.proj.weight": torch.zeros(1), name: torch.zeros(1)}, vision_only=True)


def test_a_query_without_its_value_is_refused() -> None:
    state = {"embeddings.patch_embeddings.weight": torch.zeros(1)}
    state |= {f"layer.0.attention.{part}_proj.weight": torch.zeros(1, 1) for part in "qk"}
    with pytest.raises(WeightsError, match=r"no value for transformer\.blocks\.0\.attention\.qkv\.weight"):
        to_our_names(state, vision_only=True)


def test_weights_of_a_clip_are_refused_and_those_of_dino_by_a_clip(tmp_path: Path) -> None:
    save_file(oracle.authors_keys(model_of("dinov2")), tmp_path / "dino.safetensors")
    with pytest.raises(WeightsError, match=r"holds weights of CLIP .*got tensors blocks"):
        weights.load("small", str(tmp_path / "dino.safetensors"))
    save_file({"visual.conv1.weight": torch.zeros(1)}, tmp_path / "clip.safetensors")
    with pytest.raises(WeightsError, match=r"holds weights of DINOv2 or DINOv3 .*visual.conv1.weight.*--backbone"):
        weights.load("small-dinov2", str(tmp_path / "clip.safetensors"))


def test_weights_of_the_other_kind_name_the_backbone_that_fits(tmp_path: Path) -> None:
    torch.save(oracle.authors_keys(model_of("dinov2-registers")), tmp_path / "reg4_pretrain.pth")
    with pytest.raises(WeightsError, match=r"must hold weights of small-dinov2.*--backbone .*small-dinov2-registers"):
        load("dinov2", tmp_path / "reg4_pretrain.pth")


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_attention_heads", 4), ("model_type", "dinov2"), ("layer_norm_eps", 1e-6), ("rope_theta", 10000.0)],
)
def test_a_configuration_of_another_tower_is_refused(key: str, value: object, tmp_path: Path) -> None:
    model_of("dinov3").save_pretrained(tmp_path)
    card = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(card | {key: value}))
    with pytest.raises(WeightsError, match=rf"describes the backbone that was asked for, with {key} = .*; got {value}"):
        load("dinov3", tmp_path)


def test_pixels_are_normalised_as_the_preprocessor_says(tmp_path: Path) -> None:
    model_of("dinov2").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    assert load("dinov2", tmp_path).config.std == (0.25, 0.25, 0.25)


def test_a_published_tag_is_the_file_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one of open_clip's, which their repositories do not have."""
    known = configs.PublishedWeights("owner/dino", "gelu", mean=(0.5, 0.5, 0.5), std=(0.1, 0.1, 0.1))
    small.VISION_ONLY["dinov2"].weights["lvd142m"] = known
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    lay_out(tmp_path, "owner/dino", "model.safetensors", save(oracle.authors_keys(model_of("dinov2"))))
    try:
        clip = weights.load("small-dinov2", "lvd142m")
    finally:
        del small.VISION_ONLY["dinov2"].weights["lvd142m"]
    assert clip.weights == "lvd142m (owner/dino)"
    assert clip.config.mean == (0.5, 0.5, 0.5)


# --- what they are


def test_random_ones_have_fingerprints_of_their_own() -> None:
    prints = {weights.load(f"small-{kind}", "random").fingerprint for kind in KINDS}
    assert len(prints) == len(KINDS)


def test_levels_are_read_after_the_last_norm_without_registers(kind: str) -> None:
    vision = small.vision_only(kind).vision
    images = small.images(2, 32, 48)
    assert level_widths(vision, (12, 24)) == (32, 32)
    with torch.inference_mode():
        middle, last = level_features(vision, images, (12, 24))
        tokens = vision(images, keep=[1]).kept[1][:, {"dinov2": 1}.get(kind, 5) :]
        normed = (tokens - tokens.mean(-1, keepdim=True)) / (tokens.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
    expected = normed * vision.norm_post.weight + vision.norm_post.bias
    torch.testing.assert_close(middle.flatten(2).transpose(1, 2), expected, rtol=1e-4, atol=1e-4)
    assert last.shape == (2, 32, 4, 6)


def test_prompts_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"text tower; got small-{kind}, which only sees.*musc, patchcore or auto"):
        small.vision_only(kind).encode_prompts(["a photo of a nut."])
