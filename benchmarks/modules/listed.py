"""The modules of each trained method, and what stands in the place of each when it is taken out.

Sections, equations and tables are those of the method's paper. A detector has the modules that its options give it.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.modules.edits import Module, at, constant, empty, option, rescored, skip, zero
from zsad.errors import ConfigError
from zsad.methods._base import Method
from zsad.methods.acd_clip.method import AcdClip
from zsad.methods.afr_clip.method import AfrClip
from zsad.methods.fe_clip.method import FeClip
from zsad.methods.kanoclip.method import KanoClip, KanoClipEvidence, combine
from zsad.methods.wmoe_clip.method import WMoEClip, WMoEClipEvidence

ALWAYS = 1e4
"""A logit whose sigmoid is 1 to the bit, and 0 with the other sign."""


def modules_of(method: Method) -> list[Module[Any]]:
    """The modules of a detector's method, in the order of its paper.

    Raises:
        ConfigError: nobody has said what the modules of this method are.
    """
    known: dict[type[Method], Callable[[Any], list[Module[Any]]]] = {
        FeClip: fe_clip,
        AcdClip: acd_clip,
        KanoClip: kanoclip,
        WMoEClip: wmoe_clip,
        AfrClip: afr_clip,
    }
    if type(method) not in known:
        names = ", ".join(kind.__name__ for kind in known)
        raise ConfigError("a detector is of a method whose modules are listed", type(method).__name__, f"take {names}")
    return known[type(method)](method)


def fe_clip(method: FeClip) -> list[Module[FeClip]]:
    """FE-CLIP: adapters and f_c."""
    config = method.config
    names = {"both": ["FFE", "LFS"], "ffe": ["FFE"], "lfs": ["LFS"], "conv": ["Conv"]}[config.adapters]
    found: list[Module[FeClip]] = []
    if method.stages:
        found.append(Module("injection (eq. 2)", "f^ = f^m", at("stages.*", skip)))
        for number, name in enumerate(names):
            found += _adapter(name, f"stages.*.adapters.{number}", is_dct=config.transform == "dct")
    for number in range(len(method.stages)):
        found.append(Module(f"injection after stage {number + 1}", "f^ = f^m", at(f"stages.{number}", skip)))
    stages = range(len(method.levels))
    found.append(Module("f_c (3.2)", "f_clip", partial(_f_clip, stages=stages)))
    return found + [Module(f"f_c at stage {one + 1}", "f_clip", partial(_f_clip, stages=[one])) for one in stages]


def _adapter(name: str, path: str, *, is_dct: bool) -> list[Module[FeClip]]:
    """An adapter, and what makes it one of frequencies."""
    found: list[Module[FeClip]] = [Module(f"{name} (eq. 2)", "0", at(path, zero))]
    if name == "FFE" and is_dct:
        found.append(Module("DCT and inverse of FFE (3.3)", "identity", at(path, _untransformed)))
    if name == "LFS":
        found.append(Module("statistic of LFS (3.4)", "the token itself", at(f"{path}.0", skip)))
    return found


def _untransformed(adapter: Any) -> None:
    adapter.matrix = torch.eye(adapter.matrix.shape[-1]).to(adapter.matrix)[None]


def _f_clip(method: FeClip, stages: Iterable[int]) -> None:
    """The tower's own post-norm and projection in the place of f_c, of which one may serve all stages."""
    count = len(method.levels)
    method.align = nn.ModuleList(deepcopy(method.align[stage % len(method.align)]) for stage in range(count))
    for stage in stages:
        method.align[stage].register_forward_hook(lambda _, inputs, output: method.clip.vision.project(inputs[0]))


