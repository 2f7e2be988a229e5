"""The command `translate`, and its functions for Python."""

from maskgan_jax.translate.clips import Pace, translate_clip
from maskgan_jax.translate.inputs import Edits
from maskgan_jax.translate.interpolations import interpolate
from maskgan_jax.translate.results import remove, translate

__all__ = ['Edits', 'Pace', 'interpolate', 'remove', 'translate', 'translate_clip']
