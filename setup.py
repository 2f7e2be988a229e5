"""What pyproject.toml cannot say: a wheel has the repository's pretrained/ inside the package."""

import os
import shutil

import setuptools
from setuptools.command import build_py


class Build(build_py.build_py):
  """Copies the models that translator/packaged.py finds beside the package in a clone."""

  def run(self):
    super().run()
    if not self.editable_mode:
      target = os.path.join(self.build_lib, 'maskgan_jax', 'pretrained')
      shutil.copytree(
        'pretrained',
        target,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns('*.py', '__pycache__'),
      )


setuptools.setup(cmdclass={'build_py': Build})