def acd_clip(method: AcdClip) -> list[Module[AcdClip]]:
    """ACD-CLIP: adapters of both towers, gateway, the two halves of the score."""
    config, groups = method.config, range(method.config.groups)
    kind = "Conv-LoRA" if config.adapter == "conv-lora" else "LoRA"
    found: list[Module[AcdClip]] = [Module(f"vision {kind} (eq. 1)", "identity", at("vision_groups.*.adapter", skip))]
    for one in groups:
        name = f"vision {kind} of group {one + 1}"
        found.append(Module(name, "identity", at(f"vision_groups.{one}.adapter", skip)))
    if config.adapter == "conv-lora":
        update = "vision_groups.*.adapter.update"
        for number, side in enumerate(config.kernels):
            found.append(Module(f"{side}×{side} branch (eq. 2, 3)", "0", at(f"{update}.conv_up.{number}", empty)))
        alone = at(f"{update}.conv_*.*", _middle_alone)
        found.append(Module("neighbours in all branches (eq. 2, 3)", "middle taps alone", alone))
    found.append(Module("text LoRA (2.1)", "identity", at("text_groups.*.adapter", skip)))
    for one in groups:
        found.append(Module(f"text LoRA of group {one + 1}", "identity", at(f"text_groups.{one}.adapter", skip)))
    if config.fusion == "gateway":
        gates = "vision_groups.*.gateway.gates.*"
        found.append(Module("gateway (eq. 4, 5)", "equal weights", at(f"{gates}.2", empty)))
        found.append(Module("context of the gateway (eq. 4)", "0", at(f"{gates}.0.weight", empty)))
    return [
        *found,
        Module("maximum of the map in the score (2.3)", "share 0", option(map_weight=0.0)),
        Module("whole image in the score (2.3)", "share 0", option(map_weight=1.0)),
    ]


def _middle_alone(convolution: nn.Conv2d) -> None:
    middle = convolution.kernel_size[0] // 2
    tap = convolution.weight[:, :, middle, middle].clone()
    convolution.weight.zero_()[:, :, middle, middle] = tap


def kanoclip(method: KanoClip) -> list[Module[KanoClip]]:
    """KAnoCLIP: KnPL, CLIP-VV, Bi-CMCI and its parts, Conv-Adapter, the two halves of the score."""
    config = method.config
    found: list[Module[KanoClip]] = []
    if config.learned_prompts:
        found.append(Module("learned vectors (eq. 1)", "none: the fixed words alone", at("prompts", _words_alone)))
    if config.vv_attention:
        original = option(vv_attention=False, global_token="original")
        found.append(Module("V-V attention (eq. 7, 8)", "original blocks", original))
        if config.global_token == "original":
            judged = "class token of the original path"
            found.append(Module(judged, "that of the V-V stream (2.3)", option(global_token="vv")))
    if config.fusion != "none":
        name = "Bi-CMCI" if config.fusion == "bi_cmci" else "linear projections"
        found.append(Module(f"{name} (2.4)", "CLIP's projection", option(fusion="none")))
    if config.fusion == "bi_cmci":
        found += _parts_of_bi_cmci()
    if config.conv_adapter:
        found.append(Module("Conv-Adapter (eq. 11)", "identity", at("adapter", skip)))
        if config.adapter_residual:
            found.append(Module("residual of the Conv-Adapter", "0", at("adapter", _without_residual)))
    return [
        *found,
        Module("class token in the score (eq. 12)", "max M alone", rescored(_max_m)),
        Module("max M in the score (eq. 12)", "class token alone", rescored(lambda m, e: 2 * e.score - _max_m(m, e))),
    ]


def _parts_of_bi_cmci() -> list[Module[KanoClip]]:
    """Each branch, its residual scale at 0; and the offsets of the deformable attention."""
    scales = {
        "self-attention of texts": "states_themselves.scale",
        "deformable self-attention of patches": "patches_themselves.scale",
        "text-to-visual (patches attend to texts)": "each_other.scale_visual",
        "visual-to-text (texts attend to patches)": "each_other.scale_text",
        "MLPs of patches": "patches_mlp.scale",
        "MLPs of texts": "states_mlp.scale",
        "all six branches": "*.scale*",
    }
    found: list[Module[KanoClip]] = [
        Module(f"Bi-CMCI: {name}", "residual 0", at(f"stages.*.{path}", empty)) for name, path in scales.items()
    ]
    shifts = at("stages.*.patches_themselves.branch.shift", empty)
    return [*found, Module("Bi-CMCI: offsets of the samples", "0", shifts)]


def _words_alone(prompts: Any) -> None:
    prompts.prefixes = nn.Parameter(prompts.prefixes[:, :0].detach().clone())


def _without_residual(adapter: Any) -> None:
    adapter.residual = 0.0


def _max_m(method: KanoClip, evidence: KanoClipEvidence) -> Tensor:
    rows, cols = (side * method.clip.vision.patch_size for side in evidence.localised.shape[1:])
    return combine(1 - evidence.localised, evidence.localised, (rows, cols), method.config).amax((1, 2))


