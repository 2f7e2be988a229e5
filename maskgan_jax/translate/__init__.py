"""The command `translate`, and its two functions for Python: `translate` and `remove`."""

from maskgan_jax.translate.inputs import Edits
from maskgan_jax.translate.results import remove, translate

__all__ = ['Edits', 'remove', 'translate']
