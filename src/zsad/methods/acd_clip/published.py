"""The authors' checkpoints of ACD-CLIP: names and shapes that their training saves (commit 2026067, ``train.py``).

    {"epoch", "text_adapter": 5 tensors a group, "image_adapter": 26 tensors a group for two kernels}

Factors of their updates (α/√r, α/r) are not applied here: an update is scaled to the norm of its token afterwards.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from zsad.errors import ImportRefused
from zsad.methods._published import PublishedDetector, checked, numbered, size, tensor_set

Entry = tuple[str, str, tuple[int, ...]]
"""Name in the checkpoint, name here, shape."""
STATES = 2
IMAGE_SIZE = 518


def read(state: Mapping[str, Any]) -> PublishedDetector:
    """The detector of a checkpoint.

    Raises:
        ImportRefused: names or shapes are not those of the authors' code.
    """
    text, image = tensor_set(state, "text_adapter"), tensor_set(state, "image_adapter")
    groups = numbered(image, "m_i_w.{}.i_w")
    if groups < 2 or numbered(text, "m_t_w.{}.i_w") != groups:
        value = f"{numbered(text, 'm_t_w.{}.i_w')} of the text and {groups} of the image"
        raise ImportRefused(
            "a checkpoint of ACD-CLIP has as many groups in both towers, at least 2", value, "name another file"
        )
    shapes = _Shapes(text, image, groups)
    tensors: dict[str, Tensor] = {}
    for found, entries in ((text, [*shapes.of_text()]), (image, [*shapes.of_images()])):
        read_ones = checked(found, {theirs: shape for theirs, _, shape in entries})
        tensors |= {ours: read_ones[theirs] for theirs, ours, _ in entries}
    return PublishedDetector(shapes.options, tensors, "ViT-L-14-336", IMAGE_SIZE, "gelu")


class _Shapes:
    """Sizes that a checkpoint implies, and what all of its tensors then must be."""

    def __init__(self, text: Mapping[str, Tensor], image: Mapping[str, Tensor], groups: int) -> None:
        block = "lora_adapters.0.conv_lora_blocks.{}."
        self.groups = groups
        self.width, self.joint = size(image, "m_i_w.0.i_w", -1), size(text, "m_t_w.0.i_w", -1)
        self.rank = size(image, f"{block.format(0)}lora_A", -1)
        self.conv_rank = size(image, f"{block.format(0)}conv_lora_A.weight", 0)
        self.hidden = size(image, "seg_proj.0.fc.0.weight", 0)
        branches = numbered(image, f"{block}lora_A")
        self.kernels = tuple(size(image, f"{block.format(branch)}conv_lora_A.weight", -1) for branch in range(branches))
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ImportRefused("the kernels of ACD-CLIP have odd sides", self.kernels, "name another file")

    @property
    def options(self) -> dict[str, Any]:
        """Fields of the configuration."""
        return {
            "variant": "code",
            "groups": self.groups,
            "kernels": list(self.kernels),
            "rank": self.rank,
            "conv_rank": self.conv_rank,
            "hidden": self.hidden,
        }

    def of_text(self) -> Iterator[Entry]:
        """The tensors of the text groups."""
        for group in range(self.groups):
            ours, joint = f"text_groups.{group}.", self.joint
            yield f"m_t_w.{group}.i_w", f"{ours}adapter.blend", (1, 1, joint)
            yield f"lora_adapters.{group}.lora_A", f"{ours}adapter.update.down", (joint, self.rank)
            yield f"lora_adapters.{group}.lora_B", f"{ours}adapter.update.up", (self.rank, joint)
            yield from _pair(f"layer_norms.{group}.", f"{ours}norm.", (joint,))

    def of_images(self) -> Iterator[Entry]:
        """The tensors of the vision groups."""
        for group in range(self.groups):
            ours = f"vision_groups.{group}."
            yield f"m_i_w.{group}.i_w", f"{ours}adapter.blend", (1, 1, self.width)
            yield from self._adapter(f"lora_adapters.{group}.", f"{ours}adapter.update.")
            for theirs, head in (("seg", "segment"), ("det", "detect")):
                yield from _linear(f"{theirs}_proj.{group}.fc.0.", f"{ours}{head}.layers.0.", self.hidden, self.width)
                yield from _linear(f"{theirs}_proj.{group}.fc.2.", f"{ours}{head}.layers.2.", self.joint, self.hidden)
                yield from _pair(f"{theirs}_layer_norms.{group}.", f"{ours}{head}.norm.", (self.joint,))
            gate, gates = f"vision_text_gate.{group}.", f"{ours}gateway.gates.0."
            yield from _linear(f"{gate}0.", f"{gates}0.", self.hidden, self.joint)
            yield from _linear(f"{gate}2.", f"{gates}2.", self.groups * STATES, self.hidden)

    def _adapter(self, theirs: str, ours: str) -> Iterator[Entry]:
        """A Conv-LoRA."""
        for branch, kernel in enumerate(self.kernels):
            block, low, high = f"{theirs}conv_lora_blocks.{branch}.", self.conv_rank, self.rank
            yield f"{block}lora_A", f"{ours}down.{branch}", (self.width, high)
            yield f"{block}lora_B", f"{ours}up.{branch}", (high, self.width)
            yield f"{block}conv_lora_A.weight", f"{ours}conv_down.{branch}.weight", (low, high, kernel, kernel)
            yield f"{block}conv_lora_B.weight", f"{ours}conv_up.{branch}.weight", (high, low, kernel, kernel)
        joined = (self.width, len(self.kernels) * self.width, 1, 1)
        yield f"{theirs}fusion_conv.weight", f"{ours}fusion.weight", joined


def _pair(theirs: str, ours: str, shape: tuple[int, ...]) -> Iterator[Entry]:
    for kind in ("weight", "bias"):
        yield f"{theirs}{kind}", f"{ours}{kind}", shape


def _linear(theirs: str, ours: str, out: int, width: int) -> Iterator[Entry]:
    yield f"{theirs}weight", f"{ours}weight", (out, width)
    yield f"{theirs}bias", f"{ours}bias", (out,)
