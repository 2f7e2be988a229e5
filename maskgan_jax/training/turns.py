"""Who plays when: which of a method's players play together, by the number of the step."""

from collections.abc import Sequence
import math

from maskgan_jax.methods import base

Turn = tuple[int, ...]  # the players of one step, as indices into method.players


class Turns:
  """The turns of a training.

  A stage of the training lies between two steps at which a player begins or ends. Within
  a stage, the same players play every `cycle` steps. Players who play together are one
  program, so that XLA computes once what their losses have in common.

  Attributes:
    cycle: steps after which the turns of a stage repeat.
    draws: fresh batches that a step takes: the most that any player plays.
    starts: first step of each stage that begins before the training ends.
    distinct: the different turns, sorted.
    table: for each stage, for each place in the cycle, the index into `distinct`.
  """

  def __init__(self, players: Sequence[base.Player], num_steps: int):
    # The cycle is the least number of steps after which all intervals begin together.
    self._num_steps = num_steps
    self.cycle = 1
    self.draws = 1
    starts = {0}
    for player in players:
      self.cycle = math.lcm(self.cycle, player.every)
      self.draws = max(self.draws, player.repeats)
      starts.update((player.start, player.end))

    # Stages that begin after the end of training are never compiled.
    starts = [step for step in starts if step < max(num_steps, 1)]
    self.starts = tuple(sorted(starts))

    # The table is what a program needs that looks up itself who plays.
    turns_by_stage = []
    distinct = set()
    for start in self.starts:
      turns = [_turn(players, start, place) for place in range(self.cycle)]
      turns_by_stage.append(turns)
      distinct.update(turns)
    self.distinct = tuple(sorted(distinct))
    self.table = []
    for turns in turns_by_stage:
      self.table.append([self.distinct.index(turn) for turn in turns])

  def at(self, step: int) -> Turn:
    """Returns the players of a step."""
    stage = self.stage_of(step)
    place = step % self.cycle
    return self.distinct[self.table[stage][place]]

  def stage_of(self, step: int) -> int:
    """Returns the stage that a step lies in, from 0."""
    return sum(step >= start for start in self.starts[1:])

  def steps_of(self, stage: int) -> range:
    """Returns the steps of a stage's first cycle."""
    start = self.starts[stage]
    ends = (*self.starts[1:], self._num_steps)
    return range(start, min(start + self.cycle, ends[stage]))


def _turn(players: Sequence[base.Player], start: int, place: int) -> Turn:
  """Returns who plays at a place of the cycle, in the stage that begins at `start`."""
  # A player plays from its start to its end, at one phase of its interval.
  turn = []
  for index, player in enumerate(players):
    end = player.end or math.inf
    in_stage = player.start <= start < end
    if in_stage and place % player.every == player.phase:
      turn.append(index)
  return tuple(turn)
