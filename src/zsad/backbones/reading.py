"""The tensors of CLIP in a file of weights, or in shards, in whatever form they were published and wrapped."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from zsad.backbones import layouts
from zsad.documents import DocumentError, read_json_object
from zsad.errors import WeightsError
from zsad.tensors.pickles import UnreadableTensor
from zsad.tensors.reading import read_sets

INDEX = ".index.json"
"""How the file ends that says which tensor is in which shard."""
SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
PLAIN_NAME = re.compile(r"[\w-][\w.-]*\.(safetensors|bin|pt|pth)", re.ASCII)
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, or of the shards that an index names, under our names. Nothing in them is run.

    Raises:
        WeightsError: they cannot be read as the weights of one CLIP.
    """
    state = _joined(path) if path.name.endswith(INDEX) else _alone(path)
    odd = [f"{name} is {one.what}" for name, one in state.items() if type(one) is UnreadableTensor]
    if odd:
        raise WeightsError(f"{path} holds dense tensors", odd[0], "save its dense, unquantised weights")
    ours = layouts.to_ours({name: one for name, one in state.items() if isinstance(one, Tensor)})
    for name, tensor in ours.items():
        if tensor.dtype not in NUMBERS:
            remedy = "use the weights in fp32, fp16 or bf16, not a quantised copy"
            raise WeightsError(
                f"the weights of {path} are floating-point numbers", f"{tensor.dtype} for {name}", remedy
            )
    return ours


def shards(index: Path) -> dict[str, str]:
    """The file, beside the index, in which each tensor is.

    Raises:
        WeightsError: it is no index, or names what is no plain file name.
    """
    try:
        places = read_json_object(index).get("weight_map")
    except (OSError, DocumentError) as error:
        raise _no_index(index, error) from error
    if not isinstance(places, dict) or not places:
        raise _no_index(index, "no weight_map")
    for file in places.values():
        if not isinstance(file, str) or not PLAIN_NAME.fullmatch(file):
            raise _no_index(index, f"{ascii(file)[:100]}, which is no name of a file of weights beside it")
    return {str(name): str(file) for name, file in places.items()}


def _no_index(index: Path, value: object) -> WeightsError:
    return WeightsError(f"{index} must say in which file each tensor is", value, "copy it and its shards again")


def _alone(path: Path) -> Mapping[str, Tensor | UnreadableTensor]:
    """The set of tensors in a file that is a CLIP."""
    names: list[str] = []

    def is_clip(found: set[str]) -> bool:
        names.extend(sorted(found)[:3])
        return bool(layouts.roots(found))

    found = read_sets(path, is_clip)
    distinct = list(_distinct(found))
    if len(distinct) > 1:
        raise layouts.several(place or "the file itself" for place in distinct)
    if not distinct:
        raise _one_shard(path) if SHARD.search(path.name) else layouts.unknown(names, f"{path} holds ")
    return found[distinct[0]]


def _one_shard(path: Path) -> WeightsError:
    return WeightsError("weights in shards are read together", path, f"name their folder, or the {INDEX} beside them")


def _distinct(sets: Mapping[str, Mapping[str, Tensor | UnreadableTensor]]) -> Iterable[str]:
    """Places of sets that are not another one again; a checkpoint may hold the same tensors under two names."""
    known: set[tuple[tuple[str, int], ...]] = set()
    for place, names in sets.items():
        tensors = sorted((name, one.data_ptr() if isinstance(one, Tensor) else 0) for name, one in names.items())
        if tuple(tensors) not in known:
            known.add(tuple(tensors))
            yield place


def _joined(index: Path) -> dict[str, Tensor | UnreadableTensor]:
    places = shards(index)
    state: dict[str, Tensor | UnreadableTensor] = {}
    for file in sorted(set(places.values())):
        state |= _shard(index.with_name(file), {name for name, where in places.items() if where == file}, index)
    return state


def _shard(path: Path, expected: set[str], index: Path) -> Mapping[str, Tensor | UnreadableTensor]:
    if not path.is_file():
        raise WeightsError(f"all shards lie beside {index}", f"no {path.name}", "copy or download it too")
    found = read_sets(path, lambda _: True).get("", {})
    if odd := sorted(found.keys() ^ expected):
        where = "that the index places elsewhere" if odd[0] in found else "missing"
        raise WeightsError(f"{path} holds what {index.name} says", f"{odd[0]} {where}", "copy index and shards again")
    return found
