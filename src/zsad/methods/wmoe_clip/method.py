"""WMoE-CLIP: prompts with a sample of the image's features, refined by wavelets; experts correct the class token.

Chen and Huang, "WMoE-CLIP: Wavelet-Enhanced Mixture-of-Experts Prompt Learning for Zero-Shot Anomaly Detection",
arXiv 2026. No code was published; what the paper leaves open and how it was decided is in
``docs/methods/wmoe-clip.md``.

    images -> frozen tower -> patch tokens of four levels [batch, 4, cells, width], class token x_c [batch, embed]
    CTDS:   x_c -> variational autoencoder -> r_1..r_m [batch, m, embed] (eq. 1-3)
            "a photo of a good/damaged", r_i + v_i, "." -> text tower -> F_T [batch, 2, embed] (eq. 4)
    each level: F_I = tokens · W [batch, cells, embed]
    WCMA:   F_I -> Haar -> F_L, F_H -> F_p [batch, cells, embed] (eq. 5-6); F_T attends to F_p -> F'_T (eq. 7)
            map = softmax(cos(F_I, F'_T) · s) [batch, rows, cols], and M is the mean of the four
    SA-MoE: tokens of all levels -> x_a [batch, embed] -> 2 of 8 experts -> x_p (eq. 8); x_cls = x_p + x_c
    score = (s_txt + max M) / 2,  s_txt = softmax(cos(x_cls, F_T) · s)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.methods.wmoe_clip.experts import Experts, imbalance
from zsad.methods.wmoe_clip.variational import Autoencoder, Posterior
from zsad.methods.wmoe_clip.wavelets import WaveletAttention
from zsad.parts.losses import dice, focal, image_cross_entropy, upsample
from zsad.parts.noise import normal_noise
from zsad.parts.prompts import insert_vectors
from zsad.parts.result_cache import ResultCache
from zsad.parts.similarity import anomaly_probability
from zsad.types import BackboneFeatures, Evidence, Size, Target

Sample = Literal["decoded", "latent", "scaled"]
STATES = ("a photo of a good", "a photo of a damaged")
END = "."
REFERENCE_DEPTH = 24
SEED = 0
"""Seed of the samples averaged by ``draws``."""


@dataclass(frozen=True)
class WMoEClipConfig(Config):
    """Constants of the paper; the first three options are the columns of its table 2.

    Attributes:
        distribution_sampling: CTDS (2.1); without it the prompts contain the learned vectors alone.
        wavelet_attention: WCMA (2.2); without it maps compare patches with F_T.
        semantic_experts: SA-MoE (2.3); without it s_txt compares x_c with F_T.
        levels: blocks whose patches are used, of 24, counted from 1 (3.1).
        prompt_length: m, learned vectors a state (3.1).
        experts: N (3.1).
        active_experts: k of the top-k gate (3.1).
        temperature: initial 1/s of all softmaxes; s is learned.
        sample: what {r_i} "sampled from the latent space" (2.1) are: ``decoded`` from samples, each a reconstructed
            global feature r of equation 3; the ``latent`` samples s_c themselves, as VCP-CLIP's and Bayes-PFL's code
            has it, with a decoder that serves equation 3 alone; or ``scaled``, decoded and brought to the length of the
            v_i that each is added to.
        unit_class_token: x_c is normalised first. The squared error of unit vectors rewards information
            too little at KL weight 1: after 200 steps on 320 images (embedded backbone, one seed) the divergence was
            0.1 nats and falling, so that r_i has almost no information on the image, against 33 nats without.
        draws: samples of r_1..r_m over which F_T is averaged in prediction; 0 is the posterior mean.
        kl_weight: of the divergence, equation 11.
        transform: Haar bands as large as F_I, or half as large.
        high: F_H as the sum of the bands or of their magnitudes.
        residual: F_T is added to the result of equation 7.
        gate_noise: standard deviation of noise on the scores of the gate, and so on w_k, in training; 0 is the literal
            reading.
        balance_weight: of the squared coefficient of variation of the experts' shares in a batch (Shazeer et al. 2017).
    """

    distribution_sampling: bool = True
    wavelet_attention: bool = True
    semantic_experts: bool = True
    levels: tuple[int, ...] = (6, 12, 18, 24)
    prompt_length: int = 2
    experts: int = 8
    active_experts: int = 2
    temperature: float = 0.07
    sample: Sample = "decoded"
    unit_class_token: bool = False
    draws: int = 0
    kl_weight: float = 1.0
    transform: Literal["undecimated", "decimated"] = "undecimated"
    high: Literal["sum", "magnitude"] = "sum"
    residual: bool = False
    gate_noise: float = 1.0
    balance_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.levels or self.prompt_length < 1:
            raise ConfigError(
                "WMoE-CLIP reads at least one level and learns at least one vector",
                f"{self.levels} and {self.prompt_length}",
                "use (6, 12, 18, 24) and 2, as the paper does",
            )
        if not 1 <= self.active_experts <= self.experts:
            raise ConfigError(
                "at least one expert is active, and at most all of them are",
                f"{self.active_experts} of {self.experts}",
                "use 2 of 8, as the paper does",
            )
        for name in ("draws", "kl_weight", "gate_noise", "balance_weight"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is at least 0", getattr(self, name), "use 0 for none")


@dataclass(frozen=True)
class WMoEClipEvidence(Evidence):
    """Evidence with what the loss needs.

    Attributes:
        divergence: KL divergence of each image's posterior from the prior, in nats (eq. 2); 0 without CTDS.
        reconstruction: squared error of the decoder (eq. 3), mean over the samples; 0 without CTDS.
        routing: weights of the experts, 0 where not active (eq. 8); no columns without SA-MoE.
    """

    divergence: Float[Tensor, "batch"]
    reconstruction: Float[Tensor, "batch"]
    routing: Float[Tensor, "batch experts"]


class WMoEClip(FrozenBackboneMethod):
    """WMoE-CLIP with CTDS, WCMA and SA-MoE, each of which can be disabled."""

    paper = Paper(
        title="WMoE-CLIP: Wavelet-Enhanced Mixture-of-Experts Prompt Learning for Zero-Shot Anomaly Detection",
        authors="P. Chen, C. Huang",
        venue="arXiv",
        year=2026,
        url="https://arxiv.org/abs/2603.06313",
    )
    config_type = WMoEClipConfig
    uses_class_names = False
    training_defaults = TrainingConfig(epochs=20, batch_size=32, learning_rate=2e-4)  # section 3.1

    def __init__(self, clip: Clip, config: WMoEClipConfig | None = None) -> None:
        self.config: WMoEClipConfig
        super().__init__(clip, config or WMoEClipConfig())
        options, width, embed = self.config, clip.config.vision.width, clip.config.embed
        levels = len(options.levels)
        self.blocks = [level_index(level, REFERENCE_DEPTH, clip.config.vision.depth) for level in options.levels]
        self.prompts = StatePrompts(options.prompt_length, clip.config.text.width, scaled=options.sample == "scaled")
        self.projections = nn.ModuleList(nn.Linear(width, embed, bias=False) for _ in range(levels))
        self.logit_scale = nn.Parameter(torch.tensor(1 / options.temperature).log())
        self.sampling = (
            ClassTokenSampling(options, embed, clip.config.text.width) if options.distribution_sampling else None
        )
        self.refinements = nn.ModuleList(
            WaveletAttention(embed, options.transform == "decimated", options.high == "magnitude", options.residual)
            for _ in range(levels * options.wavelet_attention)
        )
        self.aggregation = SemanticExperts(options, width, embed) if options.semantic_experts else None
        self._cache = ResultCache(self.prompts)

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """Patch tokens of the levels as the blocks return them, and x_c."""
        trace = self.clip.vision(images, keep=self.blocks)
        patches = torch.stack([trace.kept[block][:, 1:] for block in self.blocks], 1)
        return BackboneFeatures(patches, self.clip.vision.project(trace.last[:, 0]), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> WMoEClipEvidence:
        """Evidence from the features of the backbone; class names are not used."""
        tokens = features.patches.to(self.logit_scale.dtype)
        image = self._class_token(features)
        sampled = self.sampling(image) if self.sampling else None
        text = self._text(sampled, len(image))
        maps = torch.stack(
            [self._map(level, tokens[:, level], text, features.grid) for level in range(tokens.shape[1])], 1
        )
        # Section 2.3: x_cls = x_p + x_c, s_txt against F_T, and half of ŝ = s_txt + max(M).
        gathered = self.aggregation(tokens) if self.aggregation else None
        score = self._probability(image if gathered is None else image + gathered.features, text)
        none = maps.new_zeros(len(maps))
        return WMoEClipEvidence(
            maps=maps,
            score=(score + maps.mean(1).amax((1, 2))) / 2,
            divergence=sampled.posterior.divergence() if sampled else none,
            reconstruction=sampled.squared_error(image) if sampled else none,
            routing=gathered.routing if gathered else none.new_zeros(len(maps), 0),
        )

    @property
    def couples_images(self) -> bool:
        """With a balance of the experts, which is that of a batch."""
        return self.aggregation is not None and self.config.balance_weight > 0

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Equations 9-11."""
        assert isinstance(evidence, WMoEClipEvidence)
        large = upsample(evidence.maps, target.masks, align_corners=self.config.align_corners).unbind(1)
        terms = {
            "cross_entropy": image_cross_entropy(evidence.score, target.labels),
            "focal": torch.stack([focal(level_maps, target.masks) for level_maps in large]).sum(),
            "dice": torch.stack([dice(level_maps, target.masks) for level_maps in large]).sum(),
        }
        if self.sampling:
            terms["divergence"] = self.config.kl_weight * evidence.divergence.mean()
            terms["reconstruction"] = evidence.reconstruction.mean()
        if self.aggregation and self.config.balance_weight:
            terms["balance"] = self.config.balance_weight * imbalance(evidence.routing)
        return terms

    def _class_token(self, features: BackboneFeatures) -> Float[Tensor, "batch embed"]:
        """x_c."""
        image = features.image.to(self.logit_scale.dtype)
        return l2_normalize(image) if self.config.unit_class_token else image

    def _text(self, sampled: "Sampled | None", batch: int) -> Float[Tensor, "batch 2 embed"]:
        """F_T; one for all images where prompts do not depend on the image."""
        if sampled is None:
            return self._cache("F_T", lambda: self.prompts(self.clip, None)).expand(batch, -1, -1)
        draws = sampled.vectors.shape[1]
        return self.prompts(self.clip, sampled.vectors.flatten(0, 1)).unflatten(0, (batch, draws)).mean(1)

    def _map(
        self, level: int, tokens: Float[Tensor, "batch cells width"], text: Float[Tensor, "batch 2 embed"], grid: Size
    ) -> Float[Tensor, "batch rows cols"]:
        """M of a level (section 2.2)."""
        patches = self.projections[level](tokens)
        if self.config.wavelet_attention:
            text = self.refinements[level](text, patches.unflatten(1, grid))
        return self._probability(patches, text).unflatten(1, grid)

    def _probability(
        self, features: Float[Tensor, "batch *cells embed"], text: Float[Tensor, "batch 2 embed"]
    ) -> Float[Tensor, "batch *cells"]:
        # The learned scale is applied to the states.
        return anomaly_probability(
            features, l2_normalize(text.float()) * self.logit_scale.float().exp(), temperature=1.0
        )


