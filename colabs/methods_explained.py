# %% [markdown]
# # Four methods, their equations, and the code that computes them
#
# Equations are numbered as in the papers. Next to each is the function of this package that
# computes it, called on something small enough to look at, and compared with the equation where
# that is possible. Nothing is trained here, apart from a few hundred steps on a single mask.
#
# | method in `maskgan_jax/methods/` | paper | what it learns |
# |---|---|---|
# | `content_transfer.py` | Mokady et al., ICLR 2020 | a mask of content, and what to paint |
# | `lomit.py` | Cho et al., IJCAI 2019, ICLR 2019 submission | two masks, two styles |
# | `egsc_it.py` | Ma et al., ICLR 2019 | masks of features; the exemplar's statistics |
# | `additional_mask.py` | Choi et al., IEEE Access 2023 | a picture to be added |

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
import runpy
import time

from _setup import ROOT, SMOKE
from IPython.display import display, Markdown
import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image

from maskgan_jax import methods
from maskgan_jax.data.drawn import avatar_faces, shape_drawing
from maskgan_jax.data.images import load_image
from maskgan_jax.losses import adversarial, mask_regularizers, reconstruction
from maskgan_jax.methods import base
from maskgan_jax.networks import masks, normalization
from maskgan_jax.runs import pictures
from maskgan_jax.translator import packaged, Translator

SIZE = 64


def once(function, *arguments, **options):
  """Calls a function that is compiled for this one call, and therefore hardly optimised."""
  jax.config.update('jax_disable_most_optimizations', True)
  try:
    return jax.jit(function, static_argnames=tuple(options))(*arguments, **options)
  finally:
    jax.config.update('jax_disable_most_optimizations', False)


def show(image, **options):
  """Shows an array below the cell; a list of lists as a grid with names."""
  image = pictures.grid(image, **options) if isinstance(image, list) else image
  display(Image.fromarray(pictures.to_uint8(image)))


def to_float(image):
  """uint8 [H, W, 3] as float32 [1, H, W, 3] in [-1, 1], which is what networks and losses see."""
  return jnp.asarray(image, jnp.float32)[None] / 127.5 - 1


def small(config, size=16):
  """A method at the size of a toy with fresh parameters, and a batch of faces."""
  config = runpy.run_path(str(ROOT / 'configs' / f'{config}.py'))['get_config']('smoke')
  config.image_size, config.batch_size = size, 4
  method = methods.make(config)
  recipes = [avatar_faces.recipe(0, 'test', number) for number in range(40)]
  bare = [face for face in recipes if not face.glasses][:4]
  wearing = [face for face in recipes if face.glasses][:4]
  batch = {}
  for domain, faces in (('a', bare), ('b', wearing)):
    pictures_of_faces = [avatar_faces.render(face, size) for face in faces]
    batch[domain] = jnp.concatenate(list(map(to_float, pictures_of_faces)))
  for domain in 'ab':
    batch[f'{domain}_attributes'] = jnp.eye(4, len(config.data.attributes))
  return config, method, batch, *once(method.init, jax.random.key(0), batch)


close = {}  # comparisons: name -> whether the two sides agree


def compare(name, computed, expected, rtol=1e-4):
  """Prints both sides of an equation."""
  computed, expected = float(computed), float(expected)
  close[name] = bool(np.isclose(computed, expected, rtol=rtol))
  print(f'{name}: {computed:.6f}; by the equation {expected:.6f}')


# %% [markdown]
# ## Content transfer
#
# $$m(a,b),\ z_{raw}(a,b) = D_B(E_c(a), E_s(b)) \tag{1}$$
# $$z(a,b) = m(a,b) \odot z_{raw}(a,b) + (1 - m(a,b)) \odot a \tag{2}$$
#
# `masks.composite` is (2). With the true mask of a drawn pair of glasses, and the wearer as the raw
# picture, only the glasses come over; with a mask cut in half, half of them.

