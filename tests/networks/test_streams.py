"""Named streams are laid out example by example, and are taken apart under their names."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskgan_jax.networks import streams

BATCH = 3


def batch(seed):
  return jnp.asarray(np.random.default_rng(seed).normal(size=(BATCH, 2)), jnp.float32)


def test_examples_alternate_and_come_apart_again():
  a, b = batch(0), batch(1)
  joined = streams.interleave(a, b)
  np.testing.assert_array_equal(joined[:3], [a[0], b[0], a[1]])
  for name, array in vars(streams.cut(streams.apart(joined, 'ab'))).items():
    np.testing.assert_array_equal(array, {'a': a, 'b': b}[name])
  np.testing.assert_array_equal(streams.deinterleave(joined, 2)[1], b)
  np.testing.assert_array_equal(streams.swap(joined), streams.interleave(b, a))


def test_any_choice_of_streams_is_what_its_batches_are():
  """Covers whole arrays, neighbours, every second stream, both orders, repeats, other arrays."""
  batches = {name: batch(seed) for seed, name in enumerate('abcde')}
  four = streams.apart(streams.interleave(*(batches[name] for name in 'abcd')), 'abcd')
  e = streams.apart(batches['e'], 'e')
  everything = vars(four | e)
  for length in range(1, 5):
    for names in itertools.product('abcde', repeat=length):
      ours = streams.interleave(*(everything[name] for name in names))
      expected = jnp.stack([batches[name] for name in names], axis=1).reshape(-1, 2)
      assert np.array_equal(ours, expected), names


def test_streams_that_lie_together_are_not_copied():
  both = streams.apart(streams.interleave(batch(0), batch(1)), 'ab')
  assert streams.interleave(both.a, both.b) is both.a.joined
  operations = str(jax.make_jaxpr(lambda x: streams.interleave(
      *vars(streams.apart(x, 'abcd').only('d', 'b')).values()))(jnp.zeros((8, 2))))
  assert 'concatenate' not in operations and 'stack' not in operations


def test_a_function_sees_all_streams_at_once():
  a, b = batch(0), batch(1)
  calls = []

  def function(x, y):
    calls.append(len(x))
    return x + y, x * y
  added, multiplied = streams.apply(function, {'ab': (a, b), 'aa': (a, a), 'bb': (b, b)})
  assert calls == [3 * BATCH]
  np.testing.assert_array_equal(streams.cut(added).ab, a + b)
  np.testing.assert_array_equal(streams.cut(multiplied).bb, b * b)


def test_statistics_are_named():
  assert streams.statistics(('bb', 'ab', 'aa'), ('bb', 'ab', 'aa', 'bb')) == {
      'groups': 3, 'order': (0, 1, 2, 0)}
  assert streams.statistics('ab') == {'groups': 2, 'order': (0, 1)}


def test_sums_over_streams():
  a, b, c, d = map(batch, range(4))

  def loss(x, y):
    return jnp.abs(x - y).mean()
  np.testing.assert_allclose(streams.summed(loss, (a, b), (c, d)), loss(a, b) + loss(c, d),
                             rtol=1e-6)


def test_two_streams_of_one_name_are_an_error():
  one = streams.apart(batch(0), 'a')
  with pytest.raises(TypeError, match="'a'"):
    one | streams.apart(batch(1), 'a')
  assert vars(one.renamed(aa='a')) == {'aa': one.a}