def wmoe_clip(method: WMoEClip) -> list[Module[WMoEClip]]:
    """WMoE-CLIP: CTDS, WCMA and SA-MoE, what each is made of, the two halves of the score."""
    config = method.config
    place = "0, and r_i as long as they" if config.distribution_sampling and config.sample == "scaled" else "0"
    found: list[Module[WMoEClip]] = [Module("learned vectors v_i (eq. 4)", place, at("prompts.vectors", empty))]
    if config.distribution_sampling:
        found += [
            Module("CTDS: r_i (eq. 4)", "0: v_i alone", partial(_left_out, name="sampling")),
            Module("CTDS: image in r_i (eq. 1)", "mean of the prior", at("sampling.autoencoder.mean", zero)),
        ]
    if config.wavelet_attention:
        found += [
            Module("WCMA: F'_T (eq. 7)", "F_T", option(wavelet_attention=False)),
            Module("WCMA: F_H (eq. 6)", "0: F_p = F_L", at("refinements.*", partial(_weigh_bands, logit=-ALWAYS))),
            Module("WCMA: W_h (eq. 5)", "1: F_p = F_L + F_H", at("refinements.*", partial(_weigh_bands, logit=ALWAYS))),
        ]
    if config.semantic_experts:
        found += [
            Module("SA-MoE: x_p (eq. 8)", "0: x_cls = x_c", partial(_left_out, name="aggregation")),
            Module("SA-MoE: routing (eq. 8)", "all experts alike", at("aggregation.experts", _all_alike)),
        ]
    return [
        *found,
        Module("s_txt in the score (2.3)", "max M alone", rescored(lambda _, e: _highest(e))),
        Module("max M in the score (2.3)", "s_txt alone", rescored(lambda _, e: 2 * e.score - _highest(e))),
    ]


def _left_out(method: Method, name: str) -> None:
    setattr(method, name, None)


def _weigh_bands(refinement: Any, logit: float) -> None:
    constant(refinement.channels, logit)
    empty(refinement.cells)


def _all_alike(experts: Any) -> None:
    empty(experts.gate)
    experts.active = len(experts.outer)


def _highest(evidence: WMoEClipEvidence) -> Tensor:
    return evidence.maps.mean(1).amax((1, 2))


def afr_clip(method: AfrClip) -> list[Module[AfrClip]]:
    """AFR-CLIP: CMFR, the text's linear layer, MPFA, SP, and the four stages."""
    config, count = method.config, len(method.config.levels)
    found: list[Module[AfrClip]] = []
    if config.rectify:
        found += [
            Module("CMFR (eq. 3-6)", "F_v itself", _without_rectification),
            Module("CMFR: M_v (eq. 3-5)", "1", at("rectifiers.*.last", partial(constant, value=1.0))),
            Module("CMFR: stateless text in eq. 6", "0", at("rectifiers.*", _without_text)),
        ]
    found.append(Module("linear layer of texts (eq. 2)", "identity", at("textual", skip)))
    if config.neighbourhood > 1:
        found.append(Module("MPFA (eq. 19-21)", "each patch alone", option(neighbourhood=1)))
    if config.self_prompting:
        found.append(Module("SP (eq. 15-18)", "no prompts", partial(_left_out, name="prompts")))
    if config.self_prompting and config.learned_prompts and method.cnn is not None:
        found += [
            Module("SP: P_v, of the CNN (eq. 15)", "P_l alone", at("prompts", partial(_left_out, name="heads"))),
            Module("SP: P_l, learned (eq. 16)", "P_v alone", at("prompts", partial(_left_out, name="learned"))),
        ]
    for one in range(count if count > 1 else 0):
        found.append(Module(f"stage {one + 1}", "mean of the others", partial(_without_stage, stage=one)))
    return found


def _without_rectification(method: AfrClip) -> None:
    method.rectifiers = nn.ModuleList()


def _without_text(rectification: nn.Module) -> None:
    rectification.register_forward_hook(lambda _, inputs, output: output - inputs[1][:, None])


def _without_stage(method: AfrClip, stage: int) -> None:
    others = [one for one in range(len(method.config.levels)) if one != stage]
    method.visual = nn.ModuleList(method.visual[one] for one in others)
    if len(method.rectifiers) > 1:
        method.rectifiers = nn.ModuleList(method.rectifiers[one] for one in others)
    option(levels=tuple(method.config.levels[one] for one in others))(method)
