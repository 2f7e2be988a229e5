"""benchmarks/regularizer.py: the mask regulariser at small sizes, and the whole script."""

import json
import subprocess
import sys

import pytest

from helpers.comparing import benchmark
from helpers.paths import ROOT
from helpers.processes import environment


def test_figures_of_both_forms():
  rows = list(benchmark('regularizer').measure(0.01, sizes=(16, 512), channels=8))
  assert [row['pixels'] for row in rows] == [16, 512]
  for row in rows:
    assert row['channels'] == 8
    for form in ('linear', 'pairwise'):
      assert row[form]['ms'] >= row[form]['ms_best'] > 0 and row[form]['runs'] >= 3
  # One form grows with the pixels, the other with their square: 512 x 512 float32 is 1 MB.
  assert rows[1]['linear']['temporaries_mb'] < 0.5 < 1 < rows[1]['pairwise']['temporaries_mb']


def test_what_would_take_too_much_memory_is_not_run():
  row, = benchmark('regularizer').measure(0.01, sizes=(512,), channels=8, most_bytes=500_000)
  assert row['linear']['ms'] > 0 and 'linear_left_out' not in row
  assert row['pairwise'] is None and 'more than 0.5 MB' in row['pairwise_left_out']
  json.dumps(row)


@pytest.mark.slow
def test_the_script_prints_a_line_for_each_number_of_pixels():
  result = subprocess.run([sys.executable, 'benchmarks/regularizer.py', '--seconds=0.05'], cwd=ROOT,
                          env=environment(), text=True, capture_output=True, check=False)
  assert result.returncode == 0, result.stderr
  rows = [json.loads(line) for line in result.stdout.splitlines()]
  assert [row['pixels'] for row in rows] == [256, 1024, 4096, 16384]
  for row in rows:
    assert row['channels'] == 256 and row['linear']['temporaries_mb'] < 100
    assert row['platform'] == 'cpu' and row['cores'] > 0 and row['jax']
  assert rows[-1]['pairwise'] is None and rows[-1]['pairwise_left_out']
  assert rows[-2]['linear']['ms'] < rows[-2]['pairwise']['ms']
