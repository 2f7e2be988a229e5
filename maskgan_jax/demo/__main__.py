r"""Serves a page on which masks are painted: choose two pictures, edit where and what, translate.

  python -m maskgan_jax.demo
  python -m maskgan_jax.demo --pretrained=content_transfer_avatars,lomit_avatars
  python -m maskgan_jax.demo --workdir=runs/quickstart,runs/hair --port=7860

Without --workdir and --pretrained it shows every model that comes with the package. Open the
address that it prints; from another machine, through a tunnel: ssh -L 7860:127.0.0.1:7860 MACHINE.
The page listens on 127.0.0.1 only and loads nothing from elsewhere. It keeps uploads for an hour at
most, in a folder that it removes when it ends by Ctrl-C or SIGTERM. The folder of a page that was
killed is removed by the next page.
"""

from collections.abc import Sequence
import os
import signal
import socket

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax.data import images, pipeline
from maskgan_jax.demo.models import Model, ROLES
from maskgan_jax.translator import packaged, Translator

_EXAMPLES = 6


def open_pretrained(name: str) -> Model:
  """Returns a model that comes with the package, or a model's folder, with its examples."""
  folder = packaged.find(name)
  examples = {}
  for role in ROLES:
    paths = packaged.examples(folder, role)
    examples[role] = [images.load_image(path) for path in paths]
  return Model(Translator.from_pretrained(name), examples)


def open_run(workdir: str) -> Model:
  """Returns a run's newest checkpoint, with test pictures of its data if they can be read."""
  # A model can be shown without examples: visitors upload their pictures.
  translator = Translator.from_workdir(workdir)
  config = translator.config
  try:
    data = pipeline.make(config)
    batches = data.evaluation('test', batch_size=_EXAMPLES, max_pairs=_EXAMPLES)
    batch = next(iter(batches))
  except (errors.UserError, StopIteration) as error:
    print(f'{workdir}: no examples on the page ({error})')
    return Model(translator)
  valid = batch['valid']
  sources, exemplars = batch['a'][valid], batch['b'][valid]
  examples = {'source': list(sources), 'exemplar': list(exemplars)}
  return Model(translator, examples)


def define_flags() -> None:
  """Defines the command's flags."""
  flags.DEFINE_list('workdir', [], 'Folders of trained runs, with commas between.')
  flags.DEFINE_list(
    'pretrained',
    [],
    'Models that come with the package, or folders that '
    'Translator.save wrote; with commas between.',
  )
  flags.DEFINE_integer(
    'port',
    7860,
    'Port on 127.0.0.1; 0 takes a free one.',
    lower_bound=0,
    upper_bound=65535,
  )


def main() -> None:
  """Runs the command."""
  values = flags.FLAGS
  models = _models(values.pretrained, values.workdir)
  port = _port(values.port)
  # Otherwise these signals would leave uploads behind; SIGINT is handled already.
  for name in {'SIGTERM', 'SIGHUP'} & set(dir(signal)):
    cli.end_at_once_on(signal.Signals[name])
  from maskgan_jax.demo import page as demo_page

  blocks = demo_page.build(models)
  demo_page.launch(blocks, server_port=port, prevent_thread_lock=True)
  print(f'the page is at http://127.0.0.1:{port} (Ctrl-C ends it)', flush=True)
  blocks.block_thread()


def _models(names: Sequence[str], workdirs: Sequence[str]) -> dict[str, Model]:
  """Opens models by name; without any, those of the package, the most able first."""
  of_package = not names and not workdirs
  if of_package:
    names = packaged.names()
  places = [(name, open_pretrained) for name in names]
  places += [(path, open_run) for path in workdirs]

  # Two models are told apart by the last part of their path.
  models = {}
  for place, open_model in places:
    name = os.path.basename(os.path.normpath(place))
    if name in models:
      raise errors.UserError(f'two models are called {name!r}; show one of them')
    models[name] = open_model(place)
  if of_package:
    models = dict(
      sorted(models.items(), key=lambda item: -len(item[1].translator.abilities))
    )
  return models


def _port(port: int) -> int:
  """Returns the port, or a free one for 0; raises UserError if it is taken."""
  # The port is tried before Gradio takes it, so that the error is one line.
  with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      listener.bind(('127.0.0.1', port))
    except OSError as error:
      raise errors.UserError(
        f'port {port} cannot be used ({error.strerror}); choose another --port, or 0'
      ) from error
    return listener.getsockname()[1]


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory='show fewer models, by --pretrained or --workdir')
