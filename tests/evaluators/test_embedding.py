"""How translations lie among real pictures: neighbours by brute force, points in the figure."""

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from helpers.simple_method import Data, pictures, Simple, simple
from maskgan_jax import evaluators
from maskgan_jax.evaluators import embedding
from maskgan_jax.methods.base import Translation
from maskgan_jax.reports import report
from maskgan_jax.runs import scores

SIZE = 16


class Copies(Simple):
  """Returns the exemplar; in reverse, a black picture."""
  abilities = frozenset({'exemplar', 'reverse'})

  def translate(self, params, model_state, source, exemplar, *, reverse=False, **unused):
    return Translation(jnp.full_like(exemplar, -1) if reverse else exemplar)


def rows_of(n, seed=0):
  return {'a': pictures(n, seed, SIZE), 'b': pictures(n, seed + 1, SIZE)}


def measure(rows, method=None, batch_size=4, draw=None):
  return evaluators.run(simple(method), Data(test=rows), names=('embedding',),
                        batch_size=batch_size, draw=draw)


def test_neighbours_by_brute_force():
  rng = np.random.default_rng(0)
  space = np.concatenate([rng.normal(size=(15, 3)), rng.normal(size=(15, 3)) + [1, 0, 0]])
  same = 0
  for i in range(30):
    others = [j for j in range(30) if j != i]
    nearest = min(others, key=lambda j, i=i: np.square(space[i] - space[j]).sum())
    same += (nearest < 15) == (i < 15)
  assert embedding.neighbours_same(space) == pytest.approx(same / 30)
  assert 0.5 < same / 30 < 0.95


def test_neighbours_of_what_is_alike_and_what_is_not():
  rng = np.random.default_rng(0)
  alike = rng.normal(size=(2000, 2))
  assert embedding.neighbours_same(alike) == pytest.approx(0.5, abs=0.04)
  apart = alike + 100 * (np.arange(2000) >= 1000)[:, None]
  assert embedding.neighbours_same(apart) == 1
  copies = np.concatenate([alike[:1000], alike[:1000]])
  assert embedding.neighbours_same(copies) == 0
  # Four equal points: one of the three equally near neighbours is of the same set.
  assert embedding.neighbours_same(np.ones((4, 2))) == pytest.approx(1 / 3)


@pytest.mark.parametrize('batch_size', [5, 64])
def test_the_number_does_not_depend_on_batches(batch_size):
  got = measure(rows_of(12), Copies(), batch_size)
  assert set(got) == {'pairs', 'ab_neighbours_same', 'ba_neighbours_same'}
  assert got['ab_neighbours_same'] == 0  # every translation is the copy of a real picture
  assert got['ba_neighbours_same'] > 0.5  # all black


def test_principal_components_keep_distances():
  images = pictures(9, size=SIZE)
  space = embedding._principal(images)
  flat = images.reshape(9, -1) / 255
  want = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
  np.testing.assert_allclose(np.linalg.norm(space[:, None] - space[None], axis=-1), want,
                             atol=1e-4)
  assert embedding._principal(pictures(60, size=SIZE)).shape == (60, 50)


def test_only_the_first_thousand_pairs_count(monkeypatch):
  monkeypatch.setattr(embedding, '_MOST', 6)
  rows = rows_of(11)
  few = {name: images[:6] for name, images in rows.items()}
  assert (measure(rows, batch_size=4)['ab_neighbours_same']
          == measure(few, batch_size=6)['ab_neighbours_same'])
  evaluator = embedding.Evaluator()
  for batch in Data(test=rows).evaluation('test', batch_size=4):
    evaluator.update(batch, evaluators.base.Outputs(simple(), batch), batch['valid'])
  real, translated = evaluator._sets['ab']
  np.testing.assert_array_equal(np.stack(real), rows['b'][:6])
  assert len(translated) == 6 and (np.stack(translated)[:, :, :8] == 255).all()


def test_large_pictures_are_averaged():
  image = pictures(1, size=256)[0]
  small = embedding._smaller(image)
  np.testing.assert_allclose(small, image.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)), atol=0.51)
  assert embedding._smaller(image[:128, :128]) is not None
  np.testing.assert_array_equal(embedding._smaller(image[:128, :128]), image[:128, :128])
  assert embedding._smaller(np.zeros((256, 512, 3), np.uint8)).shape == (86, 171, 3)


