"""Prompt ensembles: wordings of the normal and the anomalous state, and templates; learned context vectors.

The counts follow WinCLIP (Jeong et al. 2023): 7 normal and 4 anomalous states in 22 templates. The code of APRIL-GAN
(Chen et al. 2023), and of those that took it over, has a fifth anomalous state and 35 templates.
``{}`` takes the class name in a state, and the state in a template.
"""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zsad.backbones.clip import Clip
from zsad.backbones.tokenizer import Tokenizer
from zsad.backbones.transformer import NO_EDITS, Edits
from zsad.config import LONGEST_NAME
from zsad.errors import ConfigError, ZsadWarning

NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS_STATES = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = tuple(
    template.format(article=article, thing="{}")
    for template in (
        "a photo of {article} {thing}.",
        "a cropped photo of {article} {thing}.",
        "a close-up photo of {article} {thing}.",
        "a bright photo of {article} {thing}.",
        "a dark photo of {article} {thing}.",
        "a blurry photo of {article} {thing}.",
        "a jpeg corrupted photo of {article} {thing}.",
        "a photo of {article} small {thing}.",
        "a photo of {article} large {thing}.",
        "a photo of {article} {thing} for visual inspection.",
        "a photo of {article} {thing} for anomaly detection.",
    )
    for article in ("a", "the")
)

APRIL_GAN_ANOMALOUS_STATES = (ANOMALOUS_STATES[0], "broken {}", *ANOMALOUS_STATES[1:])
"""Beside the seven :data:`NORMAL_STATES`, which are the same."""
_QUALITIES = "bad", "low resolution", "cropped", "bright", "dark", "close-up", "black and white", "jpeg corrupted"
APRIL_GAN_TEMPLATES = (
    *(f"a {how} photo of {which} {{}}." for how in (*_QUALITIES, "blurry", "good") for which in ("a", "the")),
    *(f"a photo of {which} {{}}." for which in ("a", "the", "my", "one")),
    *(f"a photo of {article} {which} {{}}." for which in ("cool", "large", "small") for article in ("a", "the")),
    *(f"there is {article} {{}} in the scene." for article in ("a", "the")),
    *(f"this is {article} {{}} in the scene." for article in ("a", "the", "one")),
)
"""30 of CLIP's sentences for ImageNet, and 5 of a scene."""


def compose(states: Sequence[str], templates: Sequence[str], class_name: str) -> list[str]:
    """Every state of the class in every template.

    >>> compose(["{}", "damaged {}"], ["a photo of the {}."], "metal nut")
    ['a photo of the metal nut.', 'a photo of the damaged metal nut.']
    """
    return [template.format(state.format(class_name)) for state in states for template in templates]


def april_gan_prompts(class_name: str) -> tuple[list[str], list[str]]:
    """The normal and the anomalous prompts of a class in the code of APRIL-GAN: 7 and 5 states in 35 templates."""
    normal, anomalous = (
        compose(states, APRIL_GAN_TEMPLATES, class_name) for states in (NORMAL_STATES, APRIL_GAN_ANOMALOUS_STATES)
    )
    return normal, anomalous


@lru_cache(maxsize=256)
def fit_prompts(
    tokenizer: Tokenizer, class_name: str, states: tuple[tuple[str, ...], ...], templates: int = 1, taken: int = 0
) -> tuple[tuple[str, ...], ...]:
    """The prompts of a class, none of them truncated by the tokenizer, which might cut off the state.

    Templates in which some prompt is too long are dropped; if none is left, the class name is shortened in the shortest
    template. Either gives a warning.

    Args:
        tokenizer: whose ``context`` is the limit.
        class_name: replaces ``{}``.
        states: the prompts of each state, in the order of :func:`compose`: every wording of the state in all templates.
        templates: their number.
        taken: tokens of the context used by learned vectors.

    Raises:
        ConfigError: not even a short class name fits.
    """
    room, name = tokenizer.context - taken, class_name[:LONGEST_NAME]
    lengths = [_longest(tokenizer, _of_template(states, template, templates), name) for template in range(templates)]
    kept = [template for template, length in enumerate(lengths) if length <= room]
    effect = f"it is used in {len(kept)} of {templates} templates, since the others are too long"
    if not kept:
        kept = [min(range(templates), key=lengths.__getitem__)]
        name = _cut(tokenizer, name, _of_template(states, kept[0], templates), room)
        effect = f"it is shortened to {name!r}"
    if max(lengths) > room:
        warnings.warn(
            f"The class name is too long: prompts have room for {room} tokens and would have {max(lengths)}; {effect}. "
            "Shorten it.",
            ZsadWarning,
            stacklevel=2,
        )
    return tuple(
        tuple(text.format(name) for number, text in enumerate(state) if number % templates in kept) for state in states
    )


