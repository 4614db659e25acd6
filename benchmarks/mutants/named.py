"""Faults that somebody thought of: each once passed all tests, alone or with nine others."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.mutants.operators import Fault

SOURCE = "src/zsad"


@dataclass(frozen=True)
class Named:
    """A fault in words.

    Attributes:
        what: is wrong.
        path: of the file, below the package, or below the repository where it begins with ``recipes``.
        old, new: what stands there, once, and what stands there instead.
        also: what is wrong beside it, at the same time.
    """

    what: str
    path: str
    old: str
    new: str
    also: tuple["Named", ...] = ()

    def at(self, root: Path) -> Fault:
        """The place in the code as it is.

        Raises:
            LookupError: what is replaced does not stand there exactly once: the fault has to be written anew.
        """
        path = self.path if self.path.startswith("recipes") else f"{SOURCE}/{self.path}"
        text = (root / path).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise LookupError(f"{self.what}: {self.old!r} stands {text.count(self.old)} times in {path}")
        start = text.index(self.old)
        return Fault(path, start, start + len(self.old), self.new, self.what, tuple(one.at(root) for one in self.also))


LOOP, FORWARD = "trainer/loop.py", "trainer/batch_loss.py"
ACD_CLIP = "methods/acd_clip/method.py"
KANOCLIP = "methods/kanoclip/method.py"
WMOE_CLIP = "methods/wmoe_clip/method.py"
FE_CLIP = "methods/fe_clip/method.py"
AFR_CLIP = "methods/afr_clip/method.py"
TRAINER = (
    Named(
        "no shuffling",
        LOOP,
        "torch.randperm(len(self.images), generator=torch.Generator().manual_seed(mixed(self.seed, epoch)))",
        "torch.arange(len(self.images))",
    ),
    Named("schedule ignored", LOOP, 'group["first"] * self.training.rate(epoch, step)', 'group["first"]'),
    Named("weight decay dropped", LOOP, "weight_decay=self.training.weight_decay", "weight_decay=0.0"),
    Named("betas dropped", LOOP, "betas=self.training.betas, ", ""),
    Named("pixels not divided by std", FORWARD, "((pixels - mean) / std)", "(pixels - mean)"),
    Named("augmented masks not used", FORWARD, "            masks = batch.masks\n", ""),
    Named(
        "every class is called object",
        FORWARD,
        "[in_words(self.images.samples[index].class_name) for index in batch.indices]",
        '["object" for _ in batch.indices]',
    ),
    Named("bf16 is fp32", FORWARD, 'self.runtime.precision == "bf16"', "False"),
    Named(
        "label from mask",
        FORWARD,
        "Target(batch.labels.to(device), ",
        "Target(masks.amax((1, 2)).to(device), ",
    ),
    Named(
        "clipping per parameter",
        LOOP,
        "torch.nn.utils.clip_grad_norm_(matching, bound)",
        "[torch.nn.utils.clip_grad_norm_([parameter], bound) for parameter in matching]",
    ),
    Named(
        "the last batch dropped",
        LOOP,
        "order.split(batch_size)",
        "order.split(batch_size)[:-1]",
    ),
    Named(
        "the same augmentation every epoch",
        FORWARD,
        "mask, mixed(self.seed, epoch, index)",
        "mask, mixed(self.seed, index)",
    ),
    Named(
        "the same normal images beside an image every epoch",
        FORWARD,
        "beside(index, mixed(self.seed, epoch, index))",
        "beside(index, mixed(self.seed, index))",
    ),
    Named(
        "initial parameters without a seed",
        "trainer/training.py",
        "torch.default_generator.manual_seed(seed)",
        "torch.default_generator.seed()",
    ),
    Named(
        "median over the classes", "statistics/intervals.py", "np.mean([results[number]", "np.median([results[number]"
    ),
)
CONSTANTS = (
    Named("FE-CLIP: another learning rate", FE_CLIP, "learning_rate=5e-4", "learning_rate=1e-3"),
    Named("FE-CLIP: more epochs", FE_CLIP, "epochs=9", "epochs=15"),
    Named("FE-CLIP: another batch", FE_CLIP, "batch_size=16", "batch_size=8"),
    Named(
        "FE-CLIP: another prompt",
        FE_CLIP,
        "A photo of a damaged object",
        "A photo of a defective object",
    ),
    Named("ACD-CLIP: another τ", ACD_CLIP, "temperature: float = 0.1", "temperature: float = 0.07"),
    Named("ACD-CLIP: another blend", ACD_CLIP, "blend: float = 0.2", "blend: float = 0.1"),
    Named("ACD-CLIP: another α", ACD_CLIP, "alpha: float = 2.0", "alpha: float = 1.0"),
    Named("ACD-CLIP: no augmentation", ACD_CLIP, "augment=True", "augment=False"),
    Named(
        "AFR-CLIP: normal and defective swapped",
        AFR_CLIP,
        '"A photo of a normal {}", "A photo of a defective {}"',
        '"A photo of a defective {}", "A photo of a normal {}"',
    ),
    Named(
        "AFR-CLIP: the loss of each stage's map",
        AFR_CLIP,
        '"stages"] = "mean"',
        '"stages"] = "stages"',
    ),
    Named("AFR-CLIP: more epochs", AFR_CLIP, "epochs=100", "epochs=50"),
    Named("WMoE-CLIP: another learning rate", WMOE_CLIP, "learning_rate=2e-4", "learning_rate=1e-3"),
    Named(
        "WMoE-CLIP: normal and anomalous swapped",
        WMOE_CLIP,
        '"a photo of a good", "a photo of a damaged"',
        '"a photo of a damaged", "a photo of a good"',
    ),
    Named("KAnoCLIP: PyTorch's betas", KANOCLIP, "betas=(0.5, 0.999), ", ""),
    Named("KAnoCLIP: layer scale 0", KANOCLIP, "layer_scale: float = 1e-4", "layer_scale: float = 0.0"),
    Named("KAnoCLIP: ReLU in the MLPs", "methods/kanoclip/cross_modal.py", "nn.GELU()", "nn.ReLU()"),
    Named("KAnoCLIP: ReLU before the offsets", "methods/kanoclip/deformable_attention.py", "F.gelu(", "F.relu("),
    Named("ACD-CLIP: ReLU in the heads", ACD_CLIP, "nn.LeakyReLU()", "nn.ReLU()"),
    Named("ACD-CLIP: another slope in the heads", ACD_CLIP, "nn.LeakyReLU()", "nn.LeakyReLU(0.2)"),
    Named("ACD-CLIP: ReLU in the gateway", "methods/acd_clip/gateway.py", "nn.GELU()", "nn.ReLU()"),
    Named("ACD-CLIP: another GELU in the gateway", "methods/acd_clip/gateway.py", "nn.GELU()", 'nn.GELU("tanh")'),
    Named(
        "ACD-CLIP: another start of W_down",
        "methods/acd_clip/conv_lora.py",
        "nn.init.kaiming_uniform_(torch.empty(width, rank))",
        "nn.init.normal_(torch.empty(width, rank))",
    ),
    Named(
        "ACD-CLIP: another start of the convolutions",
        "methods/acd_clip/conv_lora.py",
        "    nn.init.kaiming_uniform_(convolution.weight)\n",
        "",
    ),
    Named("ACD-CLIP: another start of W_up", "methods/acd_clip/conv_lora.py", "UP_STD = 0.02", "UP_STD = 0.2"),
)
ROUTES = (
    Named(
        "WMoE-CLIP: samples detached from the prompts",
        WMOE_CLIP,
        "self.fit(latent if self.latent else decoded)",
        "self.fit((latent if self.latent else decoded).detach())",
    ),
    Named(
        "WMoE-CLIP: KL without gradient",
        WMOE_CLIP,
        "evidence.divergence.mean()",
        "evidence.divergence.detach().mean()",
    ),
    Named(
        "WMoE-CLIP: the maximum of the map detached",
        WMOE_CLIP,
        "maps.mean(1).amax((1, 2))) / 2",
        "maps.mean(1).amax((1, 2)).detach()) / 2",
    ),
    Named(
        "WMoE-CLIP: text detached into WCMA",
        WMOE_CLIP,
        "self.refinements[level](text, ",
        "self.refinements[level](text.detach(), ",
    ),
    Named(
        "WMoE-CLIP: no gradient through the experts' context",
        WMOE_CLIP,
        "self.experts(context, routing)",
        "self.experts(context.detach(), routing)",
    ),
    Named(
        "KAnoCLIP: text detached into the fusion",
        KANOCLIP,
        "stage(patches, states.to(patches.dtype), ",
        "stage(patches, states.detach().to(patches.dtype), ",
    ),
    Named(
        "KAnoCLIP: the maximum of the map detached",
        KANOCLIP,
        "anomaly_map.amax((1, 2))) / 2",
        "anomaly_map.amax((1, 2)).detach()) / 2",
    ),
    Named(
        "KAnoCLIP: offsets detached",
        "methods/kanoclip/deformable_attention.py",
        "self.positions(query, grid), grid)",
        "self.positions(query, grid).detach(), grid)",
    ),
    Named(
        "AFR-CLIP: text detached into CMFR",
        AFR_CLIP,
        "self._rectify(stage, visual, stateless)",
        "self._rectify(stage, visual, stateless.detach())",
    ),
    Named(
        "ACD-CLIP: the gateway sees detached patches",
        ACD_CLIP,
        "self.gateway(visual, texts)",
        "self.gateway(visual.detach(), texts)",
    ),
)


def swapped(first: str, second: str, one: str, other: str) -> Named:
    """The options of two recipes exchanged."""
    what = f"options of {Path(first).stem} and {Path(second).stem} swapped"
    return Named(what, f"recipes/{first}.toml", one, other, (Named(what, f"recipes/{second}.toml", other, one),))


ACD, AFR, FE, WMOE = (f"{name}/ablation" for name in ("acd-clip", "afr-clip", "fe-clip", "wmoe-clip"))
RECIPES = (
    swapped(f"{ACD}/table_2_2_conv_lora", f"{ACD}/table_2_3_gateway", 'fusion = "static"', 'adapter = "lora"'),
    swapped(f"{ACD}/groups_3", f"{ACD}/groups_4", "\ngroups = 3", "\ngroups = 4"),
    swapped(
        f"{AFR}/table_5_2_image_prompts", f"{AFR}/table_5_3_learned_prompts", "learned_prompts = false", 'cnn = "none"'
    ),
    swapped(f"{FE}/ffe", f"{FE}/lfs", 'adapters = "ffe"', 'adapters = "lfs"'),
    swapped(
        f"{WMOE}/table_2_3_ctds_wcma",
        f"{WMOE}/table_2_4_ctds_sa_moe",
        "semantic_experts = false",
        "wavelet_attention = false",
    ),
)
TOGETHER = replace(TRAINER[0], what="ten of the trainer's at once", also=TRAINER[1:10])
NAMED = (*TRAINER, TOGETHER, *CONSTANTS, *ROUTES, *RECIPES)
