"""Encoders: networks for the classification of photographs, without their heads. `models.build` has them by name."""
