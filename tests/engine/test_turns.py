"""Which player plays at which step, checked against a table."""

import pytest

from maskgan_jax.methods.base import Player
from maskgan_jax.training.turns import Turns


def player(**when):
  return Player('anyone', (), None, **when)


@pytest.mark.parametrize('players, num_steps, expected', [
    ([player()], 3, [(0,)] * 3),
    ([player(), player(every=2)], 4, [(0, 1), (0,), (0, 1), (0,)]),
    ([player(), player(every=3, phase=1)], 4, [(0,), (0, 1), (0,), (0,)]),
    ([player(every=2), player(every=3)], 7, [(0, 1), (), (0,), (1,), (0,), (), (0, 1)]),
    ([player(end=2), player(start=2)], 4, [(0,), (0,), (1,), (1,)]),
    ([player(end=2), player(every=2, phase=1, start=2)], 6, [(0,), (0,), (), (1,), (), (1,)]),
    ([player(end=2), player(start=4)], 6, [(0,), (0,), (), (), (1,), (1,)])])
def test_who_plays(players, num_steps, expected):
  assert [Turns(players, num_steps).at(step) for step in range(num_steps)] == expected


def test_the_cycle_is_that_of_all_players_and_the_draws_those_of_the_one_who_plays_most():
  turns = Turns([player(every=4, repeats=2), player(every=6, repeats=5), player()], 100)
  assert (turns.cycle, turns.draws) == (12, 5)


def test_stages_lie_between_the_steps_at_which_players_begin_and_end():
  players = [player(end=10), player(every=4, start=10), player(start=11, end=20)]
  turns = Turns(players, 100)
  assert turns.starts == (0, 10, 11, 20)
  assert [turns.stage_of(step) for step in (0, 9, 10, 11, 19, 20, 99)] == [0, 0, 1, 2, 2, 3, 3]
  assert [turns.steps_of(stage) for stage in range(4)] == [
      range(4), range(10, 11), range(11, 15), range(20, 24)]


def test_turns_that_no_step_before_the_end_takes_are_left_out():
  players = [player(end=2), player(every=2, phase=1, start=2)]
  assert Turns(players, 2).distinct == ((0,),)
  assert Turns(players, 6).distinct == ((), (0,), (1,))
