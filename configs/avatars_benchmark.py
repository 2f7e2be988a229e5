"""The avatars benchmark (docs/avatars.md): every method on the same faces, where answers are known.

Methods are `:content_transfer` (the default), its baseline `:press`, `:lomit`, `:lomit_tuned`
(with departures of ours, docs/tuned.md), `:egsc_it`, its baselines `:munit`, `:drit` and `:unit`
(without an exemplar), `:stargan` and `:attentiongan` (by labels), `:aggan` (without an exemplar)
and `:aggan_exemplar`, `:additional_mask` and its baselines `:cyclegan` and `:ugatit` (all three
without an exemplar). Tasks are

  `:glasses`      (the default) from faces without to faces with glasses; the exemplar says which
  `:hair_color`   from black hair to any of five other colours; the exemplar says which
  `:facial_hair`  from faces without to faces with a beard or moustache
  `:smile`        from other mouths to smiles

Faces are plain. `:background`, `:placement`, `:lighting`, `:occlusion` and `:corruption` each make
them harder in one way, `:hard` in all of them (docs/avatars.md).

The default is 64x64 and meant for an accelerator: the methods have the widths for that size of
their configs. `:quick` is 32x32 and meant for minutes on one CPU core: a quarter to half of the
channels and short schedules at several times the authors' rates. Both test on the same faces, 2,000
pairs of glasses.

  paper: none
  ours: `:quick` in docs/avatars.md; 64x64 not run
  hours and hardware: `:quick` 5 to 20 minutes on one CPU core
  command: python -m maskgan_jax.train --config=configs/avatars_benchmark.py:lomit,quick \\
      --workdir=runs/avatars/lomit
"""

from maskgan_jax import config as run_config
from maskgan_jax.methods import content_transfer
from maskgan_jax.recipes import additional_mask as additional_mask_settings
from maskgan_jax.recipes import aggan as aggan_settings
from maskgan_jax.recipes import drit as drit_settings
from maskgan_jax.recipes import egsc_it as egsc_it_settings
from maskgan_jax.recipes import lomit as lomit_settings
from maskgan_jax.recipes import munit as munit_settings
from maskgan_jax.recipes import press as press_settings
from maskgan_jax.recipes import stargan as stargan_settings
from maskgan_jax.recipes import ugatit as ugatit_settings
from maskgan_jax.recipes import unit as unit_settings

METHODS = (
  'content_transfer',
  'press',
  'lomit',
  'lomit_tuned',
  'egsc_it',
  'munit',
  'drit',
  'unit',
  'stargan',
  'attentiongan',
  'aggan',
  'aggan_exemplar',
  'additional_mask',
  'cyclegan',
  'ugatit',
)
TASKS = ('glasses', 'hair_color', 'facial_hair', 'smile')
DIFFICULTIES = ('background', 'placement', 'lighting', 'occlusion', 'corruption')
_LABEL = {'glasses': 'Eyeglasses', 'facial_hair': 'Facial_Hair', 'smile': 'Smiling'}
COLORS = (
  'Black_Hair',
  'Blond_Hair',
  'Brown_Hair',
  'Gray_Hair',
  'Pink_Hair',
  'Red_Hair',
)
_ATTRIBUTES = ('Eyeglasses', 'Facial_Hair', 'Smiling', 'Wearing_Hat', *COLORS)


