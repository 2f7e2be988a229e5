"""LOMIT, local mask-based image-to-image translation (Cho et al.; IJCAI 2019 and ICLR 2019 subm.).

A local mask of the exemplar says what to take, a mask of the source says where to put it, and
highway AdaIN blends two styles per pixel. Content encoder E_c, style encoder E_s, mask network G_m
(which the ICLR paper calls A), decoder G with HAdaIN h, critic D with an auxiliary classifier:

  x_ab = G(h(E_c(a), m_a, E_s(m_b * b), E_s((1 - m_a) * a)))

and x_ba with a and b exchanged. As in the authors' code a and b are any two images, and D
classifies their labels (`config.data.attributes`; without any, the domain of an image).

`config.variant`: 'ijcai' and 'iclr' are the papers ('paper' is the one that was published, IJCAI),
'official' the authors' code (github.com/AnonymousIclrAuthor/Highway-Adaptive-Instance-
Normalization, last state); VARIANTS lists where they differ, each a switch in `config.model`. A
later upload, github.com/ICMLAnonymousAuthor/LOMIT-demo, is 'official' with cosegmentation=False;
its critic's spectral normalisation is not here. 'tuned' departs from all of them to get nearer to
the truth (docs/tuned.md). Norms of images and codes, sums in the papers, are means in every
variant, as in both uploads.
"""

import functools

import jax
import jax.numpy as jnp
import ml_collections

from maskgan_jax.losses import adversarial, mask_regularizers, reconstruction
from maskgan_jax.methods import _given_masks, _lomit_networks, base
from maskgan_jax.methods import _lomit_settings as settings
from maskgan_jax.networks import augmentation, masks, replicas, streams

VARIANTS = settings.VARIANTS
get_default, shrink = settings.get_default, settings.shrink


def make(config: ml_collections.ConfigDict) -> 'Lomit':
  """Builds the method from a config; UserError where a value makes no sense."""
  return Lomit(config)


