# %% [markdown]
# # Bring your own folder
#
# Two folders of pictures that differ in one thing are enough: no pairs, no masks. Here the pictures
# are drawn and written to files first, so that everything runs unchanged; with your own, skip
# that cell and set `FOLDER`. You need at least hundreds of pictures of each kind.

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
import runpy

from _setup import ROOT, RUNS, SMOKE
from IPython.display import display
from PIL import Image

from maskgan_jax import check_data, experiment, translate
from maskgan_jax.data.drawn import avatar_faces
from maskgan_jax.data.images import load_image
from maskgan_jax.runs import pictures
from maskgan_jax.translator import Translator


def show(image, **options):
  """Shows an array below the cell; a list of lists as a grid with names."""
  image = pictures.grid(image, **options) if isinstance(image, list) else image
  display(Image.fromarray(pictures.to_uint8(image)))


# %% [markdown]
# ## The folder
#
# `trainA` and `testA` hold pictures without the thing, `trainB` and `testB` with it. They can have
# any size and any format that Pillow reads. The same pictures can lie in one folder with a table of
# attributes: file names first, then a column of 0 and 1 for each attribute.

# %%
FOLDER = ''  # @param {type: "string"}

folder = pathlib.Path(FOLDER) if FOLDER else RUNS / 'my_faces'
out = RUNS / 'my_faces_pictures'  # what is drawn here
counts = {'train': 24, 'test': 6} if SMOKE else {'train': 1_200, 'test': 60}
rows = []
for split, count in () if FOLDER else counts.items():
  for index in range(count):
    face = avatar_faces.recipe(7, split, index)
    glasses = avatar_faces.attributes_of(face)['Eyeglasses']
    path = folder / f'{split}{"B" if glasses else "A"}' / f'{index:04}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(avatar_faces.render(face, 48)).save(path, quality=95)
    rows.append((str(path.relative_to(folder)), int(glasses)))
if rows:
  with open(folder / 'attributes.csv', 'w', newline='') as file:
    csv.writer(file).writerows([('file', 'Glasses'), *rows])
for name in ('trainA', 'trainB', 'testA', 'testB'):
  print(name, len(list((folder / name).iterdir())), 'files')

# %% [markdown]
# ## Look at it before training
#
# `check_data` reads everything as training would, and reports files that cannot be read, copies of
# a picture, test pictures that are in training too, and sizes. To show this, one file is damaged
# here, and one is copied from the test set into the training set; both are removed again.

# %%
config = runpy.run_path(str(ROOT / 'configs' / 'quickstart.py'))['get_config'](
    'smoke' if SMOKE else '')
config.data.update(source='folder', path=str(folder), a='~B', b='B')
config.evaluators = ()  # the true masks of your pictures are not known

if not FOLDER:
  broken, copy = folder / 'trainA' / 'broken.jpg', folder / 'trainB' / 'copy.jpg'
  broken.write_bytes(next((folder / 'trainA').iterdir()).read_bytes()[:400])
  copy.write_bytes(min((folder / 'testB').iterdir()).read_bytes())


def check(sheet=''):
  """Returns check_data's findings; draws a contact sheet if a file is named."""
  return check_data.check(config, str(sheet))


with_mistakes = check()
print('\n'.join(check_data.lines(with_mistakes)))
if not FOLDER:
  broken.unlink()
  copy.unlink()

# %%
clean = check(out / 'check_data.png')
print('\n'.join(check_data.lines(clean)))
show(load_image(out / 'check_data.png'))

# %% [markdown]
# The next cell reads the same pictures through the table. Domains are predicates over its columns:
# `~Glasses`, `Glasses & ~Hat`.

# %%
if (folder / 'attributes.csv').exists():
  with_table = config.copy_and_resolve_references()
  with_table.data.update(source='csv', path=str(folder), a='~Glasses', b='Glasses',
                         attributes_file=str(folder / 'attributes.csv'))
  by_table = check_data.check(with_table)
  print('\n'.join(check_data.lines(by_table)))

# %% [markdown]
# ## Train, briefly
#
# 600 steps take two minutes or less, and are too few: the quickstart takes 1,500, with 4,800 faces.
# For photographs use more of everything: `configs/handbags.py` has the paper's size, 128x128.
#
# Interrupting the cell saves; running it again continues from there. To train longer later, raise
# `num_steps` and run the cell again.

# %%
if not SMOKE:
  config.num_steps, config.checkpoint_every, config.sample_every = 600, 300, 300
  config.optimizers.autoencoder.schedule_start = 300
workdir = str(RUNS / 'my_faces_run')
trained = experiment.train(config, workdir)
show(load_image(max(pathlib.Path(workdir, 'samples').glob('*.png'))))

# %% [markdown]
# ## Translate
#
# Every test picture without the thing, after every one with it: files in, one picture out.

# %%
model = Translator.from_workdir(workdir)


def few(name, count=4):
  """A folder with the first files of another."""
  target = out / name
  target.mkdir(parents=True, exist_ok=True)
  for path in sorted((folder / name).iterdir())[:count]:
    (target / path.name).write_bytes(path.read_bytes())
  return str(target)


grid, = translate.translate(model, few('testA'), few('testB'), str(out / 'grid.png'), grid=True)
show(load_image(grid))

# %% [markdown]
# The same as commands:
#
# ```
# python -m maskgan_jax.check_data --config=configs/quickstart.py --config.data.source=folder \
#     --config.data.path=DIR --config.data.a=~B --config.data.b=B --output=check_data.png
# python -m maskgan_jax.train --config=configs/quickstart.py --workdir=runs/mine \
#     --config.data.source=folder --config.data.path=DIR --config.data.a=~B --config.data.b=B
# python -m maskgan_jax.translate --workdir=runs/mine --source=DIR/testA --exemplar=DIR/testB \
#     --output=grid.png --grid
# ```

# %%
mine = model.fit(sorted((folder / 'testB').iterdir())[0])  # at the model's resolution
removed = model.remove(mine)
show([[mine, model.segment(mine), removed.image]], column_names=['picture', 'mask', 'removed'])
