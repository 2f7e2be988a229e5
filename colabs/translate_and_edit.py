# %% [markdown]
# # Translate pictures, and edit what the model wants to do
#
# A trained model puts one face's glasses on another: it finds them in the exemplar (one mask),
# finds where they go in the source (another mask), and changes nothing else. Both masks are arrays
# that you can read, cut and replace. Everything here takes a minute on a CPU.

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
from _setup import RUNS, SMOKE
from IPython.display import display
import numpy as np
from PIL import Image

from maskgan_jax import translate
from maskgan_jax.data.images import load_image
from maskgan_jax.runs import pictures
from maskgan_jax.translator import in_sequence, packaged, Translator


def show(image, **options):
  """Shows an array below the cell; a list of lists as a grid with names."""
  image = pictures.grid(image, **options) if isinstance(image, list) else image
  display(Image.fromarray(pictures.to_uint8(image)))


def difference(before, after):
  """Grey where nothing changed, brighter or darker where a picture did."""
  return np.clip((after.astype(int) - before) // 2 + 128, 0, 255).astype(np.uint8)


# %% [markdown]
# ## A model and pictures to try it on
#
# `pretrained/README.md` lists the models that come with the package, what each is for and how good
# it is. This one knows cartoon faces, 64x64, and nothing else: on photographs it makes smudges.
# `Translator.from_workdir('runs/NAME')` opens a run of your own instead.

# %%
MODEL = 'content_transfer_avatars'  # @param {type: "string"}

print('models:', ', '.join(packaged.names()))
model = Translator.from_pretrained(MODEL)
folder = packaged.find(MODEL)
sources = [load_image(path) for path in packaged.examples(folder, 'source')]
exemplars = [load_image(path) for path in packaged.examples(folder, 'exemplar')]
print(f'{model.config.method}, {model.config.image_size}x{model.config.image_size}, '
      f'step {model.step}; it can: {", ".join(sorted(model.abilities))}')

# %% [markdown]
# ## Translate
#
# Pictures are uint8 `[H, W, 3]`, or `[N, H, W, 3]` for many at once; masks come back as float32
# `[H, W, 1]` in [0, 1].

# %%
source, exemplar = sources[0], exemplars[1]
result = model(source, exemplar)
show([[source, exemplar, result.exemplar_mask, result.source_mask, result.image,
       difference(source, result.image)]],
     column_names=['source', 'exemplar', 'what is taken', 'where it goes', 'translation',
                   'change (grey: none)'])

# %% [markdown]
# One call translates several sources with several exemplars, all pairs.

# %%
few_sources, few_exemplars = np.stack(sources[:4]), np.stack(exemplars[:2 if SMOKE else 5])
everyone = model(np.tile(few_sources, (len(few_exemplars), 1, 1, 1)),
                 np.repeat(few_exemplars, len(few_sources), axis=0))
show(pictures.transfer_grid(few_sources, few_exemplars,
                            everyone.image.reshape(len(few_exemplars), *few_sources.shape)))

# %% [markdown]
# ## Edit masks with rectangles
#
# LOMIT (section 4.2) lets users erase part of a predicted mask. In code that is a rectangle: top,
# left, bottom, right, in pixels. Where you cut the *source's* mask, the source stays as it is, here
# pixel for pixel, because content transfer paints through its mask.

# %%
TOP, LEFT, BOTTOM, RIGHT = 0, 0, 64, 32  # the left half

edited = result.source_mask.copy()
edited[TOP:BOTTOM, LEFT:RIGHT] = 0
half = model(source, exemplar, source_mask=edited)
show([[source, pictures.overlay(source, result.source_mask), result.image,
       pictures.overlay(source, edited), half.image, difference(result.image, half.image)]],
     column_names=['source', 'predicted mask', 'translation', 'edited mask', 'translation',
                   'between the two'])
inside = np.zeros(source.shape[:2], bool)
inside[TOP:BOTTOM, LEFT:RIGHT] = True
print('source kept in the rectangle:', bool((half.image == source)[inside].all()))
print('translation as before outside it:', bool((half.image == result.image)[~inside].all()))

# %% [markdown]
# What you cut out of the *exemplar's* mask is not taken. The content of an exemplar is one code for
# the whole face, so this takes less of it, but not exactly a part.

# %%
less = result.exemplar_mask.copy()
less[TOP:BOTTOM, LEFT:RIGHT] = 0
weaker = model(source, exemplar, exemplar_mask=less)
show([[exemplar, pictures.overlay(exemplar, result.exemplar_mask), result.image,
       pictures.overlay(exemplar, less), weaker.image, weaker.source_mask]],
     column_names=['exemplar', 'its mask', 'translation', 'edited mask', 'translation',
                   'where it goes now'])

# %% [markdown]
# A mask is any array: bool, uint8 (255 is 1) or float in [0, 1], at any resolution in the picture's
# proportion. A ramp fades the change in from the left to the right:

# %%
ramp = np.linspace(0, 1, source.shape[1])[None] * result.source_mask[..., 0]
faded = model(source, exemplar, source_mask=ramp)
thick = model(source, exemplar, source_mask=result.source_mask > 0.1)
show([[result.source_mask, result.image, ramp, faded.image, result.source_mask > 0.1, thick.image]],
     column_names=['predicted', '', 'times a ramp', '', 'above 0.1, as 0 and 1', ''])

# %% [markdown]
# ## Remove, swap, interpolate
#
# Removal paints the exemplar without its content, where the mask is above a threshold that was
# searched on validation pictures. It is the weaker half: where the mask ends too early a rim stays;
# `remove(..., threshold=0.3)` takes more. A swap removes and then adds. An interpolation goes from
# the content of one exemplar to that of another.

# %%
wearing, others = np.stack(exemplars[:3]), np.stack(exemplars[1:4])
removed, swapped = model.remove(wearing), model.swap(wearing, others)
show([list(row) for row in zip(
    wearing, model.segment(wearing), model.segment(wearing, 'best'), removed.image, others,
    swapped.image, strict=True)],
     column_names=['picture', 'mask', f'mask above {model.threshold}', 'removed',
                   'another exemplar', 'swapped'])

# %%
frames = model.interpolate(source, exemplars[0], exemplars[1], n=3 if SMOKE else 7)
show([[exemplars[0], *frames.image, exemplars[1]]],
     column_names=['exemplar 1', *(f'{w:.0%}' for w in np.linspace(0, 1, len(frames.image))),
                   'exemplar 2'])

# %% [markdown]
# Several attributes can be added in turn, each with its own model and exemplar: here the hair
# colour of one face (LOMIT), then the glasses of another.

# %%
HAIR = 'lomit_avatars'  # @param {type: "string"}

if HAIR in packaged.names():
  hair = load_image(packaged.examples(packaged.find(HAIR), 'exemplar')[3])
  steps = in_sequence([Translator.from_pretrained(HAIR), model], source, [hair, exemplar])
  show([[source, hair, steps[0].image, exemplar, steps[1].image]],
       column_names=['source', 'hair of', 'first', 'glasses of', 'second'])
else:
  print(f'there is no model {HAIR} here')

# %% [markdown]
# ## Your own pictures
#
# Write the path of one or two pictures, of any size and format. Without them, the cell uses
# examples, enlarged to 240x192 and saved as JPEG. Pictures are cropped and resized as the model's
# own were; rectangles of `translate` are in pixels of your original picture.

# %%
MY_SOURCE = ''  # @param {type: "string"}
MY_EXEMPLAR = ''  # @param {type: "string"}

mine = RUNS / 'my_pictures'
mine.mkdir(parents=True, exist_ok=True)


def stand_in(image, name):
  """The example as a file of another size, format and shape."""
  wide = Image.new('RGB', (240, 192), 'white')
  wide.paste(Image.fromarray(image).resize((192, 192), Image.Resampling.BICUBIC), (24, 0))
  wide.save(mine / name, quality=95)
  return mine / name


my_source = MY_SOURCE or stand_in(sources[1], 'me.jpg')
my_exemplar = MY_EXEMPLAR or stand_in(exemplars[2], 'you.jpg')
written = translate.translate(model, str(my_source), str(my_exemplar), str(mine / 'out.png'),
                              save_masks=True)
kept = translate.translate(
    model, str(my_source), str(my_exemplar), str(mine / 'half.png'),
    source_edits=translate.Edits(erase=['0,0,192,120']))  # top, left, bottom, right of 240x192
# `fit` makes a picture of any size and kind ready for the model.
show([[model.fit(path) for path in (my_source, my_exemplar, *written, *kept)]],
     column_names=['source', 'exemplar', 'translation', "source's mask", "exemplar's mask",
                   'left half erased'])

# %% [markdown]
# The same from a shell, for files or whole folders (`--grid` makes one picture of all of them;
# `--source_mask=painted.png` takes a mask from a paint program):
#
# ```
# python -m maskgan_jax.translate --workdir=RUN --source=me.jpg --exemplar=you.jpg \
#     --output=half.png --erase_source=0,0,192,120
# ```

# %% [markdown]
# ## The demo page, in the notebook
#
# Masks can be painted with a brush here. The page is served by this machine, to this machine only.
# In Colab it appears below; where it does not, open the address that is printed.

# %%
if importlib.util.find_spec('gradio') is None:
  print("no page without Gradio: pip install 'gradio>=6.30,<7'")
else:
  from maskgan_jax.demo import page as demo_page
  from maskgan_jax.demo.models import Model

  examples = {'source': sources, 'exemplar': exemplars}
  page = demo_page.build({MODEL: Model(model, examples)})
  if not SMOKE:
    _, address, _ = demo_page.launch(page, inline=True, share=False, prevent_thread_lock=True,
                                     height=900)
    print(address)