class StatePrompts(nn.Module):
    """Equation 4: the fixed words of each state, its vectors v_i, and the r_i added to them.

    Args:
        length: m.
        width: of the text tower.
        scaled: whether each r_i is first scaled to the norm of its v_i.
    """

    def __init__(self, length: int, width: int, *, scaled: bool) -> None:
        super().__init__()
        self.scaled = scaled
        self.vectors = nn.Parameter(0.02 * torch.randn(len(STATES), length, width))

    def forward(
        self, clip: Clip, added: Float[Tensor, "prompts length width"] | None
    ) -> Float[Tensor, "prompts 2 embed"]:
        """Text features of both states, not normalised; ``added`` is the same for both."""
        vectors = self.vectors[:, None]
        if added is not None:
            vectors = vectors + (l2_normalize(added) * vectors.norm(dim=-1, keepdim=True) if self.scaled else added)
        features = [
            clip.text(insert_vectors(clip, words, own, END)) for words, own in zip(STATES, vectors, strict=True)
        ]
        return torch.stack(features, 1)


class Sampled(NamedTuple):
    """Output of CTDS for a class token: posterior, decoded r, and r_i at the width of the text tower."""

    posterior: Posterior
    decoded: Float[Tensor, "batch draws length embed"]
    vectors: Float[Tensor, "batch draws length width"]

    def squared_error(self, image: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch"]:
        """Equation 3, averaged over samples."""
        return (self.decoded.float() - image[:, None, None].float()).square().sum(-1).mean((1, 2))


class ClassTokenSampling(nn.Module):
    """CTDS (section 2.1): m samples of an autoencoder of the class token."""

    def __init__(self, options: WMoEClipConfig, embed: int, width: int) -> None:
        super().__init__()
        self.length, self.draws, self.embed = options.prompt_length, options.draws, embed
        self.latent = options.sample == "latent"
        self.autoencoder = Autoencoder(embed)
        self.fit = nn.Identity() if embed == width else nn.Linear(embed, width)

    def forward(self, image: Float[Tensor, "batch embed"]) -> Sampled:
        posterior = self.autoencoder(image)
        latent = posterior.sample(self._noise(image))
        decoded = self.autoencoder.decode(latent)
        return Sampled(posterior, decoded, self.fit(latent if self.latent else decoded))

    def _noise(self, image: Float[Tensor, "batch embed"]) -> Float[Tensor, "#batch draws length embed"]:
        """ε of equation 1: drawn per image in training, 0 or the same seeded draws for all images in prediction."""
        if self.training:
            return normal_noise(len(image), (1, self.length, self.embed), image)
        if not self.draws:
            return image.new_zeros(1, 1, self.length, self.embed)
        generator = torch.Generator().manual_seed(SEED)
        return torch.randn(1, self.draws, self.length, self.embed, generator=generator).to(image)


class ExpertOutput(NamedTuple):
    """Output of SA-MoE for an image: x_p, and the weights of the experts."""

    features: Float[Tensor, "batch embed"]
    routing: Float[Tensor, "batch experts"]


class SemanticExperts(nn.Module):
    """SA-MoE (section 2.3): an adapter over all levels, a gate, and experts."""

    def __init__(self, options: WMoEClipConfig, width: int, embed: int) -> None:
        super().__init__()
        levels = len(options.levels)
        shares = [embed * (level + 1) // levels - embed * level // levels for level in range(levels)]
        self.adapters = nn.ModuleList(nn.Linear(width, share) for share in shares)
        self.experts = Experts(embed, options.experts, options.active_experts, options.gate_noise)

    def forward(self, tokens: Float[Tensor, "batch levels cells width"]) -> ExpertOutput:
        means = tokens.mean(2).unbind(1)
        context = torch.cat([adapter(mean) for adapter, mean in zip(self.adapters, means, strict=True)], -1)  # x_a
        routing = self.experts.route(context)
        return ExpertOutput(self.experts(context, routing), routing)
