"""The former place of `maskgan_jax.config`, from which config files of users import it."""

from maskgan_jax.config import *  # noqa: F403
