"""Checkpoints of a run: saved while training goes on, whole or absent, checked when they are read.

The only file that knows Orbax. Orbax does not notice a flipped bit in an array and is loud and
unclear about a missing file, so a checkpoint also holds the checksums of its files (`files.json`),
written before it gets its final name and compared before Orbax reads it.
"""

from collections.abc import Mapping
import os
import re
from typing import Any

from absl import logging
from etils import epath
import jax
import numpy as np

import maskgan_jax
from maskgan_jax import errors
from maskgan_jax.runs import (
  _array_notes,
  _failures,
  _ranking,
  checksums,
  orbax_noise,
  resumption,
)

PyTree = Any
_NOTES = 'metadata'  # beside 'model' and 'training': what they hold, scores, the run's identity


class Checkpoints:
  """The `checkpoints/` folder of a run.

  Args:
    workdir: folder of the run, relative, absolute or `gs://`; created unless `read_only`.
    keep_last: how many of the newest steps stay.
    keep_best: how many steps with the best scores stay besides.
    best_metric: the score that ranks steps; '' ranks none.
    best_mode: 'max' or 'min'.
    identity: of the run; steps that do not agree with it are refused. None checks nothing.
    read_only: for a reader of a folder that a training run may be writing to at the same time.
  """

  def __init__(
    self,
    workdir: str | os.PathLike,
    *,
    keep_last: int = 2,
    keep_best: int = 1,
    best_metric: str = '',
    best_mode: str = 'max',
    identity: resumption.Identity | None = None,
    read_only: bool = False,
  ):
    import orbax.checkpoint as ocp  # here: half a second that --help need not wait for

    self._ocp = ocp
    self._folder = _absolute(workdir) / 'checkpoints'
    self._identity = identity
    self._read_only = read_only
    self._ranking = _ranking.Ranking(
      keep_last=keep_last,
      keep_best=keep_best,
      best_metric=best_metric,
      best_mode=best_mode,
      read=lambda step: self._notes(step)['scores'],
      remembers=not read_only,
    )

    # Steps of this run: written here, or up to the restored one.
    self._past: set[int] = set()
    self._writing = -1  # the step whose files Orbax's threads are writing
    self._failed = self._closed = False
    orbax_noise.silence()
    try:
      self._manager = ocp.CheckpointManager(self._folder, options=self._options())
    except OSError as error:
      raise errors.UserError(
        f'cannot use {self._folder}: {error.strerror or error}'
      ) from error
    if not read_only:  # reads the scores now: not in the middle of a save
      self._ranking.ranked(self._manager.all_steps())

  def _options(self):
    """Returns the options of Orbax's manager."""
    ocp = self._ocp
    if self._read_only:  # Orbax warns if it has to change one of these
      return ocp.CheckpointManagerOptions(
        read_only=True, create=False, save_interval_steps=0
      )

    # Orbax calls this back on one process, between the last file and the final name.
    writing = ocp.options.AsyncOptions(post_finalization_callback=self._write_checksums)
    return ocp.CheckpointManagerOptions(
      cleanup_tmp_directories=True,
      async_options=writing,
      preservation_policy=self._ranking,
    )

  def save(
    self,
    step: int,
    model: PyTree,
    training: PyTree,
    *,
    scores: Mapping[str, float] | None = None,
  ) -> None:
    """Starts saving and returns when the arrays may be donated; the writing goes on behind.

    A step that is already there stays as it is if this object wrote or restored it. Steps of
    another past (newer than the restored one, broken or not) are set aside first. An error of the
    writing shows at the next `save`, `wait` or `close`.

    Args:
      step: number of the step.
      model: what a translator needs; a pytree of arrays, none without elements.
      training: what only training needs; the same.
      scores: this step's scores by name; `best_metric` among them ranks it.
    Raises:
      UserError: the disk is full or cannot be written to.
    """
    if self._read_only:
      raise ValueError('these checkpoints were opened read-only')
    self.wait()
    if step in self._past:
      return

    # A run that was resumed from an older step leaves newer ones behind.
    other_past = [other for other in self._manager.all_steps() if other >= step]
    if other_past:
      self._set_aside(other_past)
    scores = _ranking.finite(scores or {})
    contents = self._contents(model, training, scores)
    self._ranking.add(step, scores)
    self._begin(step, contents)
    self._past.add(step)

  def _begin(self, step: int, contents: Any) -> None:
    """Lets Orbax begin to write the items of a step."""
    # Orbax's threads write from now on; errors of theirs come at the next wait.
    self._writing = step
    try:
      saved = self._manager.save(step, args=contents)
    except OSError as error:
      raise self._write_error(error) from error
    if not saved:
      raise RuntimeError(
        f'Orbax declined to save step {step}; it has {self._manager.all_steps()}'
      )

  def _contents(
    self, model: PyTree, training: PyTree, scores: Mapping[str, float | None]
  ):
    """Returns the items of a step, as Orbax takes them."""
    trees = {'model': model, 'training': training}
    notes = {
      'arrays': {item: _array_notes.describe(tree) for item, tree in trees.items()},
      'identity': self._identity.notes() if self._identity else None,
      'maskgan_jax': maskgan_jax.__version__,
      'scores': scores,
    }
    items = {_NOTES: self._ocp.args.JsonSave(notes)}
    for item, tree in trees.items():
      if jax.tree.leaves(tree):  # Orbax refuses empty ones
        items[item] = self._ocp.args.StandardSave(tree)
    return self._ocp.args.Composite(**items)

  def steps(self) -> list[int]:
    """Returns the steps that are there or being written, oldest first."""
    if self._read_only:
      self._manager.reload()  # the run may have saved and removed some
    return sorted(self._manager.all_steps())

  def latest(self) -> int | None:
    """Returns the newest step, or None."""
    return max(self.steps(), default=None)

  def data_identity(self, step: int) -> str:
    """Returns on what data a step was trained, see `resumption.Identity`; '' if unknown."""
    try:
      return (self._notes(step).get('identity') or {}).get('data', '')
    except Exception:  # Orbax raises what it likes where a step is damaged
      return ''

  def best(self) -> int | None:
    """Returns the step with the best score among those kept, or None if none has one."""
    ranked = self._ranking.ranked(self.steps())
    return ranked[-1] if ranked else None

  def restore(
    self, model: PyTree, training: PyTree, *, step: int | None = None
  ) -> tuple[int, PyTree, PyTree]:
    """Returns (step, model, training), placed as the arguments say.

    Args:
      model: pytree of `jax.ShapeDtypeStruct` with `.sharding`, for the devices of now; without a
        sharding an array goes to this process's first device.
      training: the same.
      step: which one; None takes the newest and, if that does not restore, loudly the one before.
    Raises:
      UserError: none restores (why, for each), or the run is of another config.
    """
    targets = {'model': model, 'training': training}
    step, trees = self._restore(targets, step)
    self._past = {other for other in self._manager.all_steps() if other <= step}
    return step, trees['model'], trees['training']

  def restore_model(
    self, model: PyTree, *, step: int | None = None
  ) -> tuple[int, PyTree]:
    """Returns (step, model) as `restore` does, without reading what only training needs."""
    step, trees = self._restore({'model': model}, step)
    return step, trees['model']

  def wait(self) -> None:
    """Returns when nothing is being written any more; UserError if the writing failed."""
    try:
      self._manager.wait_until_finished()
    except Exception as error:  # of Orbax's threads, which may raise anything
      raise self._write_error(error) from error

  def close(self) -> None:
    """Waits, then ends the threads; UserError if the writing failed and that was not said yet."""
    if self._closed:
      return
    self._closed = True
    try:
      self._manager.close()
    except Exception as error:
      if not self._failed:
        raise self._write_error(error) from error

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _restore(
    self, targets: dict[str, PyTree], step: int | None
  ) -> tuple[int, dict[str, PyTree]]:
    """Returns a step and its trees by item: of `step`, or of the newest that restores."""
    self.wait()
    steps = self.steps()
    if not steps:
      raise errors.UserError(f'no checkpoint in {self._folder}')
    if step is not None and step not in steps:
      raise errors.UserError(
        f'no checkpoint of step {step} in {self._folder}; there are '
        f'{", ".join(map(str, steps))}'
      )

    # The newest first: an older one is better than none.
    targets = jax.tree.map(_abstract, targets)
    failures = []
    candidates = steps[::-1] if step is None else [step]
    for candidate in candidates:
      trees, failure = self._try(candidate, targets)
      if trees is not None:
        if failures and self._ocp.multihost.process_index() == 0:
          logging.error(
            'CHECKPOINT DOES NOT RESTORE: %s in %s; GOING ON FROM STEP %d INSTEAD',
            _failures.reasons(failures),
            self._folder,
            candidate,
          )
        return candidate, trees
      failures.append(failure)
    others = [other for other in steps if step is not None and other != step]
    raise _failures.error(self._folder, failures, others)

  def _try(
    self, step: int, targets: dict[str, PyTree]
  ) -> tuple[dict[str, PyTree] | None, _failures.Failure]:
    """Returns (trees or None, why not), the same in every process."""
    # One process checks for all: those that restore would wait for one that does not.
    reason = ''
    if self._ocp.multihost.process_index() == 0:
      reason = checksums.damage(self._folder / str(step), (*targets, _NOTES))
    if not _all_agree(not reason):
      return None, _failures.Failure(step, reason or 'its files are damaged')
    trees, is_unfit = None, False
    try:
      trees = self._read(step, targets)
    except errors.UserError:
      raise
    except Exception as error:
      # Another Orbax's format, or a disk that fails; a lack of memory is not the file's fault.
      if errors.out_of_memory(error):
        raise
      reason = _one_line(error)
      is_unfit = isinstance(error, _array_notes.UnfitError)
    if _all_agree(trees is not None):
      return trees, _failures.Failure(step)
    reason = reason or 'another process cannot read it'
    return None, _failures.Failure(step, reason, is_unfit)

  def _read(self, step: int, targets: dict[str, PyTree]) -> dict[str, PyTree]:
    """Returns the trees of one step; raises whatever Orbax raises, and UnfitError."""
    # A checkpoint of another run or model is refused before arrays are read.
    notes = self._notes(step)
    if self._identity and notes.get('identity'):
      self._identity.check(notes['identity'], self._folder / str(step))
    for item, target in targets.items():
      _array_notes.compare(notes['arrays'][item], _array_notes.describe(target))
    items = {}
    for item, target in targets.items():
      if jax.tree.leaves(target):
        items[item] = self._ocp.args.StandardRestore(target)
    return targets | dict(
      self._manager.restore(step, args=self._ocp.args.Composite(**items))
    )

  def _notes(self, step: int) -> dict[str, Any]:
    """Reads the notes of a step, without its arrays."""
    args = self._ocp.args.Composite(**{_NOTES: self._ocp.args.JsonRestore()})
    return self._manager.restore(step, args=args)[_NOTES]

  def _write_checksums(self) -> None:
    """Writes `files.json` into the folder of the step that is about to be committed."""
    # Where Orbax commits without renaming, the folder has its final name already.
    folder = self._folder / str(self._writing)
    for path in self._folder.glob(f'{self._writing}.orbax-checkpoint-tmp*'):
      folder = path
    checksums.write(folder)

  def _set_aside(self, steps: list[int]) -> None:
    """Renames steps of another past: Orbax would count them as the newest, and keep only them."""
    # One process renames, and the others wait for it.
    if self._ocp.multihost.process_index() == 0:
      for step in steps:
        source, number = self._folder / str(step), 1
        while (target := self._folder / f'{step}.set_aside.{number}').exists():
          number += 1
        logging.warning(
          "%s is not of this run's past: renamed to %s", source, target.name
        )
        try:
          source.rename(target)
        except OSError as error:
          raise self._write_error(error) from error
    self._ocp.multihost.sync_global_processes('maskgan_jax:set_aside')
    self._ranking.forget(steps)
    self._past.difference_update(steps)
    self._manager.reload()

  def _write_error(self, error: Exception) -> errors.UserError:
    """Returns the user's error for what the disk refused; raises an error of another kind again."""
    self._failed = True
    orbax_noise.silence_abandoned_writes()

    # Only what the disk refuses is an error for the user.
    is_systems = isinstance(error, (OSError, errors.UserError))
    if not is_systems and not re.match('[A-Z_]+: ', str(error)):
      raise error

    # The message says what is left to resume from.
    whole = max(self._manager.all_steps(), default=None)
    kept = f'the newest whole one is step {whole}'
    if whole is None:
      kept = 'there is no older one'
    return errors.UserError(
      f'cannot write a checkpoint to {self._folder}: {_one_line(error)}; {kept}'
    )


def _absolute(path: str | os.PathLike) -> epath.Path:
  path = epath.Path(path)
  return path if '://' in os.fspath(path) else epath.Path(os.path.abspath(path))


def _abstract(leaf):
  if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(
      jax.local_devices()[0]
    )
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
  return leaf


def _all_agree(yes: bool) -> bool:
  """Returns whether every process says yes."""
  if jax.process_count() == 1:
    return yes
  from jax.experimental import multihost_utils

  return bool(np.all(multihost_utils.process_allgather(np.asarray(yes))))


def _one_line(error: Exception) -> str:
  """Returns the meaning of an error, without TensorStore's pages of specification."""
  # The system's reason is somewhere in TensorStore's text.
  reason = re.search(
    'No space left on device|Disk quota exceeded|File too large|'
    'Read-only file system|Permission denied|Input/output error',
    str(error),
  )
  if reason:
    return reason[0]
  text = (str(error).strip() or type(error).__name__).splitlines()[0]
  is_ours = isinstance(error, _array_notes.UnfitError)
  return text if len(text) <= 160 or is_ours else text[:157] + '...'
