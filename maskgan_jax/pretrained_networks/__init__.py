"""Networks that were trained before: judges of pictures, perceptual features, their files."""
