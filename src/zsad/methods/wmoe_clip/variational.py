"""A variational autoencoder of single vectors (Kingma and Welling 2014)."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class Posterior(NamedTuple):
    """A diagonal Gaussian for each vector: the posterior of the encoder."""

    mean: Float[Tensor, "batch width"]
    log_variance: Float[Tensor, "batch width"]

    def sample(self, noise: Float[Tensor, "#batch draws length width"]) -> Float[Tensor, "batch draws length width"]:
        """Reparameterised samples, mean + noise · σ; ``noise`` is standard normal, or 0 for the mean itself."""
        return self.mean[:, None, None] + noise * (self.log_variance / 2).exp()[:, None, None]

    def divergence(self) -> Float[Tensor, "batch"]:
        """Kullback-Leibler divergence from the standard normal prior, summed over dimensions; at least 0."""
        mean, log_variance = self.mean.float(), self.log_variance.float()
        return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)


class Autoencoder(nn.Module):
    """An MLP encoder with heads for mean and log-variance, and an MLP decoder.

    All layers are as wide as the vectors. The head of the log-variance starts at 0, that of the prior.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.mean = nn.Linear(width, width)
        self.log_variance = nn.Linear(width, width)
        self.decoder = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        nn.init.zeros_(self.log_variance.weight)
        nn.init.zeros_(self.log_variance.bias)

    def forward(self, vectors: Float[Tensor, "batch width"]) -> Posterior:
        hidden = self.encoder(vectors)
        return Posterior(self.mean(hidden), self.log_variance(hidden))

    def decode(self, latents: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Decode latent variables."""
        return self.decoder(latents)
