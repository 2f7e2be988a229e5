r"""The page on which masks are painted: choose two pictures, edit where and what, translate.

  python -m maskgan_jax.demo
  python -m maskgan_jax.demo --pretrained=content_transfer_avatars,lomit_avatars
  python -m maskgan_jax.demo --workdir=runs/quickstart,runs/hair --port=7860

Without --workdir and --pretrained it shows every model that comes with the package. Open the
address that it prints; from another machine, through a tunnel: ssh -L 7860:127.0.0.1:7860 MACHINE.
The page listens on 127.0.0.1 only, loads nothing from elsewhere, and keeps uploads for an hour at
most, in a folder that goes when it ends, by Ctrl-C or SIGTERM; what one that was killed has left,
the next one removes.
"""

import os
import signal
import socket

from absl import flags

from maskgan_jax import cli, errors
from maskgan_jax.data import images, pipeline
from maskgan_jax.demo import session as demo_session
from maskgan_jax.translator import packaged as pretrained
from maskgan_jax.translator import Translator

_EXAMPLES = 6


def open_pretrained(name: str) -> demo_session.Model:
  """A model that comes with the package, or a folder of one, with its examples."""
  folder = pretrained.find(name)
  examples = {role: [images.load_image(path) for path in pretrained.examples(folder, role)]
              for role in demo_session.ROLES}
  return demo_session.Model(Translator.from_pretrained(name), examples)


def open_run(workdir: str) -> demo_session.Model:
  """A run's newest checkpoint, with test pictures of its data where they are at hand."""
  translator = Translator.from_workdir(workdir)
  config = translator.config
  try:
    data = pipeline.make(config)
    batch = next(iter(data.evaluation('test', batch_size=_EXAMPLES, max_pairs=_EXAMPLES)))
  except (errors.UserError, StopIteration) as error:
    print(f'{workdir}: no examples on the page ({error})')
    return demo_session.Model(translator)
  examples = {role: list(batch[domain][batch['valid']])
              for role, domain in zip(demo_session.ROLES, 'ab', strict=True)}
  return demo_session.Model(translator, examples)


def define_flags() -> None:
  """The command's flags."""
  flags.DEFINE_list('workdir', [], 'Folders of trained runs, with commas between.')
  flags.DEFINE_list('pretrained', [], 'Models that come with the package, or folders that '
                    'Translator.save wrote; with commas between.')
  flags.DEFINE_integer('port', 7860, 'Port on 127.0.0.1; 0 takes a free one.', lower_bound=0,
                       upper_bound=65535)


def main() -> None:
  """The command."""
  given = flags.FLAGS
  names = given.pretrained or ([] if given.workdir else pretrained.names())
  models = {}
  for place, open_it in [*((name, open_pretrained) for name in names),
                         *((path, open_run) for path in given.workdir)]:
    name = os.path.basename(os.path.normpath(place))
    if name in models:
      raise errors.UserError(f'two models are called {name!r}; show one of them')
    models[name] = open_it(place)
  if not (given.pretrained or given.workdir):  # what can do most is there to see first
    models = dict(sorted(models.items(), key=lambda item: -len(item[1].translator.abilities)))
  port = _port(given.port)
  # Else these would leave what visitors have uploaded; SIGINT is handled already.
  for name in {'SIGTERM', 'SIGHUP'} & set(dir(signal)):
    cli.end_at_once_on(signal.Signals[name])
  from maskgan_jax.demo import page as demo_page
  blocks = demo_page.build(models)
  demo_page.launch(blocks, server_port=port, prevent_thread_lock=True)
  print(f'the page is at http://127.0.0.1:{port} (Ctrl-C ends it)', flush=True)
  blocks.block_thread()


def _port(port: int) -> int:
  """The port, or a free one for 0; UserError if it is taken."""
  with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      listener.bind(('127.0.0.1', port))
    except OSError as error:
      raise errors.UserError(f'port {port} cannot be had ({error.strerror}); choose another '
                             '--port, or 0') from error
    return listener.getsockname()[1]


if __name__ == '__main__':
  define_flags()
  cli.run(main, saves_memory='show fewer models, by --pretrained or --workdir')
