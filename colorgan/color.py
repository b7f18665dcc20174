"""Colour spaces and value ranges, on the device."""

import jax
import jax.numpy as jnp

# Rec. 601 luma. The seed rounds the first weight to 0.2989; these sum to 1, so that a gray image is its own luma.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)


def to_signed(image: jax.Array) -> jax.Array:
    """uint8 0..255 to float32 in [-1,1]."""
    return image.astype(jnp.float32) / 127.5 - 1.0


def to_pixels(image: jax.Array) -> jax.Array:
    """float32 in [-1,1] to float32 in 0..255, rounded as a uint8 image would be. Inverse of `to_signed`."""
    return jnp.clip(jnp.round((image + 1.0) * 127.5), 0.0, 255.0)


def luma(rgb: jax.Array) -> jax.Array:
    """[...,3] RGB to [...,1] luma, in the range of the input."""
    red, green, blue = LUMA_WEIGHTS
    return red * rgb[..., 0:1] + green * rgb[..., 1:2] + blue * rgb[..., 2:3]


def gray_to_rgb(gray: jax.Array) -> jax.Array:
    """[...,1] luma to [...,3] with R=G=B."""
    return jnp.repeat(gray, 3, axis=-1)
