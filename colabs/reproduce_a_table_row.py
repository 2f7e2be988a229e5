# %% [markdown]
# # Reproduce a row of a table
#
# EGSC-IT's Table 2 on MNIST-Single: how similar a translated digit is to its exemplar (SSIM), with
# the paper's number next to ours. The schedule is the short one (`quick`: a ninetieth of the
# authors' steps, a quarter of their channels), so expect lower numbers than the paper's. It takes
# about 11 minutes on one CPU core.
#
# Everything here is a command, as you would type it into a shell; this notebook itself uses no
# device, so that the commands can use it.

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

from _setup import ROOT, run, RUNS, SMOKE
from IPython.display import display, Markdown
from PIL import Image


def command(verb, *flags):
  """`python -m maskgan_jax.VERB FLAGS` in the clone, where `configs/` is."""
  print('$ python -m', f'maskgan_jax.{verb}', *flags, '\n')
  run(sys.executable, '-m', f'maskgan_jax.{verb}', *flags)


# %% [markdown]
# ## Which tables there are
#
# All numbered tables of the five papers. Each cell has a config, its protocol, and what it needs.

# %%
command('tables', '--list')

# %% [markdown]
# ## The table as it is before anything is trained
#
# `MNIST` is a folder with the four files of MNIST; without it, scikit-learn's 1,797 digits replace
# them (`embedded`). That is another data set, so its results cannot be compared directly with the
# paper's.

# %%
TABLE = 'egsc_it/2'  # @param {type: "string"}
ROW = 'EGSC-IT'  # @param {type: "string"}
MNIST = ''  # @param {type: "string"}

add = ','.join((['smoke'] if SMOKE else ['quick']) + ([] if MNIST else ['embedded']))
overrides = [f'--override=data.path={MNIST}'] if MNIST else []
root = RUNS / 'table'
root.mkdir(parents=True, exist_ok=True)
asked = [f'--table={TABLE}', f'--workdir={root}', f'--add={add}', *overrides]


def table():
  """The table's cells as a list of dicts."""
  print('$ python -m maskgan_jax.tables', *asked, '--format=csv')
  done = subprocess.run([sys.executable, '-m', 'maskgan_jax.tables', *asked, '--format=csv'],
                        cwd=ROOT, capture_output=True, text=True)
  if done.returncode:
    raise RuntimeError(done.stderr)
  lines = done.stdout.splitlines()
  start = next(i for i, line in enumerate(lines) if line.startswith('table,row,'))
  for line in lines[:start]:  # what was measured first
    print(line)
  return list(csv.DictReader(lines[start:]))


before = table()
row = [cell for cell in before if cell['row'] == ROW]
for cell in row:
  print(f'{cell["column"]}: paper {cell["paper"] or "-"}, ours {cell["last"] or cell["not_run"]}')

# %% [markdown]
# ## Train what is behind the row
#
# The cells of a row name their config. (`tables --train` would train all rows, one after another,
# and with `--seeds=0,1,2` each of them three times.) If it is stopped or killed, the same command
# continues.

# %%
config = row[0]['config']
workdir = root / 'row'
command('train', f'--config={config}', f'--workdir={workdir}',
        *(flag.replace('--override=', '--config.') for flag in overrides))

# %%
samples = max((workdir / 'samples').glob('*.png'))
display(Image.open(samples))

# %% [markdown]
# ## The paper's number beside ours
#
# `tables` finds the run by its config, whatever the name of its folder, and measures what the table
# needs. The deviation over pictures is after ±. The first two columns are the paper's
# protocol, similarity to the *exemplar*, which shows another digit, so that even perfect
# translations get 0.484 and 0.226 on MNIST; the last two are similarity to the true translation.

# %%
after = [cell for cell in table() if cell['row'] == ROW]


def number(value, deviation):
  """'0.336 ± 0.154', or less where less is known."""
  text = f'{float(value):.3f}' if value else ''
  return f'{text} ± {float(deviation):.3f}' if value and deviation else text


lines = [f'| {ROW} | paper | ours | test pictures |', '|---|---|---|---|']
for cell in after:
  lines.append(f'| {cell["column"]} | {number(cell["paper"], cell["paper_deviation"])} | '
               f'{number(cell["last"], cell["last_spread"]) or cell["not_run"]} | '
               f'{cell["n_generated"]} |')
display(Markdown('\n'.join(lines)))
if SMOKE:
  print('four steps on a few pictures: this shows that it runs, and no number says anything')

# %% [markdown]
# This is the whole table in Markdown (or CSV, LaTeX), with its protocol and the reasons for missing
# cells; `docs/cells.csv` has all tables.

# %%
done = subprocess.run([sys.executable, '-m', 'maskgan_jax.tables', *asked, '--noevaluate'],
                      cwd=ROOT, capture_output=True, text=True, check=True)
display(Markdown(done.stdout))
