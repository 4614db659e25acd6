"""The recipe of the small CNN, on a few pictures and a teacher that is easy to follow."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zsad.backbones import cnn as networks
from zsad.data.synthetic import surface
from zsad.errors import ConfigError
from zsad.pretrain import cnn
from zsad.pretrain.cnn import CnnRecipe
from zsad.pretrain.store import FEATURES, Store
from zsad.pretrain.teacher import POOLED_CHANNELS

RECIPE = CnnRecipe(seed=1, steps=3, batch=8, learning_rate=3e-3, weight_decay=0.05, warmup=2)
SIDE = 32


def fill(folder: Path, count: int, seed: int) -> None:
    """A store whose teacher sees nothing but the mean colour."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images = np.stack([surface(rng, (SIDE, SIDE))[0] for _ in range(count)])
    mixing = np.random.default_rng(0).standard_normal((3, POOLED_CHANNELS))
    np.save(folder / "image.npy", images)
    np.save(folder / "pooled.npy", (images.mean((1, 2)) / 255 @ mixing).astype(np.float16))
    for name in ("coverage", *FEATURES[:-1]):
        np.save(folder / f"{name}.npy", np.zeros((count, 1), np.float16))
    meta = {"name": "surface", "caption": None, "kinds": [], "has_state": True}
    (folder / "meta.jsonl").write_text((json.dumps(meta) + "\n") * count)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    fill(folder / "train", 40, 0)
    fill(folder / "validation", 10, 1)
    return folder


def test_it_learns_what_a_teacher_sees_and_the_mean_scores_zero(prepared: Path) -> None:
    train, validation = Store(prepared / "train"), Store(prepared / "validation")
    longer = replace(RECIPE, steps=40, warmup=5)
    student = cnn.run(longer, train)
    assert cnn.validate(student, validation, at_once=4)["explained"] > 0.3
    with torch.no_grad():
        student.head.weight.zero_()
        student.head.bias.zero_()
    assert abs(cnn.validate(student, train)["explained"]) < 1e-3


def test_the_same_recipe_gives_the_same_weights_whatever_was_drawn_before(prepared: Path) -> None:
    states = []
    for _ in range(2):
        torch.rand(1)
        states.append(cnn.run(RECIPE, Store(prepared / "train")).state_dict())
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


def test_what_is_written_loads_and_its_card_says_what_it_is(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(
        "seed = 1\nsteps = 3\nbatch = 8\nlearning_rate = 3e-3\nweight_decay = 0.05\nwarmup = 2\n"
    )
    made = prepared / "model" / "card.json"
    made.parent.mkdir(exist_ok=True)
    made.write_text(json.dumps({"corpus_pictures_by_source": {"drawn": 3}, "procedural_share": 0.5}))
    out = tmp_path / "out.safetensors"
    assert cnn.main([str(tmp_path / "recipe.toml"), "--pictures", str(prepared), "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    network, student = networks.load("small", str(out)), cnn.run(RECIPE, Store(prepared / "train"))
    picture = torch.rand(1, 3, 50, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network(picture), student.cnn(picture), rtol=2e-2, atol=2e-3)
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["corpus_pictures_by_source"] == {"drawn": 3}
    assert card["procedural_share"] == 0.5
    assert set(card["validation"]) == {"explained", "cosine"}
    assert card["recipe"]["steps"] == 3


def test_the_shipped_recipe_reads() -> None:
    assert cnn.read(Path(__file__).parents[2] / "recipes" / "tiny" / "cnn.toml").steps > 100


def test_errors(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="readable TOML"):
        cnn.read(tmp_path / "none.toml")
    (tmp_path / "typo.toml").write_text("stepz = 3\n")
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        cnn.read(tmp_path / "typo.toml")
    with pytest.raises(ConfigError, match="steps, batch and warm-up are at least 1"):
        replace(RECIPE, steps=0)
    with pytest.raises(ConfigError, match="pictures are at least one batch; got 40 for 41"):
        cnn.run(
            CnnRecipe(seed=0, steps=1, batch=41, learning_rate=1e-3, weight_decay=0, warmup=1),
            Store(prepared / "train"),
        )
