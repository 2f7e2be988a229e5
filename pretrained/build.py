"""Makes a model of this folder from a run: weights, config, card, examples; README.md's table.

  python pretrained/build.py content_transfer_avatars runs/avatars_glasses
  python pretrained/build.py

The second makes README.md alone. A model that is there is replaced. `MODELS` says how each was
trained; what the run measured (`scores.csv`) goes into the card.
"""

import os
import shutil
import sys
import textwrap

import numpy as np

from maskgan_jax import files
from maskgan_jax.demo.__main__ import open_run
from maskgan_jax.runs import scores
from maskgan_jax.translator import packaged, Translator

HERE = os.path.dirname(os.path.abspath(__file__))
_DRAWN = (
  'Drawn by python-avatars (MIT) and resvg-py, with the parts that docs/avatars.md names; '
  'no real person is shown. The eyes of all lie alike: template `avatars` (docs/photographs.md).'
)
_SHAPES = 'Circles and squares, drawn here; no two pictures show one scene.'

# name: what it does, data, how to train it, where it fails, columns of scores.csv for the card.
MODELS = {
  'content_transfer_avatars': dict(
    does="Puts one cartoon face's glasses on another, takes them off, finds them. Mask-based "
    'content transfer (ICLR 2020), 64x64.',
    data=_DRAWN,
    command='python -m maskgan_jax.train --config=configs/avatars_glasses.py:narrow '
    '--workdir=runs/avatars_glasses',
    limits='It knows these cartoon faces and nothing else; on photographs it makes smudges. '
    'Dark glasses go over well, the colours of thin and of white frames fade.',
    scores={
      'mask_iou': 'mask IoU with the truth',
      'transfer_psnr': 'transfer, PSNR in dB',
      'transfer_error_inside': 'transfer, error where it should change',
      'transfer_error_outside': 'transfer, error elsewhere',
      'removal_error_inside': 'removal, error where it should change',
      'removal_error_outside': 'removal, error elsewhere',
    },
  ),
  'lomit_avatars': dict(
    does="Gives a cartoon face another's hair colour. LOMIT (IJCAI 2019), `tuned`, 64x64.",
    data=_DRAWN,
    command='python -m maskgan_jax.train --config=configs/avatars_hair_color.py:narrow,tuned '
    '--workdir=runs/avatars_hair_color',
    limits='It knows six hair colours. Masks have a quarter of the resolution, so that a soft rim '
    'around the hair changes too, and light hair on dark heads comes out patchy.',
    scores={
      'mask_iou': 'mask IoU with the true hair',
      'transfer_error_inside': 'error where the hair is',
      'transfer_error_outside': 'error elsewhere',
      'transfer_psnr': 'PSNR in dB',
    },
  ),
  'egsc_it_digits': dict(
    does='Gives a black or white digit the colours of a coloured one, and back. EGSC-IT (ICLR '
    '2019), `tuned`, 28x28.',
    data="MNIST's digits (LeCun, Cortes and Burges; CC BY-SA 3.0), coloured as the paper says.",
    command='python -m maskgan_jax.train --config=configs/digits_single.py:quick,tuned '
    '--workdir=runs/digits_single --config.data.path=DIRECTORY_WITH_MNIST',
    limits='Colours are right and shapes are not: strokes come out thinner than they are, and some '
    'are broken, of black digits on white most of all. It was trained in two parts, 9,000 steps '
    'and then on to 16,000, where the schedule lifts the rate again.',
    scores={
      'ab_digit_color': "share of the digit's pixels in its right colour, a to b",
      'ba_digit_color': 'the same, b to a',
      'ab_digit_iou': 'IoU of the digit in its right colour, a to b',
      'ba_digit_iou': 'the same, b to a',
      'ab_ssim': 'SSIM to the true translation, a to b',
      'ba_ssim': 'SSIM to the true translation, b to a',
      'ab_exemplar_ssim': 'SSIM with the exemplar, a to b',
      'ba_exemplar_ssim': 'SSIM with the exemplar, b to a',
    },
  ),
} | {
  f'additional_mask_shapes{suffix}': dict(
    does='Makes squares of circles and circles of squares by what it adds to them, lambda_r = '
    f'{value}. Additional mask (IEEE Access 2023), 32x32.',
    data=_SHAPES,
    command='python -m maskgan_jax.train --config=configs/circle_square.py:quick '
    f'--config.image_size=32 --config.weights.mask={value} --workdir=runs/circles',
    limits="The circle's edge shows through, a grain lies over the shape, and corners are a "
    'little too dark.',
    scores={
      'ab_changed_share': 'share of the pixels that change, circles to squares',
      'truth_ab_changed_share': 'share that should',
      'ab_changed_iou': 'IoU with the pixels that should change',
      'ab_error': 'error to the true square',
      'do_nothing_ab_error': 'that of the circle itself',
    },
  )
  for suffix, value in (('', '1'), ('_weight_0.01', '0.01'), ('_weight_10', '10'))
}


