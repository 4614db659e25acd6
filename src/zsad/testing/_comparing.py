"""What promises are checked with: a run, a step of training, and comparisons whose failure says what was found."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zsad.config import from_mapping
from zsad.errors import ConfigError
from zsad.methods import (
    Config,
    Evidence,
    Method,
    Target,
    TransductiveMethod,
)
from zsad.testing._clip import SIZE, images
from zsad.testing._folders import answers_alone, folder_evidence
from zsad.types import Size

CLASSES = ("metal nut", "carpet", "metal nut", "transistor")


@torch.inference_mode()
def run(method: Method, batch: int = 3, size: Size = (SIZE, SIZE), class_names: Sequence[str] = CLASSES) -> Evidence:
    """What the method says of so many images; as a folder, of the first class, where it scores them by one another."""
    pixels = images(batch, *size).to(method.clip.dtype)
    if isinstance(method, TransductiveMethod) and method.scores_folder(batch):
        return folder_evidence(method, pixels, class_names[0])
    if isinstance(method, TransductiveMethod) and not answers_alone(method):
        return folder_evidence(method, images(max(batch, 2), *size).to(method.clip.dtype), class_names[0])
    evidence = method(pixels, class_names[:batch])
    require(isinstance(evidence, Evidence), f"forward returns {type(evidence).__name__}, not zsad.methods.Evidence")
    return evidence


def target(batch: int) -> Target:
    """The first half normal; of the others a corner is anomalous."""
    labels = (torch.arange(batch) >= batch / 2).float()
    masks = torch.zeros(batch, SIZE, SIZE)
    masks[labels == 1, : SIZE // 2, : SIZE // 2] = 1
    described = tuple((f"a broken {name}", f"a {name} with a hole") for name in CLASSES[:batch])
    return Target(labels, masks, described)


def stir(method: Method) -> None:
    """Move every trained parameter off its start, where zeros may block a gradient."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_unchanged(module: torch.nn.Module, before: dict[str, Tensor]) -> None:
    after = module.state_dict()
    require(after.keys() == before.keys(), f"tensors that came or went: {sorted(after.keys() ^ before.keys())[:3]}")
    changed = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    require(not changed, f"changed tensors: {changed[:3]}")


def assert_same(ours: Evidence, theirs: Evidence, rtol: float = 0, atol: float = 0) -> None:
    for name, mine, other in (("maps", ours.maps, theirs.maps), ("scores", ours.score, theirs.score)):
        require(mine.shape == other.shape, f"{name} of shape {tuple(mine.shape)} and {tuple(other.shape)}")
        same = torch.allclose(mine, other, rtol=rtol, atol=atol)
        require(same, f"{name} that differ by {distance(mine, other):.3g}")


def distance(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


def evidence_of(evidence: Evidence, number: int) -> Evidence:
    return Evidence(evidence.maps[number : number + 1], evidence.score[number : number + 1])


def total(terms: dict[str, Tensor]) -> Tensor:
    return sum(terms.values(), torch.zeros(()))


def refuses(kind: type[Config], name: str, value: float) -> None:
    try:
        from_mapping(kind, {name: value}, "the options")
    except ConfigError:
        return
    raise AssertionError(f"{kind.__name__}({name}={value}) was taken")


def require(kept: object, found: str) -> None:
    """As ``assert``, also where Python runs with ``-O``."""
    if not kept:
        raise AssertionError(found)
