"""The posterior against torch.distributions, and its samples."""

import torch
from torch.distributions import Normal, kl_divergence

from zsad.methods.wmoe_clip.variational import Autoencoder, Posterior


def posterior(seed: int = 0) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = 3 * torch.randn(2, 4, 5, generator=generator)
    return Posterior(mean, log_variance)


def test_divergence_is_that_of_the_gaussians_and_at_least_0() -> None:
    for seed in range(20):
        one = posterior(seed)
        gaussian = Normal(one.mean, (one.log_variance / 2).exp())
        expected = kl_divergence(gaussian, Normal(0.0, 1.0)).sum(-1)
        torch.testing.assert_close(one.divergence(), expected, rtol=1e-4, atol=1e-5)
        assert one.divergence().min() > 0


def test_divergence_is_0_at_the_prior() -> None:
    torch.testing.assert_close(Posterior(torch.zeros(3, 5), torch.zeros(3, 5)).divergence(), torch.zeros(3))


def test_samples_have_the_mean_and_the_variance_of_the_posterior() -> None:
    one = posterior()
    samples = one.sample(torch.randn(4, 20000, 1, 5, generator=torch.Generator().manual_seed(0)))
    spread = (one.log_variance / 2).exp()
    assert ((samples.mean((1, 2)) - one.mean).abs() < 0.05 * spread).all()
    torch.testing.assert_close(samples.std((1, 2)), spread, rtol=0.05, atol=0)


def test_without_noise_the_sample_is_the_mean() -> None:
    one = posterior()
    torch.testing.assert_close(one.sample(torch.zeros(1, 2, 3, 5)), one.mean[:, None, None].expand(-1, 2, 3, -1))


def test_gradients_reach_mean_and_variance_through_a_sample() -> None:
    autoencoder = Autoencoder(5)
    autoencoder.decode(autoencoder(torch.randn(4, 5)).sample(torch.randn(4, 1, 2, 5))).sum().backward()
    for layer in (autoencoder.mean, autoencoder.log_variance):
        assert layer.weight.grad is not None
        assert layer.weight.grad.abs().sum() > 0


def test_the_variance_starts_at_the_priors() -> None:
    assert Autoencoder(5)(torch.randn(4, 5)).log_variance.abs().max() == 0
