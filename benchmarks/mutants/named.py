"""Faults that somebody thought of: each once passed all tests, alone or with nine others."""

from dataclasses import dataclass
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
    """

    what: str
    path: str
    old: str
    new: str

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
        return Fault(path, start, start + len(self.old), self.new, self.what)


LOOP, FORWARD = "trainer/loop.py", "trainer/forward.py"
NAMED = (
    Named(
        "no shuffling",
        LOOP,
        "torch.randperm(len(self.pictures), generator=torch.Generator().manual_seed(mixed(self.seed, epoch)))",
        "torch.arange(len(self.pictures))",
    ),
    Named("schedule ignored", LOOP, 'group["first"] * self.training.rate(epoch)', 'group["first"]'),
    Named("weight decay dropped", LOOP, "weight_decay=self.training.weight_decay", "weight_decay=0.0"),
    Named("betas dropped", LOOP, "betas=self.training.betas, ", ""),
    Named("pixels not divided by std", FORWARD, "((pixels - mean) / std)", "(pixels - mean)"),
    Named("augmented masks not used", FORWARD, "            masks = batch.masks\n", ""),
    Named(
        "every class is called object",
        FORWARD,
        "[in_words(self.pictures.samples[index].class_name) for index in batch.indices]",
        '["object" for _ in batch.indices]',
    ),
    Named("bf16 is fp32", FORWARD, 'self.circumstances.precision == "bf16"', "False"),
    Named(
        "label from mask",
        FORWARD,
        "Target(batch.labels.to(device), ",
        "Target(masks.amax((1, 2)).to(device), ",
    ),
    Named(
        "clipping per parameter",
        LOOP,
        "torch.nn.utils.clip_grad_norm_([one for name, one in self._parameters.items() if part in name], bound)",
        "[torch.nn.utils.clip_grad_norm_([one], bound) for name, one in self._parameters.items() if part in name]",
    ),
    Named(
        "the last batch dropped",
        LOOP,
        "order.split(self.training.batch_size)",
        "order.split(self.training.batch_size)[:-1]",
    ),
    Named("the same augmentation every epoch", FORWARD, "mixed(self.seed, epoch, index)", "mixed(self.seed, index)"),
    Named(
        "initial parameters without a seed",
        "trainer/training.py",
        "torch.default_generator.manual_seed(seed)",
        "torch.default_generator.seed()",
    ),
    Named("median over the classes", "evaluator/means.py", "np.mean([results[number]", "np.median([results[number]"),
    Named("FE-CLIP: another learning rate", "methods/fe_clip.py", "learning_rate=5e-4", "learning_rate=1e-3"),
    Named("FE-CLIP: more epochs", "methods/fe_clip.py", "epochs=9", "epochs=15"),
    Named("FE-CLIP: another batch", "methods/fe_clip.py", "batch_size=16", "batch_size=8"),
    Named(
        "FE-CLIP: another prompt", "methods/fe_clip.py", "A photo of a damaged object", "A photo of a defective object"
    ),
    Named("ACD-CLIP: another τ", "methods/acd_clip.py", "temperature: float = 0.1", "temperature: float = 0.07"),
    Named("ACD-CLIP: another blend", "methods/acd_clip.py", "blend: float = 0.2", "blend: float = 0.1"),
    Named("ACD-CLIP: another α", "methods/acd_clip.py", "alpha: float = 2.0", "alpha: float = 1.0"),
    Named("ACD-CLIP: no augmentation", "methods/acd_clip.py", "augment=True", "augment=False"),
    Named(
        "AFR-CLIP: normal and defective swapped",
        "methods/afr_clip.py",
        '"A photo of a normal {}", "A photo of a defective {}"',
        '"A photo of a defective {}", "A photo of a normal {}"',
    ),
)
