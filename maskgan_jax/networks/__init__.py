"""Flax modules: layers, normalisation, encoders, decoders, masks."""