def build(name: str, workdir: str) -> None:
  """Writes the folder of a model from a run."""
  model = open_run(workdir)
  folder = os.path.join(HERE, name)
  shutil.rmtree(folder, ignore_errors=True)
  row = scores.latest(workdir, split='test', step=model.translator.step)
  model.translator.save(folder, half=True, examples=model.examples)
  # Rounded to float16: what that does to results stands in the card.
  given = [np.stack(model.examples[role]) for role in model.roles]
  before, after = (
    t(*given).image.astype(int)
    for t in (model.translator, Translator.from_pretrained(folder))
  )
  text = card(name, row, np.abs(before - after).max())
  files.write_atomically(os.path.join(folder, packaged.CARD), text)


def card(name: str, row: scores.Row, levels: int) -> str:
  """The model card; rounding changes no pixel of the examples' results by more than `levels`."""
  facts = MODELS[name]
  measures = '\n'.join(
    f'| {text} | `{column}` | {row[column]:.3f} |'
    for column, text in facts['scores'].items()
  )
  data = textwrap.fill(
    f'{facts["data"]} `config.json` says which and how many. The pictures in '
    '`examples/` are of the test split.',
    100,
  )
  return f"""# {name}

{textwrap.fill(facts['does'], 100)}

```python
from maskgan_jax.translator import Translator
model = Translator.from_pretrained('{name}')
```

## Data

{data}

## Training

{row['step']:,} steps on one CPU core, from this repository:

```
{facts['command']}
```

## Measures

On {float(row['pairs']):,.0f} pairs of the test split, which training did not see:

| measure | figure | value |
|---|---|---|
{measures}

Of the weights as they were trained. Those here are rounded to float16, which changes no pixel of
the examples' translations by more than {levels} of 255 levels.

## Limits

{textwrap.fill(facts['limits'], 100)}

## Licence

Apache-2.0, as the code.
"""


def readme() -> None:
  """Writes README.md: the models and their sizes."""
  rows = []
  for name in packaged.names():
    size = sum(
      os.path.getsize(os.path.join(root, file))
      for root, _, inside in os.walk(os.path.join(HERE, name))
      for file in inside
    )
    rows.append(
      f'| [`{name}`]({name}/README.md) | {MODELS[name]["does"]} | {size / 1e6:.1f} MB |'
    )
  lines = '\n'.join(rows)
  with open(os.path.join(HERE, 'README.md'), 'w', encoding='utf-8') as file:
    file.write(f"""# Models to take away

Small ones, trained on a CPU on pictures that are drawn, to show at once what each method does:
`Translator.from_pretrained(NAME)`, `translate --pretrained=NAME`, `export --pretrained=NAME`, and
`demo`, which opens all of them. Cards have data, measures, limits and licence.

| model | what it does | size |
|---|---|---|
{lines}

`python pretrained/build.py NAME RUN` makes one from a run; `Translator.save` makes such a folder of
any model. `python -m maskgan_jax.evaluate --pretrained=NAME` checks the figures of a card.
""")


if __name__ == '__main__':
  if len(sys.argv) == 3 and sys.argv[1] in MODELS:
    build(*sys.argv[1:])
  elif len(sys.argv) != 1:
    sys.exit(
      f'usage: python pretrained/build.py [NAME RUN]; NAME is one of {", ".join(MODELS)}'
    )
  readme()
