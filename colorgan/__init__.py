"""colorgan: trains a GAN that turns gray photographs into colour."""

__version__ = "0.1.0"
