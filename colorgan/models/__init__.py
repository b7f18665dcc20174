"""The networks. No module outside this package imports flax.linen."""