class Lomit(base.Method):
  """The two players and what they minimise; the networks are in _lomit_networks.py."""

  learns_from_masks = True
  augments_critics = True
  mask_meanings = {
    'source': "Coloured: what is drawn in the exemplar's style. What is erased keeps the "
    "source's own style; it is drawn anew all the same.",
    'exemplar': 'Coloured: whose style is taken. Where nothing is left, a style of nothing, '
    'often grey, takes its place.',
  }

  def __init__(self, config: ml_collections.ConfigDict):
    self.switches = base.switches(config, VARIANTS)
    settings.check(config)
    model = config.model
    self.weights = config.weights
    self.augment = augmentation.Augmentation(tuple(config.critic_augmentation))
    self.batch_size = config.batch_size
    self.attributes = len(config.data.attributes)
    self.mask_size = config.image_size // 4
    self.similarity_factor = (model.similarity_size or self.mask_size) // self.mask_size
    self.exemplar_mask = model.exemplar_mask
    self.mixes_examples = self.switches.inference_statistics == 'batch'

    abilities = {'exemplar', 'source_mask', 'segment', 'interpolate'}
    if model.exemplar_mask:
      abilities.add('exemplar_mask')
    if config.data.a != config.data.b:
      abilities.add('reverse')
    self.abilities = frozenset(abilities)

    self._model = _lomit_networks.Networks(
      model,
      self.switches,
      max(self.attributes, 1),
      jnp.dtype(config.compute_dtype),
      config.remat,
    )
    self.networks = self._model.by_name
    self.init = self._model.init
    self.segment = self._model.segment
    generator = tuple(name for name in self.networks if name != 'critic')
    self.players = (
      base.Player('critic', ('critic',), self.critic_loss),
      base.Player(
        'generator', generator, self.generator_loss, every=model.critic_every
      ),
    )

  def _labels(self, batch):
    """Returns the labels of a and b, [B, K]: attributes, or whether an image is of domain b."""
    if self.attributes:
      labels = streams.interleave(batch['a_attributes'], batch['b_attributes'])
    else:
      ones = jnp.ones((len(batch['a']), 1))
      labels = streams.interleave(0 * ones, ones)
    return streams.apart(labels, 'ab')

  def critic_loss(self, params, model_state, batch, rng):
    """Returns -L_adv + lambda_cls L_cls^r of ICLR eqs. 10, 11 and 16, summed over directions."""
    # The authors translate each direction by itself, which predicts both masks each time.
    parts, stats = self._model.exchange(
      jax.lax.stop_gradient(params),
      model_state['batch_stats'],
      batch,
      ('a', 'b', 'b', 'a'),
    )
    image, label = parts.image, self._labels(batch)
    image = self._seen(rng, a=image.a, ab=image.ab, b=image.b, ba=image.ba)
    score, logits = self._model.together('critic', params, **vars(image))
    both, classify = streams.summed, adversarial.multi_label_cross_entropy
    penalty = self._gradient_penalty(params, rng)
    losses = {
      # Eq. 10, with the penalty; between them eq. 11.
      'real': -both(jnp.mean, (score.a,), (score.b,)),
      'fake': both(jnp.mean, (score.ab,), (score.ba,)),
      'classification': both(classify, (logits.a, label.a), (logits.b, label.b)),
      'gradient_penalty': both(penalty, (image.a, image.ab), (image.b, image.ba)),
    }
    loss = (
      self.weights.adversarial * (losses['real'] + losses['fake'])
      + self.weights.classification * losses['classification']
      + self.weights.gradient_penalty * losses['gradient_penalty']
    )

    if self.switches.erasing:
      _, logits_left = self._left(params, parts, rng)
      losses['erased'] = both(
        classify, (logits_left.a, label.a), (logits_left.b, label.b)
      )
      loss += self.switches.erasing * losses['erased']

    right = both(_accuracy, (logits.a, label.a), (logits.b, label.b)) / 2
    metrics = dict(losses, accuracy=right)
    return loss, (metrics, {**model_state, 'batch_stats': stats})

  def _seen(self, rng, number=0, **images):
    """Returns images by name as the critic sees them, augmented if the config says so."""
    if not self.augment.kinds:
      return streams.Streams(**images)
    return streams.apply(functools.partial(self.augment, rng, number=number), images)

  def _gradient_penalty(self, params, rng):
    """Returns the penalty of ICLR eq. 10 as a function of images and translations."""
    # Penalties are never bfloat16.
    critic = self.networks['critic'].clone(dtype=jnp.float32)

    def score(images):
      return critic.apply({'params': params['critic']}, images)[0]

    def penalty(real, fake):
      alpha = replicas.draw(lambda n: jax.random.uniform(rng, (n, 1, 1, 1)), len(real))
      return adversarial.gradient_penalty(score, real, fake, alpha)

    return penalty

  def generator_loss(self, params, model_state, batch, rng):
    """Returns L_G of ICLR eq. 16; every term is summed over both directions."""
    parts, stats = self._model.exchange(
      params, model_state['batch_stats'], batch, ('a', 'b')
    )
    image, label = parts.image, self._labels(batch)
    seen = self._seen(rng, ab=image.ab, ba=image.ba)
    score, logits = self._model.together('critic', params, **vars(seen))
    parts, stats = self._model.second_stage(params, stats, parts)
    image, content, mask, foreground, background = parts

    both, l1 = streams.summed, reconstruction.l1
    classify = adversarial.multi_label_cross_entropy
    losses = {
      'adversarial': -both(jnp.mean, (score.ab,), (score.ba,)),  # eq. 10
      # Eq. 12: a translation has the labels of its exemplar.
      'classification': both(classify, (logits.ab, label.b), (logits.ba, label.a)),
      'cycle': both(l1, (image.aba, image.a), (image.bab, image.b)),  # eq. 8
      'reconstruction': both(l1, (image.aa, image.a), (image.bb, image.b)),  # eq. 9
      **_code_losses(content, foreground, background),
      **self._mask_losses(mask, content, len(batch['a'])),
      **self._given_mask_losses(batch, image, mask),
    }
    loss = sum(
      self.weights[name] * value for name, value in losses.items() if self.weights[name]
    )

    if self.switches.erasing:
      losses['erased'] = self._erased(params, parts, label, rng)
      loss += self.switches.erasing * losses['erased']

    # Eq. 14 is reported by every variant.
    style_difference = both(l1, (foreground.a, foreground.b))
    if self.switches.style_difference:
      loss -= self.switches.style_difference * style_difference
    of_masks = masks.statistics(streams.interleave(mask.a, mask.b))
    metrics = dict(losses, style_difference=style_difference, **of_masks)
    return loss, (metrics, {**model_state, 'batch_stats': stats})

  def _given_mask_losses(self, batch, image, mask):
    """Returns the losses of given masks, of both translations and both predicted masks."""
    if not _given_masks.is_on(self.weights):
      return {}
    image, mask = streams.cut(image), streams.cut(mask)
    upsample = functools.partial(masks.upsample, factor=4)
    return _given_masks.summed(
      (
        _given_masks.losses(self.weights, batch, 'a', image.ab, upsample(mask.a)),
        _given_masks.losses(self.weights, batch, 'b', image.ba, upsample(mask.b)),
      )
    )

  def _left(self, params, parts, rng):
    """Returns scores and labels' logits of a and b with their masks cut out."""
    image, mask = parts.image, parts.mask
    left = _lomit_networks.without(a=(mask.a, image.a), b=(mask.b, image.b))
    left = self._seen(rng, number=1, **vars(left))
    return self._model.together('critic', params, **vars(left))

  def _erased(self, params, parts, label, rng):
    """Returns how much of the labels is left outside the masks; least where nothing is.

    It is the cross entropy to the labels' means over the batch, which is what can be said of a
    picture without seeing it.
    """
    _, logits = self._left(params, parts, rng)
    labels = streams.interleave(label.a, label.b)
    unseen = jnp.broadcast_to(replicas.mean(labels.mean(0)), labels.shape)
    logits = streams.interleave(logits.a, logits.b)
    return 2 * adversarial.multi_label_cross_entropy(logits, unseen)

  def _mask_losses(self, mask, content, batch_size):
    """Returns the regularisers of masks by name, ICLR eqs. 13 and 15.

    `batch_size` is that of the batch at hand.
    """
    regularized = [streams.interleave(mask.a, mask.b)]
    if self.switches.regularized_masks == 'all':
      regularized.append(streams.interleave(mask.ab, mask.ba))
      regularized.append(streams.interleave(mask.aa, mask.bb))
    content = streams.interleave(content.a, content.b)
    losses = {
      'similarity': self._similarity(regularized, content),  # eq. 13
      'size': 2 * sum(map(mask_regularizers.size, regularized)),  # eq. 15
    }
    if self.switches.size_reduction == 'sum':
      losses['size'] *= self.mask_size**2
    if self.weights.total_variation:
      # A sum over the whole batch, however it is divided.
      total = sum(map(mask_regularizers.total_variation, regularized))
      losses['total_variation'] = total * (self.batch_size / batch_size)
    return losses

  def _similarity(self, regularized, content):
    """Returns R1 (eq. 13) of masks [2 * B, h, w, 1], summed over them and over both directions.

    All masks are held against the same content, which gets no gradient.
    """
    if not self.weights.similarity:
      return jnp.zeros(())
    if self.similarity_factor > 1:
      content = masks.upsample(content.astype(jnp.float32), self.similarity_factor)
      regularized = [
        masks.upsample(mask, self.similarity_factor) for mask in regularized
      ]
    content = content.reshape(content.shape[0], -1, content.shape[-1])
    flat = [mask.reshape(mask.shape[0], -1) for mask in regularized]
    of_image = jax.vmap(mask_regularizers.similarity, in_axes=(0, None))
    similarity = jax.vmap(of_image)(jnp.stack(flat, axis=1), content)
    total = 2 * similarity.sum(1).mean()
    pixel_pairs = content.shape[1] ** 2
    return total if self.switches.similarity_reduction == 'sum' else total / pixel_pairs

  def translate(
    self,
    params,
    model_state,
    source,
    exemplar,
    *,
    source_mask=None,
    exemplar_mask=None,
    rng=None,
    reverse=False,
  ):
    """Returns x_ab of source and exemplar (IJCAI section 3; with edited masks section 4.2).

    A given source_mask says where the exemplar's style goes, a given exemplar_mask of which part of
    the exemplar that style is. One network translates either way.
    """
    del rng, reverse
    parts = self._model.ingredients(
      params,
      model_state,
      source,
      exemplar,
      source_mask=source_mask,
      exemplar_mask=exemplar_mask,
    )
    image = self._model.decode(params, parts, source)
    exemplar_mask = parts.exemplar_mask if self.exemplar_mask else None
    return base.Translation(image, parts.source_mask, exemplar_mask)

  def interpolate(self, params, model_state, source, exemplar_1, exemplar_2, weight):
    """Returns x_ab with codes and masks (1 - weight) of exemplar_1's + weight of exemplar_2's.

    Only the foreground code depends on the exemplar, and under co-segmentation all of them do.
    """
    parts_1 = self._model.ingredients(params, model_state, source, exemplar_1)
    parts_2 = self._model.ingredients(params, model_state, source, exemplar_2)
    blended = jax.tree.map(
      lambda one, two: (1 - weight) * one + weight * two, parts_1, parts_2
    )
    # The content is the source's, whatever the exemplar.
    blended = blended._replace(content=parts_1.content)
    image = self._model.decode(params, blended, source)
    return base.Translation(image, blended.source_mask)


def _accuracy(logits, labels):
  """Returns the share of labels that logits are on the right side of."""
  return ((logits > 0) == (labels > 0.5)).mean()


def _code_losses(content, foreground, background):
  """Returns how far translations have moved from the codes they were made of, ICLR eqs. 5 to 7."""
  both, l1 = streams.summed, reconstruction.l1
  return {
    'foreground_style': both(
      l1, (foreground.ab, foreground.b), (foreground.ba, foreground.a)
    ),
    'background_style': both(
      l1, (background.ab, background.a), (background.ba, background.b)
    ),
    'content': both(l1, (content.ab, content.a), (content.ba, content.b)),
  }
