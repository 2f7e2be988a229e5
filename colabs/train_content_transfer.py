# %% [markdown]
# # Train content transfer in minutes, and watch masks emerge
#
# The model gets no information about what glasses are or where. It sees faces without glasses
# (domain a) and with glasses (domain b), and has to find the difference. The faces are drawn, so
# the exact mask of every pair of glasses is known; training never sees it, but here we compare the
# masks with it while they form.
#
# 1,500 steps at 32x32: two to five minutes on a CPU, less on an accelerator.

# %%
# Finds the clone that contains this notebook or, if there is none (Colab), clones SOURCE, which is
# an argument of `git clone`, and installs it. An installed JAX stays as it is.
SOURCE = ''  # @param {type: "string"}

import importlib.util
import pathlib
import subprocess
import sys

here = pathlib.Path.cwd()
package = importlib.util.find_spec('maskgan_jax')
places = [here / 'clone', here, *here.parents]
if package and package.origin:
  places.insert(0, pathlib.Path(package.origin).parents[1])
clones = [place for place in places if (place / 'colabs' / '_setup.py').is_file()]
if not clones:
  if not SOURCE:
    raise RuntimeError('there is no clone here: write its address into SOURCE')
  subprocess.run(['git', 'clone', '--quiet', '--depth=1', SOURCE, 'clone'], check=True)
  clones = [here / 'clone']
sys.path.insert(0, str(clones[0] / 'colabs'))
importlib.import_module('_setup')  # installs the package

# %%
import csv
import os
import runpy

from _setup import ROOT, RUNS, SMOKE
from IPython.display import display, HTML
import numpy as np
from PIL import Image

from maskgan_jax import experiment
from maskgan_jax.data.images import load_image
from maskgan_jax.evaluators import masks
from maskgan_jax.reports import charts, report
from maskgan_jax.runs import pictures
from maskgan_jax.training import loop
from maskgan_jax.translator import Translator


def show(image, **options):
  """Shows an array below the cell; a list of lists as a grid with names."""
  image = pictures.grid(image, **options) if isinstance(image, list) else image
  display(Image.fromarray(pictures.to_uint8(image)))


# %% [markdown]
# ## The config
#
# This is `configs/quickstart.py` with shorter intervals between evaluations.

# %%
config = runpy.run_path(str(ROOT / 'configs' / 'quickstart.py'))['get_config'](
    'smoke' if SMOKE else '')
config.evaluate_every = 2 if SMOKE else 100  # steps between two looks
config.num_steps = 4 if SMOKE else 1_500
config.sample_every = 0
workdir = str(RUNS / 'watch_masks')
print(f'{config.num_steps} steps of {config.batch_size} pictures of each domain, '
      f'{config.image_size}x{config.image_size}')

# %% [markdown]
# ## Training, and watching it
#
# Every `evaluate_every` steps `loop.train` calls the function that `make_evaluate` returns. Ours
# looks at six validation pairs that training does not see: where the model would put the glasses,
# and how much its mask of the exemplar's glasses overlaps the true one (IoU: intersection over
# union, both at 0.5).
#
# Interrupting the cell saves; running it again continues from there.

# %%
history = {}  # step: mean IoU
looks = {}  # step: what was seen


def make_evaluate(method, data, poll):
  """Called once, before the first step."""
  validation = next(iter(data.evaluation('validation', batch_size=64, max_pairs=64)))
  few = slice(0, 3 if SMOKE else 6)
  models = []  # the first; later ones share what it has compiled

  def evaluate(step, params, model_state):
    """Called every `evaluate_every` steps; what it returns goes into checkpoints' records."""
    model = (models[0].at(params, model_state, step) if models
             else Translator(method, params, model_state, config, step))
    models[:] = [model]
    soft = model.segment(validation['b'])
    overlap = masks.iou(soft > 0.5, validation['b_mask'] > 0.5)[validation['valid']]
    result = model(validation['a'][few], validation['b'][few])
    history[step] = float(overlap.mean())
    looks[step] = soft[few], result.source_mask, result.image
    print(f'step {step:,}: IoU of masks with the truth {history[step]:.3f}', flush=True)
    return {'iou': history[step]}
  make_evaluate.validation = validation
  return evaluate