def get_config(argument: str = ''):
  chosen = run_config.parse_argument(
    argument, (*METHODS, *TASKS, *DIFFICULTIES, 'hard', 'quick')
  )
  method = run_config.exclusive(chosen, METHODS) or METHODS[0]
  task = run_config.exclusive(chosen, TASKS) or TASKS[0]
  quick = 'quick' in chosen
  config = _SETTINGS[method](quick)
  config.image_size = 32 if quick else 64
  config.image_width = 0
  config.checkpoint_every = max(1, config.num_steps // 4)
  config.sample_every = config.checkpoint_every
  config.evaluation_batch_size = 50
  config.evaluation_pairs = 2_000
  config.evaluators = (
    'masks',
    'truth',
    'changes',
    'similarity',
    'accuracy',
    'identity',
    'speed',
  )
  config.data.update(
    source='avatars',
    keep_aspect=True,
    flip=True,
    zoom_probability=0.0,
    load_size=0,
    fixed_pairs=False,
    test_whole=False,
    own_test=True,
    num_validation=600,
    num_test=4_500,
  )
  difficulties = [name for name in DIFFICULTIES if name in chosen or 'hard' in chosen]
  config.data.difficulty = tuple(difficulties)
  if config.method == 'content_transfer' and task != 'hair_color':
    config.weights.update(content_transfer.weights(task))
  if task != 'hair_color':
    label = _LABEL[task]
    config.data.update(a=f'~{label}', b=label, transfer=(label,))
    config.data.num_train = 4_800 if quick else 20_000
  else:
    hair = '~Bald & ~Wearing_Hat'  # hair whose colour can be seen
    config.data.update(a=f'Black_Hair & {hair}', b=f'~Black_Hair & {hair}')
    config.data.transfer = ('hair_color',)
    config.data.num_train = 12_000 if quick else 40_000
    if config.method in ('lomit', 'stargan'):
      config.data.attributes = COLORS
  return run_config.finish(config, chosen)


def _content_transfer(quick):
  """The authors' weights for each attribute; quick is configs/quickstart.py."""
  config = run_config.default('content_transfer')
  # The paper's removal: the authors' code adds noise.
  config.model.removal_code = 'zeros'
  config.weights.update(content_transfer.weights('glasses'))
  config.update(batch_size=32, num_steps=1_500 if quick else 30_000)
  if quick:
    config.model.update(
      width=16, depth=4, separate_channels=16, discriminator_width=128
    )
    config.optimizers.autoencoder.update(
      learning_rate=1e-3, schedule='linear', schedule_start=800
    )
    config.optimizers.discriminator.learning_rate = 5e-4
  else:
    config.model.update(width=32, depth=5, separate_channels=25)
  return config


def _press(quick):
  """As in configs/press_avatars_glasses.py."""
  config = run_config.default('press')
  press_settings.drawn_faces(config, quick=quick)
  return config


def _lomit(quick):
  """The IJCAI paper's, as in configs/avatars_hair_color.py."""
  config = run_config.default('lomit')
  config.variant = 'ijcai'
  config.model.update(
    similarity_reduction='mean', size_reduction='mean', style_scale='exp_half'
  )
  config.update(batch_size=16 if quick else 8, num_steps=3_000 if quick else 100_000)
  config.model.critic_depth = 4 if quick else 5
  if quick:
    lomit_settings.narrow(config, schedule_start=2_000)
  return config


def _lomit_tuned(quick):
  """The same with departures of ours."""
  config = _lomit(quick)
  lomit_settings.tuned(config)
  return config


def _egsc_it(quick):
  """The authors' for faces, except the weight of style: 5,000 was for ImageNet's features.

  The perceptual network here learns attributes of avatars. With 5,000 quick ended in patterns that
  have the exemplar's Gram matrices and show no face.
  """
  config = egsc_it_settings.default(egsc_it_settings.CELEBA_GENDER, ())
  egsc_it_settings.photographs(config, ('labels',), _ATTRIBUTES)
  config.weights.style = 100.0
  config.model.pretrain_steps = 10_000
  config.num_steps = 60_000
  if quick:
    egsc_it_settings.quick(config)
    config.model.downsamplings = 1
    config.batch_size = 16
  return config


def _additional_mask(quick, argument=''):
  """The paper's for small pictures, lambda_r = 1."""
  config, chosen = additional_mask_settings.default(
    argument, size=64, values=(0.01, 1, 10), pictures=10_000
  )
  if quick:
    config.model.update(width=16, blocks=3, discriminator_width=16)
    config.update(batch_size=16, num_steps=3_000)
  else:
    config.num_steps = 30_000
  additional_mask_settings.finish(config, chosen)
  config.sweep.update(field='', over=())
  return config


def _cyclegan(quick):
  """CycleGAN's generators and losses in the same sizes."""
  return _additional_mask(quick, 'cyclegan')


def _munit(quick):
  """The authors', with larger batches and the cycle's weight that keeps pixels in place."""
  config = run_config.default('munit')
  config.weights.cycle = munit_settings.CYCLE_IN_PLACE
  config.update(batch_size=8, num_steps=100_000)
  if quick:
    munit_settings.small(config)
    munit_settings.quick(config, blocks=3)
  return config


def _drit(quick):
  """The authors', with larger batches, all players at every step, a content D for small maps."""
  config = run_config.default('drit')
  config.model.update(content_depth=2, others_every=1)
  config.update(batch_size=8, num_steps=100_000)
  if quick:
    drit_settings.small(config)
    drit_settings.quick(config, blocks=3)
  return config


def _unit(quick):
  """The first code's, with larger batches."""
  config = unit_settings.default('paper')
  config.update(batch_size=8, num_steps=100_000)
  if quick:
    unit_settings.small(config)
    unit_settings.quick(config)
  return config


def _stargan(quick):
  """The authors', by the label of the task."""
  config = stargan_settings.default()
  config.model.critic_depth = 5
  config.update(batch_size=8, num_steps=100_000)
  if quick:
    stargan_settings.quick(config)
  return config


def _attentiongan(quick):
  """The same with a mask: AttentionGAN-v1-multi."""
  config = _stargan(quick)
  config.model.outputs = 4
  return config


def _ugatit(quick):
  """The TensorFlow code's, with larger batches and discriminators that fit the pictures."""
  config = run_config.default('ugatit')
  config.update(batch_size=8, num_steps=100_000)
  config.model.global_strides = 4
  for player in config.optimizers.values():
    player.schedule_start = 50_000
  if quick:
    ugatit_settings.small(config)
    ugatit_settings.quick(config)
  return config


def _aggan(quick):
  """The intended kernels, with larger batches; the switch after three tenths, as the authors'."""
  config = aggan_settings.default()
  config.variant = 'intended'
  config.update(batch_size=8, num_steps=30_000)
  config.model.switch_step = 9_000
  for name in aggan_settings.STAGES[1]:
    config.optimizers[name].schedule_start = 15_000
  if quick:
    aggan_settings.quick(config)
  return config


def _aggan_exemplar(quick):
  """The same with an exemplar, our reading of LOMIT's baseline."""
  config = _aggan(quick)
  config.model.exemplar = True
  return config


_SETTINGS = {
  'content_transfer': _content_transfer,
  'press': _press,
  'lomit': _lomit,
  'lomit_tuned': _lomit_tuned,
  'egsc_it': _egsc_it,
  'additional_mask': _additional_mask,
  'cyclegan': _cyclegan,
  'munit': _munit,
  'drit': _drit,
  'unit': _unit,
  'stargan': _stargan,
  'attentiongan': _attentiongan,
  'aggan': _aggan,
  'aggan_exemplar': _aggan_exemplar,
  'ugatit': _ugatit,
}