# %%
faces = [avatar_faces.recipe(0, 'test', i) for i in range(60)]
source = next(face for face in faces if not face.glasses and not face.hat)
exemplar = next(face for face in faces if face.glasses)
wearing = avatar_faces.with_attributes_of(source, exemplar, ['Eyeglasses'])
a, b, raw = (to_float(avatar_faces.render(face, SIZE)) for face in (source, exemplar, wearing))
mask = jnp.asarray(avatar_faces.changed(source, wearing, SIZE) > 0, jnp.float32)[None, ..., None]
half = mask.at[:, :, :SIZE // 2].set(0)

show([[a[0], b[0], raw[0], mask[0], masks.composite(mask, raw, a)[0], half[0],
       masks.composite(half, raw, a)[0]]],
     column_names=['a', 'b', 'z_raw', 'm', 'z(a, b)', 'half of m', 'z(a, b)'])

# %% [markdown]
# The discriminator $C$ learns to tell codes of $a$ from codes of $b$, the encoder that it cannot;
# $l(p,q) = -(q \log p + (1-q) \log(1-p))$:
#
# $$L_{DC} = \tfrac{1}{|S_A|}\sum_a l(C(E_c(a)),1) + \tfrac{1}{|S_B|}\sum_b l(C(E_c(b)),1)
# \tag{3}$$
# $$L_{C} = \tfrac{1}{|S_A|}\sum_a l(C(E_c(a)),0) + \tfrac{1}{|S_B|}\sum_b l(C(E_c(b)),1)
# \tag{4}$$
#
# `adversarial.binary_cross_entropy` takes logits, so that nothing overflows where $p$ is 0 or 1.

# %%
logits = jnp.array([[-2.0], [0.5], [3.0]])
p = 1 / (1 + jnp.exp(-logits))
compare('l(p, 1)', adversarial.binary_cross_entropy(logits, 1.0), -jnp.log(p).mean())
compare('l(p, 0)', adversarial.binary_cross_entropy(logits, 0.0), -jnp.log(1 - p).mean())
print('at a logit of -1000:', adversarial.binary_cross_entropy(jnp.array([-1000.0]), 1.0))

# %% [markdown]
# $$L_{Recon1}^A = \|D_A(E_c(a)) - a\|_1 \tag{5} \qquad
# L_{Recon1}^B = \|z'(D_A(E_c(b)), b, b) - b\|_1 \ (6),\quad
# z'(c,a,b) = m \odot z_{raw} + (1-m) \odot c \ (7)$$
# $$L_{Recon2}^A = \|z(a,a) - a\|_1,\quad L_{Recon2}^B = \|z(b,b) - b\|_1 \tag{8}$$
# $$L_{Cycle} = \|E_c(z(a,b)) - E_c(a)\|_2 + \|E_s(z(a,b)) - E_s(b)\|_2 \tag{9}$$
# $$L = L_{DC} + \lambda_1 L_{Recon1}^A + \lambda_2 L_{Recon1}^B + \lambda_3 L_{Cycle} +
# \lambda_4 L_{Recon2}^A + \lambda_5 L_{Recon2}^B$$
#
# (8) is what keeps masks small: what is painted is never quite the picture, so where nothing needs
# to change, the best mask is 0. `ContentTransfer.autoencoder_loss` computes them, here as the
# authors' code has them (`config.variant`): the target in (3) is 0, $z(a,a)$ in (8) gets zeros for
# $E_s(a)$, and of (9) only the second term counts; `VARIANTS['paper']` has all three as written.
# Its metrics are the terms, and the weighted sum of these is the loss:

# %%
config, method, batch, params, state = small('quickstart')
loss, (metrics, _) = once(method.autoencoder_loss, params, state, batch, jax.random.key(1))
lines = ['| term | weight | value |', '|---|---:|---:|']
lines += [f'| {name} | {weight:g} | {float(metrics[name]):.4f} |'
          for name, weight in config.weights.items() if weight]
display(Markdown('\n'.join(lines)))
compare('content transfer, L', loss,
        sum(weight * metrics[name] for name, weight in config.weights.items() if weight))

# %% [markdown]
# The next cell shows why the mask ends up on the glasses: it differentiates both losses of $b$ by
# the mask. The exact face without glasses replaces $D_A(E_c(b))$, and a blurred $b$ replaces
# $z_{raw}$, which no autoencoder copies exactly. Blue means that the mask should grow, red that it
# should shrink.

# %%
with_it = to_float(avatar_faces.render(exemplar, SIZE))
without = to_float(avatar_faces.render(avatar_faces.without(exemplar, ['Eyeglasses']), SIZE))
glasses = avatar_faces.attribute_mask(exemplar, 'Eyeglasses', SIZE)
blurred = jax.image.resize(jax.image.resize(with_it, (1, 32, 32, 3), 'linear'), with_it.shape,
                           'linear')


def recon1_b(m):
  return reconstruction.l1(masks.composite(m, blurred, without), with_it)


def recon2_b(m):
  return reconstruction.l1(masks.composite(m, blurred, with_it), with_it)


def signed(slope):
  """Red where positive, blue where negative, white where zero."""
  share = slope[0, ..., 0] / jnp.abs(slope).max()
  return jnp.stack([1 + 2 * jnp.minimum(share, 0), 1 - 2 * jnp.abs(share),
                    1 - 2 * jnp.maximum(share, 0)], -1)


undecided = jnp.full((1, SIZE, SIZE, 1), 0.5)
grow, shrink = jax.grad(recon1_b)(undecided), jax.grad(recon2_b)(undecided)
pulled = config.weights.recon1_b * grow + config.weights.recon2_b * shrink
show([[with_it[0], without[0], blurred[0], signed(grow), signed(shrink), signed(pulled),
       glasses]],
     column_names=['b', 'D_A(E_c(b))', 'z_raw', 'by L_Recon1', 'by L_Recon2', 'both, weighted',
                   'the glasses'])
slope_inside = float(pulled[0, ..., 0][glasses > 0.5].mean())
slope_outside = float(pulled[0, ..., 0][glasses == 0].mean())
print(f'mean slope: {slope_inside:.1e} where the glasses are, {slope_outside:.1e} elsewhere')

# %% [markdown]
# Networks have one owner. What a player does not own gets no gradient by construction: a step only
# differentiates with respect to what the player owns.

# %%
for player in method.players:
  print(f'{player.name} owns {", ".join(player.owns)}')

# %% [markdown]
# ## LOMIT
#
# Adaptive instance normalisation gives each channel of the content $c$ a scale and a shift that
# come from a style $s$; highway AdaIN does so with one style where the mask is 1 and another where
# it is 0:
#
# $$\mathrm{AdaIN}(c, s) = \gamma(s)\,\frac{c - \mu(c)}{\sigma(c)} + \beta(s) \tag{3}$$
# $$\mathrm{HAdaIN}(m_1, c_1, s_2^f, s_1^b) = m_1 \odot \mathrm{AdaIN}(c_1, s_2^f) +
# (1 - m_1) \odot \mathrm{AdaIN}(c_1, s_1^b) \tag{4}$$
#
# Here the content is a picture's own three channels, styles are random codes, and the mask is half.

# %%
hadain = normalization.HighwayAdaIN(width=8)
codes = jax.random.normal(jax.random.key(5), (2, 1, 8))
left = jnp.zeros((1, SIZE, SIZE, 1)).at[:, :, :SIZE // 2].set(1)
ramp = jnp.broadcast_to(jnp.linspace(1, 0, SIZE)[None, None, :, None], left.shape)
weights = hadain.init(jax.random.key(8), a, left, *codes)


def highway(mask):
  """HAdaIN of the source with these two styles."""
  return hadain.apply(weights, a, mask, *codes)


foreground, background = highway(jnp.ones_like(left)), highway(jnp.zeros_like(left))
split = highway(left)
low, high = (float(bound(jnp.stack([foreground, background]))) for bound in (jnp.min, jnp.max))
show([[a[0], *((2 * (x[0] - low) / (high - low) - 1)
               for x in (foreground, background, split, highway(ramp)))],
      [None, *(m[0] for m in (jnp.ones_like(left), jnp.zeros_like(left), left, ramp))]],
     column_names=['content', 'mask 1: foreground', 'mask 0: background', 'half', 'ramp'],
     row_names=['HAdaIN', 'mask'])
compare('HAdaIN, foreground half', split[:, :, :SIZE // 2].sum(),
        foreground[:, :, :SIZE // 2].sum())
compare('HAdaIN, background half', split[:, :, SIZE // 2:].sum(),
        background[:, :, SIZE // 2:].sum())

# %% [markdown]
# $R_1$ asks that pixels of like content have like mask values: over all pairs of pixels, the
# difference of their masks times the cosine of their contents,
#
# $$R_1 = \sum_{i,j} |m_i - m_j| \, \langle \bar c_i, \bar c_j \rangle ,\qquad
# \bar c = c / \|c\| \tag{13}$$
#
# which is $N^2$ pairs for $N$ pixels. Once pixels are sorted by mask value, $m_i - m_j$ has a known
# sign and the sum falls apart into running sums of contents: $O(N \log N + N C)$. Both forms are in
# `losses/mask_regularizers.py`, the pairwise one as the definition that tests hold the other to.

# %%
random = np.random.default_rng(0)
rows = ['| pixels | pairwise, ms | linear, ms | pairwise, MB | linear, MB | largest difference of '
        'gradients |', '|---:|---:|---:|---:|---:|---:|']
for pixels in (64, 256) if SMOKE else (256, 1_024, 4_096):
  m = jnp.asarray(random.uniform(size=pixels), jnp.float32)
  content = jnp.asarray(random.normal(size=(pixels, 32)), jnp.float32)
  results, taken, memory = [], [], []
  for form in (mask_regularizers.similarity_pairwise, mask_regularizers.similarity):
    compiled = jax.jit(jax.value_and_grad(form)).lower(m, content).compile()
    memory.append(compiled.memory_analysis().temp_size_in_bytes / 1e6)
    results.append(jax.block_until_ready(compiled(m, content)))
    times = []
    for _ in range(5):
      began = time.perf_counter()
      jax.block_until_ready(compiled(m, content))
      times.append(time.perf_counter() - began)
    taken.append(1e3 * min(times))
  compare(f'R1 of {pixels} pixels', results[1][0], results[0][0], rtol=1e-3)
  apart = float(jnp.abs(results[1][1] - results[0][1]).max() / jnp.abs(results[0][1]).max())
  rows.append(f'| {pixels:,} | {taken[0]:.2f} | {taken[1]:.2f} | {memory[0]:.2f} | '
              f'{memory[1]:.2f} | {apart:.0e} of the largest |')
display(Markdown('\n'.join(rows)))

# %% [markdown]
# This is what it does to a mask: here pixels' contents are their colours, the mask begins as noise
# around a hint (the hair, wrongly brushed), and follows the gradient of $R_1$ with a pull towards
# the hint. Values become equal within each colour, also on the teeth, which look like hair if one
# sees only colours. No gradient goes into the contents.

# %%
small_size = 16 if SMOKE else 32
blond = next(face for face in faces if face.hair and not face.hat
             and face.hair_color in avatar_faces.HAIR_COLORS['Blond'])
picture = avatar_faces.render(blond, small_size)
colours = to_float(picture)[0]
contents = (colours - colours.mean((0, 1))).reshape(-1, 3)
hair = jnp.asarray(avatar_faces.attribute_mask(blond, 'hair_color', small_size))
noise = jnp.asarray(random.normal(size=hair.shape), jnp.float32)
hint = jnp.clip(0.2 + 0.6 * hair + 0.35 * noise, 0.02, 0.98)


@jax.jit
def pull(logits):
  """The gradient of the mean of R1 and a distance to the hint."""
  def loss(logits):
    m = jax.nn.sigmoid(logits)
    r1 = mask_regularizers.similarity(m, contents) / m.size ** 2
    return 4 * r1 + jnp.square(m - hint).mean()
  return jax.grad(loss)(logits)


logits = jnp.log(hint / (1 - hint))
optimizer = optax.adam(0.05)
memory_of_it = optimizer.init(logits)
frames = {0: jax.nn.sigmoid(logits)}
for i in range(1, (20 if SMOKE else 300) + 1):
  updates, memory_of_it = optimizer.update(pull(logits), memory_of_it)
  logits = optax.apply_updates(logits, updates)
  if i in (10, 20, 50, 100, 300):
    frames[i] = jax.nn.sigmoid(logits)
show([[picture, hair, *frames.values()]],
     column_names=['picture', 'the hair', *(f'step {i}' for i in frames)])
before, after = frames[0], frames[max(frames)]
spread = [float(m[hair > 0.9].std()) for m in (before, after)]
print(f'deviation of the mask within the hair: {spread[0]:.3f} before, {spread[1]:.3f} after')

# %% [markdown]
# $R_3 = \|m\|_1$ (15) keeps masks small, the critic is WGAN-GP's with a classifier of labels (10 to
# 12), and codes and pictures are reconstructed (5 to 9). The gradient penalty is taken for each
# example by itself; for a linear critic with slope $w$ it is known: $(\|w\|_2 - 1)^2$.

# %%
slope = jax.random.normal(jax.random.key(2), (8, 8, 3)) / 10
real, fake = jax.random.normal(jax.random.key(3), (2, 4, 8, 8, 3))
alpha = jax.random.uniform(jax.random.key(4), (4, 1, 1, 1))
penalty = adversarial.gradient_penalty(lambda x: (x * slope).sum((1, 2, 3)), real, fake, alpha)
compare('gradient penalty', penalty, (jnp.linalg.norm(slope.ravel()) - 1) ** 2)

config, method, batch, params, state = small('avatars_hair_color')
_, (metrics, _) = once(method.generator_loss, params, state, batch, jax.random.key(1))
lines = ['| term of the generator | weight | value |', '|---|---:|---:|']
lines += [f'| {name} | {weight:g} | {float(metrics[name]):.4f} |'
          for name, weight in config.weights.items() if name in metrics]
display(Markdown('\n'.join(lines)))

# %% [markdown]
# ## EGSC-IT
#
# The style of the exemplar is the mean and the spread of each channel of its features $f_B$:
#
# $$\mathrm{AdaIN}(c_A, \gamma_B, \beta_B) = \gamma_B\,\frac{c_A - \mu(c_A)}{\delta(c_A)} + \beta_B
# \tag{2}$$
# $$\gamma_B = \delta(f_B),\qquad \beta_B = \mu(f_B) \tag{1}$$
#
# `normalization.adain` with `normalization.moments`; on pictures' own three channels it is colour
# transfer. The paper says that $\delta$ is the variance; in Huang and Belongie's AdaIN it is the
# deviation. Each such difference is a switch with a name (`VARIANTS` in the method's file).

# %%
style = normalization.moments(b)
as_written = normalization.adain(a, style)
by_variance = normalization.adain(a, style, spread='variance')
mean, deviation = as_written.mean((1, 2)), as_written.std((1, 2))
show([[a[0], b[0], jnp.clip(as_written[0], -1, 1), jnp.clip(by_variance[0], -1, 1)]],
     column_names=['a', 'b', "AdaIN, b's deviation", 'variance for deviation'])
compare('mean of AdaIN', mean[0, 0], b.mean((1, 2))[0, 0], rtol=1e-3)
compare('deviation of AdaIN', deviation[0, 0], b.std((1, 2))[0, 0], rtol=1e-3)

# %% [markdown]
# Feature masks: what a frozen network $F$ finds in a picture says, channel by channel and place by
# place, how much of the content goes through, never less than $\eta$:
#
# $$m_A = (1 - \eta)\,\sigma(f_A) + \eta$$
#
# and then $x_{AB} = G_B(\mathrm{AdaIN}(m_A \odot c_A, \gamma_B, \beta_B))$. Below, the networks of
# the trained model that comes with the package, one after another, and its own translation; then
# the eight masks that vary most (white is 1, black is $\eta$). They cannot be painted by hand.

# %%
digits = Translator.from_pretrained('egsc_it_digits')
folder = packaged.find('egsc_it_digits')
plain, coloured = (load_image(packaged.examples(folder, role)[0])
                   for role in ('source', 'exemplar'))
variables, _, _ = packaged.read(folder, digits.config,
                                  base.abstract_model(digits.method, digits.config))
switches, eta = digits.method.switches, digits.config.model.mask_threshold


def network(name, x):
  """What a network of the model makes of something."""
  return digits.method.networks[name].apply({'params': variables['params'][name]}, x)


@jax.jit
def by_hand(a, b):
  """The translation, the content and its masks."""
  f_a, f_b = network('features_a', a), network('features_b', b)
  m_a = (1 - eta) * jax.nn.sigmoid(f_a) + eta
  mean = network('shared_encoder', network('encoder_a', a))
  if switches.inference_noise:
    mean += jax.random.normal(jax.random.key(0), mean.shape)
  c_a = network('shared_generator', mean)
  styled = normalization.adain(
      c_a * m_a, normalization.moments(f_b), swapped=switches.adain_roles == 'swapped',
      spread=switches.adain_spread, epsilon=digits.config.model.adain_epsilon)
  return network('generator_b', styled), c_a, m_a


x_ab, c_a, m_a = by_hand(to_float(plain), to_float(coloured))
by_model = digits(plain, coloured)
apart = float(jnp.abs(x_ab - to_float(by_model.image)).max())
close['EGSC-IT by hand'] = apart < 0.02  # the model's are rounded to bytes
print(f'{c_a.shape[-1]} channels; masks from {float(m_a.min()):.2f} to {float(m_a.max()):.2f}, '
      f'eta = {eta}; by hand and by the model differ by at most {apart:.4f}')
show([[plain, coloured, x_ab[0], by_model.image, by_model.extras['feature_mask']]],
     column_names=['a', 'b', 'by hand', 'by the model', 'mean of its masks'])
most = np.argsort(-np.asarray(m_a[0].std((0, 1))))[:8]
content = 0.5 + c_a[0] / (2 * jnp.abs(c_a[0]).max((0, 1)))
masked = 0.5 + (c_a * m_a)[0] / (2 * jnp.abs(c_a[0]).max((0, 1)))
show([[(m_a[0, ..., i] - eta) / (1 - eta) for i in most], [content[..., i] for i in most],
      [masked[..., i] for i in most]],
     column_names=[f'channel {i}' for i in most], row_names=['mask', 'content', 'masked content'])

# %% [markdown]
# The perceptual losses take feature maps of any network ($\phi$; VGG-19's layers in the paper).
# Content compares maps pixel by pixel, style compares Gram matrices, which ignore positions:
#
# $$L_c = E\|\phi(x_{AB}) - \phi(x_A)\|_1,\qquad L_s = E\|Gram(x_{AB}) - Gram(x_B)\|_1 \tag{5}$$
#
# A mirrored picture has another content and the same style:

# %%
maps = [b, b[:, ::2, ::2]]  # two "layers": the picture itself, and half of its pixels
mirrored = [layer[:, :, ::-1] for layer in maps]
style_of_mirrored = float(reconstruction.style(mirrored, maps))
print(f'mirrored: content {float(reconstruction.content(mirrored, maps)):.4f}, '
      f'style {style_of_mirrored:.1e}')
print(f'another picture: content {float(reconstruction.content([a, a[:, ::2, ::2]], maps)):.4f}, '
      f'style {float(reconstruction.style([a, a[:, ::2, ::2]], maps)):.1e}')
gram = reconstruction.gram(b)
compare('Gram, first entry', gram[0, 0, 0], jnp.square(b[0, ..., 0]).mean())

# %% [markdown]
# ## Additional mask
#
# There is no exemplar: a generator says what to add, in [-1, 1], and one weight limits how much.
#
# $$\hat y = x + m_x,\qquad m_x = G_{YX}(x) = \tanh(\ldots)$$
# $$L_{cycle} = \|G_{XY}(\hat y) + \hat y - x\|_1 + \|G_{YX}(\hat x) + \hat x - y\|_1 \tag{2}$$
# $$L_{regularization} = \|G_{YX}(x)\|_1 + \|G_{XY}(y)\|_1 \tag{4}$$
# $$L = \lambda_g L_{lsgan} + \lambda_c L_{cycle} + \lambda_r L_{regularization} \tag{5}$$

# %%
config, method, batch, params, state = small('circle_square')
loss, (metrics, _) = once(method.generator_loss, params, state, batch, jax.random.key(1))
added = [once(method.translate, params, state, batch[domain], reverse=reverse).extras['added_mask']
         for domain, reverse in (('a', False), ('b', True))]
compare('L_regularization', metrics['mask'], sum(jnp.abs(m).mean() for m in added))
scores = jnp.array([0.2, 0.9])
compare('least squares against 1', adversarial.least_squares(scores, 1.0),
        ((scores - 1) ** 2).mean())
compare('the loss', loss, sum(config.weights[name] * value for name, value in metrics.items()))

# %% [markdown]
# What $\lambda_r$ does, shown without a GAN: replace the adversarial loss by the squared distance
# to the true square with a needless wave over it. Then the best mask is known for each pixel: the
# change to the target, made smaller by $\lambda_r / 2$, and nothing where the change is smaller
# than that. So small changes go first and the corners last. Steepest descent on the package's own
# losses finds this mask:

# %%
circle = shape_drawing.recipe('plain', SIZE, (3,), square=False)
x, y = (to_float(shape_drawing.draw(shape))[0]
        for shape in (circle, shape_drawing.other(circle)))
wobble = 0.3 * jnp.sin(jnp.arange(SIZE) / 5)[None, :, None] * jnp.ones_like(x)  # what y differs in
lambdas = (0.01, 0.2, 0.5, 1.2)


def best_mask(weight, steps):
  """The mask that minimises the mean of (x + m - y)^2 and lambda_r |m|."""
  def loss(m):
    return (reconstruction.l2(x + m, y + wobble)
            + weight * reconstruction.l1(m, jnp.zeros_like(m)))

  def descend(m, rate):
    return m - rate * m.size * jax.grad(loss)(m), None
  rates = 0.4 * 0.97 ** jnp.arange(steps)
  return jax.lax.scan(descend, jnp.zeros_like(x), rates)[0]


best = [jax.jit(best_mask, static_argnums=1)(weight, 200) for weight in lambdas]
right = [jnp.sign(y + wobble - x) * jnp.maximum(jnp.abs(y + wobble - x) - weight / 2, 0)
         for weight in lambdas]
show([[x, y + wobble, *best],
      [None, None, *(jnp.clip(x + m, -1, 1) for m in best)]],
     column_names=['x', 'y, with a wave', *(f'lambda_r = {weight:g}' for weight in lambdas)],
     row_names=['mask (grey: nothing)', 'x + mask'])
sizes = [float(jnp.abs(m).mean()) for m in best]
for weight, m, exact in zip(lambdas, best, right, strict=True):
  print(f'lambda_r = {weight:<5g} mean |m| {float(jnp.abs(m).mean()):.4f}, farthest from the '
        f'closed form {float(jnp.abs(m - exact).max()):.3f}')

# %% [markdown]
# For results with a GAN see docs/additional_mask.md, and run
# `python -m maskgan_jax.sweep --config=configs/circle_square.py:quick`.

# %%
print(f'{sum(close.values())} of {len(close)} comparisons agree')
wrong = [name for name, agrees in close.items() if not agrees]
if wrong:
  raise AssertionError(f'these do not: {wrong}')
