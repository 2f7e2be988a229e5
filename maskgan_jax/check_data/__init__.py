"""The command `check_data`, and its report for Python: `check`, `lines` and `refusal`."""

from maskgan_jax.check_data.report import check, lines, refusal

__all__ = ['check', 'lines', 'refusal']