def test_the_figure_has_a_dot_and_a_cross_where_the_points_are():
  points = np.array([[-2.0, 0], [0, 1], [0, -1], [2, 0]])
  image = embedding.draw(points, 'title')
  plot = image[embedding._HEAD + 4:, :].astype(int)
  red = (plot[..., 0] > 180) & (plot[..., 1] < 80)
  blue = (plot[..., 2] > 150) & (plot[..., 0] < 100)
  middle = embedding._SIDE / 2 + embedding._MARGIN
  quarter = (embedding._SIDE - 2 * embedding._MARGIN) / 4
  for mask, there in ((red, [(0, -2), (-1, 0)]), (blue, [(1, 0), (0, 2)])):
    for y, x in there:  # further up is a smaller row
      row, column = (round(c) for c in (middle - embedding._MARGIN - 4 + quarter * y,
                                        middle + quarter * x))
      assert mask[row - 5:row + 6, column - 5:column + 6].sum() > 8
    assert mask.sum() < 150
  legend = image[:embedding._HEAD].astype(int)
  assert ((legend[..., 0] > 180) & (legend[..., 1] < 80)).sum() > 8
  assert (legend.sum(axis=-1) < 200).sum() > 50  # letters


def test_figures_are_saved_and_shown(tmp_path, monkeypatch):
  monkeypatch.setattr(embedding, '_neighbour_embedding', lambda space: space[:, :2])
  translator = simple(Copies())
  config = translator.config
  config.update(evaluators=('embedding',), evaluation_batch_size=8)
  got = evaluators.measure(translator, Data(test=rows_of(8)), config, tmp_path, 20)
  assert scores.read(tmp_path)[0]['ab_neighbours_same'] == got['ab_neighbours_same']
  saved = {}
  for direction in ('ab', 'ba'):
    with Image.open(tmp_path / 'figures' / f'embedding_{direction}.png') as image:
      saved[direction] = np.asarray(image)
      assert image.info['Description'].startswith('Step 20. Where translations lie')
  assert saved['ab'].dtype == np.uint8 and (saved['ab'] != saved['ba']).any()
  with open(report.write(tmp_path), encoding='utf-8') as file:
    page = file.read()
  assert '<b>Embedding ab.</b> Step 20. Where translations lie' in page
  lines = evaluators.table(got).splitlines()
  assert ' '.join(lines[1].split()) == 'a to b neighbours alike (%) 0.0'
  assert lines[3] == '8 pairs'
  # An older step that is measured later does not replace the figure; a newer one does.
  for step, shown in ((10, 20), (30, 30)):
    evaluators.measure(translator, Data(test=rows_of(8)), config, tmp_path, step)
    with Image.open(tmp_path / 'figures' / 'embedding_ab.png') as image:
      assert image.info['Description'].startswith(f'Step {shown}.')
  # Scores on other data do not replace it either.
  evaluators.measure(translator, Data(test=rows_of(8)), config, tmp_path, 40,
                     row_name='test, data.b=Smiling')
  with Image.open(tmp_path / 'figures' / 'embedding_ab.png') as image:
    assert image.info['Description'].startswith('Step 30.')


def test_the_figure_is_the_same_each_time():
  drawn = []
  for _ in range(2):
    measure(rows_of(6), draw=lambda *figure: drawn.append(figure))
  (name, first, caption), (_, second, _) = drawn
  assert name == 'embedding_ab' and caption
  np.testing.assert_array_equal(first, second)


def test_too_few_or_equal_pictures_have_no_figure():
  drawn = []
  assert measure(rows_of(3), draw=lambda *figure: drawn.append(figure)) == {'pairs': 3}
  black = {name: np.zeros((5, SIZE, SIZE, 3), np.uint8) for name in 'ab'}
  got = measure(black, Copies(), draw=lambda *figure: drawn.append(figure))
  assert got['ab_neighbours_same'] == pytest.approx(4 / 9) and not drawn
