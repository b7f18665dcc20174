"""Image metrics: pure functions of float images [B,H,W,3] in 0..255, one value [B] for each image."""

import jax
import jax.numpy as jnp

PEAK = 255.0
MAX_PSNR = 60.0  # equal images have no PSNR; a cap keeps means finite
_SSIM_SIZE, _SSIM_SIGMA = 11, 1.5


def psnr(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 255, at most `MAX_PSNR`."""
    error = jnp.square(real - fake).mean(axis=(1, 2, 3))
    return jnp.minimum(10.0 * jnp.log10(PEAK**2 / jnp.maximum(error, 1e-9)), MAX_PSNR)


def ssim(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Structural similarity, -1 to 1: Gaussian 11x11 window, sigma 1.5, mean over the R, G and B channels.

    Wang et al. 2004 (doi:10.1109/TIP.2003.819861): K1 0.01, K2 0.03, population covariance, windows that lie
    wholly in the image. Sides must be at least 11 pixels.
    """
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_real, mean_fake = _window_mean(real), _window_mean(fake)
    variance_real = _window_mean(real * real) - mean_real**2
    variance_fake = _window_mean(fake * fake) - mean_fake**2
    covariance = _window_mean(real * fake) - mean_real * mean_fake
    luminance = (2 * mean_real * mean_fake + c1) / (mean_real**2 + mean_fake**2 + c1)
    structure = (2 * covariance + c2) / (variance_real + variance_fake + c2)
    return (luminance * structure).mean(axis=(1, 2, 3))


def _window_mean(x: jax.Array) -> jax.Array:
    """Gaussian-weighted mean of every whole window: [B,H,W,C] to [B,H-10,W-10,C]."""
    offsets = jnp.arange(_SSIM_SIZE) - _SSIM_SIZE // 2
    weights = jnp.exp(-jnp.square(offsets / _SSIM_SIGMA) / 2)
    weights /= weights.sum()
    height, width = x.shape[1] - _SSIM_SIZE + 1, x.shape[2] - _SSIM_SIZE + 1
    x = sum((weights[n] * x[:, n : n + height] for n in range(_SSIM_SIZE)), jnp.zeros(()))
    return sum((weights[n] * x[:, :, n : n + width] for n in range(_SSIM_SIZE)), jnp.zeros(()))


def colorfulness(image: jax.Array) -> jax.Array:
    """How vivid an image is: 0 for gray; 29 is the mean of the 1,000 test scenes of benchmarks/RESULTS.md.

    Of |R-G| and |(R+G)/2-B|, the root of the summed variances plus 0.3 times the root of the summed squared means.
    This is the measure of Hasler and Suesstrunk 2003 (doi:10.1117/12.477378) with the absolute values that the code of
    colorization papers (DDColor's among them) takes, so that figures can be compared with theirs.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    red_green, yellow_blue = jnp.abs(red - green), jnp.abs((red + green) / 2 - blue)
    axes = (1, 2)
    spread = jnp.sqrt(red_green.var(axis=axes) + yellow_blue.var(axis=axes))
    distance = jnp.sqrt(red_green.mean(axis=axes) ** 2 + yellow_blue.mean(axis=axes) ** 2)
    return spread + 0.3 * distance
