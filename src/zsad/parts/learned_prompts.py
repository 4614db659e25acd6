"""Prompts that are partly words and partly learned vectors, as embeddings for the text tower."""

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip


def words(clip: Clip, text: str) -> Float[Tensor, "tokens width"]:
    """Embeddings of the tokens of a text, without start and end."""
    ids = clip.tokenizer.encode(text)[1:-1]
    return clip.text.token_embedding(torch.tensor(ids, dtype=torch.long, device=clip.device))


def splice(
    clip: Clip, before: str, vectors: Float[Tensor, "prompts length width"], after: str
) -> Float[Tensor, "prompts tokens width"]:
    """Start token, the words ``before``, learned vectors, the words ``after``, end token.

    ``clip.text(splice(...))`` is the prompts' features: the end token is the last. Words beyond the context are cut off
    at the end of ``after``.
    """
    start, end = (clip.text.token_embedding(token)[None] for token in _ends(clip))
    first = torch.cat([start, words(clip, before)])
    room = max(clip.config.text.context - len(first) - vectors.shape[1] - 1, 0)
    last = torch.cat([words(clip, after)[:room], end])
    prompts = len(vectors)
    return torch.cat([first.expand(prompts, -1, -1), vectors.to(clip.dtype), last.expand(prompts, -1, -1)], dim=1)


def _ends(clip: Clip) -> tuple[Tensor, Tensor]:
    ids = clip.tokenizer.encode("")
    return torch.tensor(ids[0], device=clip.device), torch.tensor(ids[-1], device=clip.device)