trained = loop.train(config, workdir, make_evaluate=make_evaluate)

# %% [markdown]
# ## How the masks came about
#
# Each row shows one exemplar's mask at several evaluations, and the exact truth at the end. The
# mask begins as uniform grey; then the losses that ask for a small mask that still explains the
# difference (lambda_4, lambda_5) leave only the glasses.

# %%
pairs = make_evaluate.validation
steps = sorted(looks)
shown = [steps[i] for i in sorted(set(np.linspace(0, len(steps) - 1, 7).astype(int)))]
if steps:
  show([[pairs['b'][i], *(looks[step][0][i] for step in shown), pairs['b_mask'][i]]
        for i in range(len(looks[shown[0]][0]))],
       column_names=['exemplar', *(f'step {step:,}' for step in shown), 'truth'])

# %% [markdown]
# This is what the masks do: each source after its exemplar.

# %%
if steps:
  show([[pairs['a'][i], pairs['b'][i], *(looks[step][2][i] for step in shown),
         pairs['truth_ab'][i]] for i in range(len(looks[shown[0]][0]))],
       column_names=['source', 'exemplar', *(f'step {step:,}' for step in shown), 'truth'])

# %%
style = ('<style>.mj svg{width:320px;fill:none;stroke:currentColor}.mj text{fill:currentColor;'
         'stroke:none;font-size:10px}.mj .end{text-anchor:end}.mj .tick{opacity:.25}</style>')
display(HTML(style + '<div class="mj">' + charts.line_chart(
    steps, [history[step] for step in steps], 'IoU of masks with the truth, by step') + '</div>'))

# %% [markdown]
# ## The measure that counts
#
# So far we looked at 64 validation pairs, at 0.5. `experiment.train` sees that training is done,
# searches the threshold on all validation pairs and measures on the test pairs, as the command
# `python -m maskgan_jax.train` does; `scores.csv` and `report.html` have the rest.

# %%
experiment.train(config, workdir)
with open(os.path.join(workdir, 'scores.csv'), newline='') as file:
  scores = list(csv.DictReader(file))[-1]
for name in ('mask_iou', 'mask_iou_std', 'mask_iou@0.5', 'threshold'):
  if scores.get(name):
    print(f'{name:14} {float(scores[name]):.3f}')
print('report:', os.path.join(workdir, report.FILE_NAME))

# %% [markdown]
# For each picture: the soft mask, the mask above the threshold, the truth, and where the two differ
# (white: both; red: only the model; blue: only the truth).

# %%
model = Translator.from_workdir(workdir)
test = next(iter(trained.data.evaluation('test', batch_size=8, max_pairs=8)))
soft, sharp = model.segment(test['b']), model.segment(test['b'], 'best')
truth = test['b_mask'] > 0.5
difference = 255 * np.concatenate([sharp, sharp & truth, truth], -1).astype(np.uint8)
ious = masks.iou(sharp, truth)
show([list(row) for row in zip(test['b'], soft, sharp, truth, difference, strict=True)],
     column_names=['exemplar', 'soft mask', 'above threshold', 'truth', 'difference'],
     row_names=[f'IoU {iou:.2f}' for iou in ious])

# %% [markdown]
# ## Faces from elsewhere
#
# These files come with the repository. `translate_and_edit.ipynb` continues from here, with
# `Translator.from_workdir` instead of `from_pretrained`.

# %%
if config.image_size == 32:  # as these are
  faces, glasses = (np.stack([load_image(ROOT / 'docs' / kind / f'{i}.png') for i in range(4)])
                    for kind in ('faces', 'glasses'))
  images = model(np.tile(faces, (4, 1, 1, 1)), np.repeat(glasses, 4, axis=0)).image
  show(pictures.transfer_grid(faces, glasses, images.reshape(4, *faces.shape)))
