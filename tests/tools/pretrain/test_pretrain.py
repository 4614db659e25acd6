"""The recipe of the embedded backbone, at a size at which it takes seconds."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests import small
from zsad.backbones import weights
from zsad.backbones.config import get
from zsad.backbones.state_dicts import read_state
from zsad.backbones.stem import Stem
from zsad.backbones.tokenizer import Tokenizer
from zsad.data.synthetic import surface
from zsad.errors import ConfigError, InputError
from zsad.tools.pretrain import export, loop, store
from zsad.tools.pretrain.objective import pad
from zsad.tools.pretrain.reader import FeatureReader, standard
from zsad.tools.pretrain.recipe import PretrainingRecipe, read
from zsad.tools.pretrain.stem import fill
from zsad.tools.pretrain.teacher import Teacher
from zsad.tools.pretrain.vocabulary import first_merges
from zsad.tools.pretrain.words import ANOMALOUS, NORMAL, caption, state_pair

pytest.importorskip("efficientnet_lite_pytorch", reason="pretraining learns from the CNN of the extra 'pretrain'")

SMALL = PretrainingRecipe(
    backbone="tiny",
    seed=3,
    images=6,
    validation=2,
    procedural=0.7,
    sources=(),
    damaged=0.6,
    merges=200,
    steps=4,
    batch=2,
    learning_rate=1e-3,
    weight_decay=0.05,
    warmup=2,
    distil=1.0,
    align=0.5,
    state=2.0,
    temperature=0.07,
    damage_weight=10.0,
    noise=0.1,
    jitter=0.1,
    window=8,
    window_until=0.5,
    save_every=2,
    average=(2, 4),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[store.CorpusImage]:
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(22):
        image, name = surface(rng, (80, 100))
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append({"file": f"{number}.png", "caption": f"a photo of {name}", "label": name, "source": "drawn"})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return store.read_corpus(folder / "captions.jsonl")


@pytest.fixture(scope="module")
def prepared(corpus: list[store.CorpusImage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    store.prepare(SMALL, corpus, "train", out / "train", workers=0)
    store.prepare(SMALL, corpus, "validation", out / "validation", workers=0)
    return out


def linked(prepared: Path, out: Path) -> Path:
    """A run folder that shares the prepared images."""
    out.mkdir()
    for split in ("train", "validation"):
        (out / split).symlink_to(prepared / split)
    return out


def state(out: Path) -> dict[str, Tensor]:
    return torch.load(out / "checkpoint.pt", weights_only=True)["learner"]


def test_an_interrupted_run_resumes_to_the_same_weights_to_the_bit(
    corpus: list[store.CorpusImage], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = linked(prepared, tmp_path / "whole"), linked(prepared, tmp_path / "broken")
    loop.run(SMALL, corpus, whole, workers=0)
    step = loop._step

    def killed(*arguments: object) -> dict[str, float]:
        if arguments[-1] == 3:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(loop, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.run(SMALL, corpus, broken, workers=0)
    halfway = state(broken)
    monkeypatch.setattr(loop, "_step", step)
    loop.run(SMALL, corpus, broken, workers=0)
    ours, theirs = state(broken), state(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not all(torch.equal(ours[name], halfway[name]) for name in ours)


def test_the_model_is_the_mean_of_the_weights_that_the_recipe_names(
    corpus: list[store.CorpusImage], prepared: Path, tmp_path: Path
) -> None:
    out = linked(prepared, tmp_path / "run")
    clip = loop.run(SMALL, corpus, out, workers=0)
    early, late = (torch.load(out / f"weights-{step}.pt", weights_only=True) for step in (2, 4))
    assert all(torch.equal(late[name], tensor) for name, tensor in state(out).items())
    name = "vision.projection"
    assert not torch.equal(early[f"clip.{name}"], late[f"clip.{name}"])
    torch.testing.assert_close(clip.state_dict()[name], (early[f"clip.{name}"] + late[f"clip.{name}"]) / 2)


def test_the_exported_model_loads_as_a_backbone_and_its_card_names_the_sources(
    corpus: list[store.CorpusImage], prepared: Path, tmp_path: Path
) -> None:
    out = linked(prepared, tmp_path / "run")
    clip = loop.run(replace(SMALL, steps=2, average=(2,)), corpus, out, workers=0)
    folder = export.write(clip, SMALL, corpus, out)
    for place in (folder, folder / "model.safetensors"):
        loaded = weights.load("tiny", str(place))
        assert len(loaded.tokenizer) == len(clip.tokenizer)
        assert loaded.encode_prompts(["a photo of a nut"]).shape == (1, clip.config.embed)
    state = read_state(folder / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    torch.testing.assert_close(state["text.projection"].float(), clip.text.projection.detach(), rtol=1e-3, atol=1e-4)
    card = json.loads((folder / "card.json").read_text())
    assert card["sources"] == {"drawn": {"images": 22, "trained": True}}
    assert card["steps"] == 2
    assert set(card["validation"]) >= {f"validation_{name}" for name in ("distil", "align", "state")}


def test_the_card_tells_the_terms_of_every_source(
    corpus: list[store.CorpusImage], prepared: Path, tmp_path: Path
) -> None:
    out = linked(prepared, tmp_path / "run")
    clip = loop.run(replace(SMALL, steps=2, average=(2,)), corpus, out, workers=0)
    told = {"drawn": {"repository": "here", "terms": "none"}}
    (tmp_path / "sources.json").write_text(json.dumps(told))
    card = export.card(clip, SMALL, corpus, out, export.read_sources(tmp_path / "sources.json"))
    assert card["sources"] == {"drawn": {"images": 22, "trained": True, "repository": "here", "terms": "none"}}
    others = export.card(clip, replace(SMALL, sources=("named",)), corpus, out)
    assert others["sources"] == {"drawn": {"images": 22, "trained": False}}
    with pytest.raises(InputError, match="nothing on drawn"):
        export.card(clip, SMALL, corpus, out, {})
    for wrong in ("[]", '{"drawn": {"terms": "none"}}', "{"):
        (tmp_path / "sources.json").write_text(wrong)
        with pytest.raises(InputError, match="repository, terms"):
            export.read_sources(tmp_path / "sources.json")


def test_training_lowers_the_losses_on_the_images_it_sees(
    corpus: list[store.CorpusImage], prepared: Path, tmp_path: Path
) -> None:
    out = linked(prepared, tmp_path / "run")
    recipe = replace(SMALL, steps=24, warmup=2, save_every=24, average=(24,))
    seen: list[dict[str, float]] = []
    step = loop._step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", lambda *arguments: seen.append(step(*arguments)) or seen[-1])
        loop.run(recipe, corpus, out, workers=0)
    for name in ("distil", "state"):
        first, last = (np.mean([row[name] for row in rows]) for rows in (seen[:4], seen[-4:]))
        assert last < 0.95 * first, name


def test_an_image_depends_on_nothing_but_seed_and_number(corpus: list[store.CorpusImage]) -> None:
    first, again = (store.CorpusDataset(SMALL, corpus, "train")[5] for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.meta == again.meta
    other = store.CorpusDataset(replace(SMALL, seed=4), corpus, "train")[5]
    assert not np.array_equal(first.image, other.image)


def test_no_validation_image_of_the_corpus_trains(corpus: list[store.CorpusImage]) -> None:
    train, validation = (store.CorpusDataset(SMALL, corpus, split).corpus for split in ("train", "validation"))
    assert len(validation) == 2
    assert len(train) + len(validation) == len(corpus)
    assert not {entry.file for entry in train} & {entry.file for entry in validation}


def test_coverage_is_the_damaged_share_of_each_patch(corpus: list[store.CorpusImage]) -> None:
    images = store.CorpusDataset(SMALL, corpus, "train")
    mask = np.zeros((224, 224), bool)
    mask[16:32, 32:40] = True
    expected = np.zeros((14, 14), np.float32)
    expected[1, 2] = 0.5
    np.testing.assert_array_equal(images._coverage(mask), expected)


def test_damage_is_drawn_and_named_on_some_images_and_only_there(corpus: list[store.CorpusImage]) -> None:
    drawn = [store.CorpusDataset(SMALL, corpus, "train")[number] for number in range(40)]
    damaged = [bool(item.coverage.any()) for item in drawn]
    assert 10 < sum(damaged) < 35
    assert damaged == [bool(item.meta.kinds) for item in drawn]


def test_sources_with_real_damage_teach_no_state(corpus: list[store.CorpusImage]) -> None:
    entries = [replace(entry, source="casting") for entry in corpus]
    drawn = [store.CorpusDataset(replace(SMALL, procedural=0.0, damaged=1.0), entries, "train")[n] for n in range(10)]
    assert not any(item.meta.has_state or item.meta.kinds for item in drawn)


def test_words_say_the_state() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        normal, anomalous = state_pair(rng, "metal nut", ["scratch"])
        assert normal != anomalous
    damaged = {caption(rng, "metal nut", ["scratch"], None) for _ in range(200)}
    assert any("scratch" in text for text in damaged)
    assert not any(word in text for text in damaged for word in ("flawless", "intact", "undamaged"))
    assert not set(NORMAL) & set(ANOMALOUS)
    assert "as given" in {caption(rng, "nut", [], "as given") for _ in range(20)}


def test_the_vocabulary_is_the_first_part_of_that_of_clip(tmp_path: Path) -> None:
    assert gzip.decompress(first_merges(4)) == b"i n\nt h\na n\nr e\n"
    (tmp_path / "merges.txt.gz").write_bytes(first_merges(3000))
    tokenizer, whole = Tokenizer.from_merges(tmp_path / "merges.txt.gz", 32), small.tokenizer()
    assert len(tokenizer) == 512 + 3000 + 2
    first, last = len(tokenizer) - 2, len(tokenizer) - 1
    assert tokenizer.encode("a photo of the house") == [first, *whole.encode("a photo of the house")[1:-1], last]
    assert len(tokenizer.encode("xylophone")) > len(whole.encode("xylophone"))
    with pytest.raises(ConfigError, match="number of byte-pair merges"):
        first_merges(48895)


def test_padding_changes_no_feature() -> None:
    clip = small.frozen()
    ids = [clip.tokenizer.encode(text) for text in ("a nut", "a photo of a long metal nut")]
    prompts = pad(ids)
    with torch.inference_mode():
        together = clip.text(prompts.ids, prompts.ends)
        alone = torch.cat([clip.text(torch.tensor([one])) for one in ids])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_shipped_recipe_reads_and_fits_its_backbone() -> None:
    recipe = read(Path(__file__).parents[3] / "recipes" / "tiny" / "tiny.toml")
    assert 512 + recipe.merges + 2 <= get(recipe.backbone).text.vocabulary


def test_a_run_goes_on_only_with_its_own_recipe_and_corpus(
    corpus: list[store.CorpusImage], prepared: Path, tmp_path: Path
) -> None:
    out = linked(prepared, tmp_path / "run")
    loop.run(replace(SMALL, steps=2, average=(2,)), corpus, out, workers=0)
    with pytest.raises(ConfigError, match="another seed"):
        loop.run(replace(SMALL, steps=2, average=(2,), seed=9), corpus, out, workers=0)
    with pytest.raises(ConfigError, match="another corpus"):
        loop.run(replace(SMALL, steps=2, average=(2,)), corpus[1:], out, workers=0)


def test_only_named_sources_train_and_none_that_shows_unknown_damage(
    corpus: list[store.CorpusImage], tmp_path: Path
) -> None:
    sources = ("named", "not named", "casting")
    entries = [replace(entry, source=sources[number % 3]) for number, entry in enumerate(corpus)]
    recipe = replace(SMALL, procedural=0.2, images=24, validation=4, batch=4, sources=("named", "casting"))
    prepared = store.prepare(recipe, entries, "train", tmp_path / "train", workers=0)
    tokenizer = weights.load("tiny").tokenizer
    reader = FeatureReader(prepared, tokenizer, Stem(8), standard(prepared.pooled))
    usable = [prepared.meta[row].source for row in reader.usable()]
    assert {meta.source for meta in prepared.meta} == {None, "named", "casting"}
    assert set(usable) == {None, "named"}
    rows = [reader.training(recipe, step).coverage for step in range(2 * len(usable) // 4)]
    assert {len(batch) for batch in rows} == {4}
    validation = store.CorpusDataset(recipe, entries, "validation").corpus
    assert [entry.source for entry in validation] == ["named", "casting"]
    assert store.CorpusDataset(replace(recipe, sources=("casting",)), entries, "validation").corpus == validation
    with pytest.raises(ConfigError, match="needs a corpus"):
        store.CorpusDataset(replace(recipe, sources=("elsewhere",)), entries, "train")


def test_noise_and_mirrors_are_for_training_alone(corpus: list[store.CorpusImage], prepared: Path) -> None:
    kept = store.Store(prepared / "train")
    reader = FeatureReader(kept, weights.load("tiny").tokenizer, Stem(8), standard(kept.pooled))
    first, again = (reader.validating(np.arange(4)) for _ in range(2))
    torch.testing.assert_close(first.features, again.features, rtol=0, atol=0)
    torch.testing.assert_close(
        first.coverage, torch.from_numpy(np.array(kept.coverage[:4], np.float32)), rtol=0, atol=0
    )
    still = replace(SMALL, noise=0.0, jitter=0.0)
    quiet, noisy, shifted = (
        reader.training(recipe, 0).features for recipe in (still, replace(still, noise=0.5), replace(still, jitter=0.5))
    )
    assert 0.4 < float((noisy - quiet).std()) < 0.6
    assert float((shifted - quiet).mean((2, 3)).std()) > 0.4
    for one, other in zip(shifted.flatten(2), quiet.flatten(2), strict=True):
        correlations = torch.nn.functional.cosine_similarity(one - one.mean(1, True), other - other.mean(1, True))
        assert float(correlations.abs().median()) > 0.99


def test_the_stem_is_the_published_cnn_after_training_too(
    corpus: list[store.CorpusImage], prepared: Path, tmp_path: Path
) -> None:
    clip = loop.run(replace(SMALL, steps=2, average=(2,)), corpus, linked(prepared, tmp_path / "run"), workers=0)
    stem, fresh = clip.vision.patch_embedding, fill(Stem(clip.config.vision.width), Teacher())
    assert isinstance(stem, Stem)
    for name, tensor in fresh.state_dict().items():
        if name.startswith(("first", "stages")):
            torch.testing.assert_close(stem.state_dict()[name], tensor, rtol=0, atol=0)
    kept = store.Store(prepared / "train")
    middle = torch.from_numpy(np.asarray(kept.middle, np.float32))
    torch.testing.assert_close(stem.mean[40:152], middle.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"batch": 7}, "images are at least one batch"),
        ({"validation": 1}, "validation images"),
        ({"window": 16}, "within the grid"),
        ({"backbone": "ViT-B-16"}, "stem of a CNN"),
        ({"noise": -0.1}, r"noise of a recipe lies in \[0, "),
        ({"average": (2,)}, "ends with the last step"),
        ({"average": (3, 2, 4)}, "ascends from 1"),
        ({"damaged": 1.5}, "shares lie in"),
        ({"backbone": "tinny"}, "did you mean 'tiny'"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused(change: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        replace(SMALL, **change)


def test_a_recipe_that_is_all_procedural_needs_no_corpus() -> None:
    assert store.CorpusDataset(replace(SMALL, procedural=1.0), [], "train")[0].image.shape == (224, 224, 3)
    with pytest.raises(ConfigError, match="needs a corpus"):
        store.CorpusDataset(SMALL, [], "train")


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="readable TOML"):
        read(tmp_path / "none.toml")
    (tmp_path / "typo.toml").write_text("stepz = 3\n")
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        read(tmp_path / "typo.toml")
    (tmp_path / "captions.jsonl").write_text('{"file": "x.png"}\n')
    with pytest.raises(InputError, match=r"captions\.jsonl"):
        store.read_corpus(tmp_path / "captions.jsonl")
