"""Prompts of PromptAD: learnt normal ones, and anomalous ones made of them by words and by learnt vectors.

normal   [P1] ... [Pn] thing.
manual   [P1] ... [Pn] damaged thing.            semantic concatenation (section 4.1), for each wording
learned  [P1] ... [Pn] [A1] ... [Am] thing.      the code; in the paper the suffix [A1] ... [Am] is behind the thing
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from zsad.backbones.clip import Clip
from zsad.parts.prompts import embed_text, fit_prompts

DEVIATION = 0.02
"""Of the initial vectors (code)."""


@dataclass(frozen=True)
class PromptCounts:
    """Numbers of prompts and of learnt vectors in each, and where the learnt suffix stands."""

    normal: int
    anomalous: int
    normal_vectors: int
    anomalous_vectors: int
    is_suffix_last: bool


@dataclass(frozen=True)
class PromptFeatures:
    """Features of the prompts in the joint space, not normalised."""

    normal: Float[Tensor, "normal embed"]
    manual: Float[Tensor, "manual embed"]
    learned: Float[Tensor, "learned embed"]

    @property
    def anomalous(self) -> Float[Tensor, "anomalous embed"]:
        """The manual and the learnt ones."""
        return torch.cat([self.manual, self.learned])


class StatePrompts(nn.Module):
    """The vectors that are learnt for one class.

    Args:
        clip: whose text tower reads the prompts; it is not a part of this module.
        class_name: what the images show.
        wordings: anomalous ones, with ``{}`` for the class name.
        counts: of prompts and vectors.
        generator: of the initial vectors.
    """

    def __init__(
        self, clip: Clip, class_name: str, wordings: Sequence[str], counts: PromptCounts, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.counts, width = counts, clip.config.text.width
        shapes = ((counts.normal, counts.normal_vectors, width), (counts.anomalous, counts.anomalous_vectors, width))
        self.normal, self.anomalous = (
            nn.Parameter(DEVIATION * torch.randn(shape, generator=generator).to(clip.device)) for shape in shapes
        )
        taken = counts.normal_vectors + counts.anomalous_vectors
        states = (("{}.",), tuple(f"{wording}." for wording in wordings))
        (thing,), manual = fit_prompts(clip.tokenizer, class_name, states, taken=taken)
        with torch.no_grad():
            self.thing = embed_text(clip, thing)
            self.manual = [embed_text(clip, text) for text in manual]
            self.ends = tuple(clip.text.token_embedding(torch.tensor([i], device=clip.device)) for i in _ends(clip))

    def forward(self, clip: Clip) -> PromptFeatures:
        """Features of all prompts, in one pass through the text tower."""
        first = [[vectors, self.thing] for vectors in self.normal]
        second = [[vectors, words] for words in self.manual for vectors in self.normal]
        third = [self._learned(vectors, suffix) for suffix in self.anomalous for vectors in self.normal]
        features = self._encode(clip, [*first, *second, *third])
        return PromptFeatures(*features.split([len(first), len(second), len(third)]))

    def _learned(self, vectors: Tensor, suffix: Tensor) -> list[Tensor]:
        return [vectors, self.thing, suffix] if self.counts.is_suffix_last else [vectors, suffix, self.thing]

    def _encode(self, clip: Clip, prompts: Sequence[Sequence[Tensor]]) -> Float[Tensor, "prompts embed"]:
        start, end = self.ends
        tokens = [torch.cat([start, *parts, end]) for parts in prompts]
        last = torch.tensor([len(each) - 1 for each in tokens], device=clip.device)
        # Padding follows the end tokens and has no effect.
        return clip.text(pad_sequence(tokens, batch_first=True), last)


def _ends(clip: Clip) -> tuple[int, int]:
    ids = clip.tokenizer.encode("")
    return ids[0], ids[-1]
