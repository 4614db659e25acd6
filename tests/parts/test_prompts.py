"""Class names of every length: no prompt is ever cut, so that the two states never say the same."""

import warnings
from dataclasses import replace

import pytest
import torch

from tests import small
from zsad import methods
from zsad.config import check_class_name
from zsad.errors import ConfigError, ZsadWarning
from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, compose, fit_prompts

STATES = tuple(tuple(compose(states, TEMPLATES, "{}")) for states in (NORMAL_STATES, ANOMALOUS_STATES))
LONG = "machined aluminium housing with four threaded holes and a black rubber seal " * 8
HERE = [name for name in methods.built_in() if methods.get(name).uses_class_names]


def test_a_class_name_that_fits_is_said_in_every_template_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        normal, anomalous = fit_prompts(small.tokenizer(), "metal nut", STATES, len(TEMPLATES))
    assert (len(normal), len(anomalous)) == (7 * 22, 4 * 22)  # WinCLIP, Jeong et al. 2023
    assert list(anomalous) == compose(ANOMALOUS_STATES, TEMPLATES, "metal nut")


def test_templates_go_before_the_class_name_does() -> None:
    name = "bolt " * 65  # start and end are two more, "a photo of a damaged ." six
    with pytest.warns(ZsadWarning, match=r"room for 77 tokens and would have 80; it is used in \d+ of 22 templates"):
        normal, anomalous = fit_prompts(small.tokenizer(), name.strip(), STATES, len(TEMPLATES))
    ways = len(anomalous) // len(ANOMALOUS_STATES)
    assert 0 < ways < len(TEMPLATES)
    assert len(normal) == ways * len(NORMAL_STATES)
    assert all(name.strip() in prompt for prompt in (*normal, *anomalous))
    assert "a photo of a damaged " + name.strip() + "." in anomalous


@pytest.mark.parametrize("name", [LONG, "变速箱铝合金外壳" * 12, "x" * 999, "nut " * 250_000])
def test_no_prompt_is_cut_and_no_two_states_say_the_same(name: str) -> None:
    tokenizer = small.tokenizer()
    with pytest.warns(ZsadWarning, match="it is shortened to"):
        states = fit_prompts(tokenizer, name, STATES, len(TEMPLATES))
    assert all(tokenizer.count(prompt) <= 77 for state in states for prompt in state)
    normal, anomalous = ({tuple(tokenizer.encode(prompt)) for prompt in state} for state in states)
    assert not normal & anomalous
    assert all(any(word in prompt for word in ("damage", "flaw", "defect")) for prompt in states[1])


def test_a_class_name_is_cut_at_the_end_of_a_word() -> None:
    with pytest.warns(ZsadWarning, match=r"shortened to '[^']*' ?\. Shorten it\."):
        (only,), _ = fit_prompts(small.tokenizer(), LONG, (("{}",), ("damaged {}",)))
    assert LONG.startswith(only + " ")


def test_learned_vectors_take_room() -> None:
    name = "bolt " * 50 + "bolt"
    assert fit_prompts(small.tokenizer(), name, (("{}",), ("bad {}",)), taken=12)[1] == (f"bad {name}",)
    with pytest.warns(ZsadWarning, match="room for 40 tokens"):
        _, (text,) = fit_prompts(small.tokenizer(), name, (("{}",), ("bad {}",)), taken=37)
    assert small.tokenizer().count(text) == 40
    with pytest.raises(ConfigError, match="leave room for a class name"):
        fit_prompts(small.tokenizer(), name, (("{}",), ("bad {}",)), taken=76)


@pytest.mark.parametrize(
    "name", ["", "  ", "\t\n", "nut\n", "a\x1b[31mb", "nul\0", "\udcff", "nut " * 250_000, None, 3, ["nut"]]
)
def test_what_is_no_class_name_is_refused_in_one_line(name: object) -> None:
    with pytest.raises(ConfigError, match="a class name says in a few words what the images show") as caught:
        check_class_name(name)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HERE)
def test_every_method_that_reads_class_names_says_that_one_is_too_long(name: str) -> None:
    method = small.ready(methods.get(name)(small.frozen()).eval())
    with pytest.warns(ZsadWarning, match="The class name is too long"), torch.inference_mode():
        evidence = method(small.images(1), [f"{name} {LONG}"])
    assert evidence.score.isfinite().all()


@pytest.mark.parametrize("name", HERE)
def test_a_cut_class_name_keeps_its_states_apart(name: str) -> None:
    """On a context of 32 tokens, as that of tiny, with a name of far more."""
    config = replace(small.CONFIG, text=replace(small.CONFIG.text, context=32))
    clip = small.frozen(config)
    clip.tokenizer = small.Tokenizer(small.tokenizer().backend, 32)
    method = small.ready(methods.get(name)(clip).eval())
    said: list[str] = []
    encode = clip.tokenizer.encode
    clip.tokenizer.encode = lambda text: said.append(text) or encode(text)  # type: ignore[assignment,func-returns-value]
    with pytest.warns(ZsadWarning), torch.inference_mode():
        method(small.images(1), [f"{name} {LONG}"])
    texts = [text for text in said if name in text]
    assert len({tuple(encode(text)) for text in texts}) == len(set(texts)) >= 2