def _of_template(states: Sequence[Sequence[str]], template: int, templates: int) -> list[str]:
    return [*chain.from_iterable(state[template::templates] for state in states)]


def _longest(tokenizer: Tokenizer, texts: Sequence[str], class_name: str) -> int:
    return max(tokenizer.count(text.format(class_name)) for text in texts)


def _cut(tokenizer: Tokenizer, class_name: str, texts: Sequence[str], room: int) -> str:
    """The longest prefix of the class name that fits, up to the end of a word if possible."""
    # The longest first: it alone is counted of nearly all prefixes that do not fit.
    by_length = sorted(texts, key=lambda text: tokenizer.count(text.format("")), reverse=True)
    for end in range(len(class_name) - 1, 0, -1):
        prefix = class_name[:end]
        if not prefix.isspace() and all(tokenizer.count(text.format(prefix)) <= room for text in by_length):
            words = prefix if class_name[end].isspace() else prefix.rpartition(" ")[0]
            return (words if words.strip() else prefix).strip()
    raise ConfigError(
        "prompts leave room for a class name", f"{room} tokens for {texts[0]!r}", "learn fewer vectors (prompt_length)"
    )


def padded_ids(clip: Clip, prompts: Sequence[str]) -> tuple[Int[Tensor, "prompts tokens"], Int[Tensor, "prompts"]]:
    """Token ids of prompts, each filled up to the longest with its end token, and the index of its end token.

    Attention of the text tower is causal, so what follows the end token has no effect on it.
    """
    ids = [clip.tokenizer.encode(prompt) for prompt in prompts]
    longest = max(map(len, ids))
    filled = [[*tokens, *[tokens[-1]] * (longest - len(tokens))] for tokens in ids]
    ends = [len(tokens) - 1 for tokens in ids]
    return torch.tensor(filled, device=clip.device), torch.tensor(ends, device=clip.device)


def embed_text(clip: Clip, text: str) -> Float[Tensor, "tokens width"]:
    """Embeddings of the tokens of a text, without start and end."""
    ids = clip.tokenizer.encode(text)[1:-1]
    return clip.text.token_embedding(torch.tensor(ids, dtype=torch.long, device=clip.device))


def insert_vectors(
    clip: Clip, before: str, vectors: Float[Tensor, "prompts length width"], after: str
) -> Float[Tensor, "prompts tokens width"]:
    """Start token, the words ``before``, learned vectors, the words ``after``, end token.

    ``clip.text(insert_vectors(...))`` is the features of the prompts: the end token is the last. Text beyond the
    context is truncated at the end of ``after``.
    """
    start, end = (clip.text.token_embedding(token)[None] for token in _ends(clip))
    first = torch.cat([start, embed_text(clip, before)])
    room = max(clip.config.text.context - len(first) - vectors.shape[1] - 1, 0)
    last = torch.cat([embed_text(clip, after)[:room], end])
    prompts = len(vectors)
    return torch.cat([first.expand(prompts, -1, -1), vectors.to(clip.dtype), last.expand(prompts, -1, -1)], dim=1)


def encode_with_context(
    clip: Clip,
    contexts: Float[Tensor, "states length width"],
    texts: Sequence[Sequence[str]],
    *,
    before: Edits = NO_EDITS,
) -> Float[Tensor, "prompts embed"]:
    """Features of prompts of a learned context and words, not normalised: those of the first state first.

    Args:
        clip: the backbone whose text tower reads the prompts.
        contexts: the vectors that precede the words of each state.
        texts: the words of each state.
        before: edits of the text tower, such as deep prompts.
    """
    prompts = [
        insert_vectors(clip, "", context[None], text)[0]
        for context, wordings in zip(contexts, texts, strict=True)
        for text in wordings
    ]
    ends = torch.tensor([len(prompt) - 1 for prompt in prompts], device=clip.device)
    # Padding follows the end tokens and has no effect.
    return clip.text(pad_sequence(prompts, batch_first=True), ends, before=before)


def _ends(clip: Clip) -> tuple[Tensor, Tensor]:
    ids = clip.tokenizer.encode("")
    return torch.tensor(ids[0], device=clip.device), torch.tensor(ids[-1], device=clip.device)
