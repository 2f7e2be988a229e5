"""launch/: the scripts against an imitated cloud, the files against their schemas."""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from helpers.paths import ROOT
from helpers.processes import environment

LAUNCH = os.path.join(ROOT, 'launch')
SCRIPTS = sorted(n for n in os.listdir(LAUNCH) if n.endswith(('.sh', '.sbatch')))
TRAIN = ['--', '--config=configs/x.py', '--config.name=it\'s "two" $words', '--workdir=/mnt/m/x']
QUEUE = ['--name=job', '--zone=us-x1-a', '--accelerator=v5litepod-16', '--version=v2', '--pause=0']
GROUP = ['--name=job', '--zone=us-x1-a', '--machine=ct6e-standard-4t', '--topology=2x4', '--size=2',
         '--image_family=f', '--image_project=p', '--pause=0']

# Imitates gcloud: writes down each command, answers `describe` and `list-instances` with the next
# line of `states` and `ssh` with the next of `codes` (repeating the last), and fails if the command
# contains a line of `fails`.
GCLOUD = '''#!{python}
import os, shlex, sys, time
here = os.path.dirname(os.path.abspath(__file__))
asked = shlex.join(sys.argv[1:])
with open(os.path.join(here, 'asked'), 'a') as file:
  file.write(asked + '\\n')
def following(name):
  path = os.path.join(here, name)
  with open(path) as file:
    lines = file.read().splitlines()
  if len(lines) > 1:
    with open(path, 'w') as file:
      file.write('\\n'.join(lines[1:]))
  return lines[0] if lines else ''
with open(os.path.join(here, 'fails')) as file:
  if any(line in asked for line in file.read().splitlines() if line):
    sys.exit('it fails')
if 'queued-resources describe' in asked:
  print(following('states'))
elif 'tpu-vm describe' in asked:
  print(following('nodes'))
elif 'list-instances' in asked:
  machines = following('states')
  if not machines:
    sys.exit('no such group')
  print(machines.replace(';', '\\n').replace(',', '\\t'))
elif 'ssh' in sys.argv:
  code = following('codes')
  if code == 'lost':
    sys.exit(255)
  print('step 1/2')
  print(f'worker exit {{code}}')
  sys.exit(code != '0')
'''


class Cloud:
  """Returns a folder that contains the imitated gcloud."""

  def __init__(self, folder):
    self.folder = folder
    path = folder / 'gcloud'
    path.write_text(GCLOUD.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    self.play()

  def play(self, states=('ACTIVE',), nodes=('READY',), codes=('0',), fails=()):
    for name, lines in dict(states=states, nodes=nodes, codes=codes, fails=fails).items():
      (self.folder / name).write_text('\n'.join(lines))

  def environment(self):
    return {**os.environ, 'PATH': f'{self.folder}:{os.environ["PATH"]}'}

  def run(self, script, *flags):
    result = subprocess.run([os.path.join(LAUNCH, script), *flags], text=True, cwd=ROOT, timeout=60,
                            capture_output=True, check=False, env=self.environment())
    return result.returncode, result.stdout, result.stderr

  def asked(self, *words):
    """Returns how often a command with all of the words was called."""
    path = self.folder / 'asked'
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(all(word in line.split() for word in words) for line in lines)


@pytest.fixture
def cloud(tmp_path):
  return Cloud(tmp_path)


@pytest.mark.parametrize('name', SCRIPTS)
def test_scripts_are_bash(name):
  subprocess.run(['bash', '-n', os.path.join(LAUNCH, name)], check=True)
  if name not in ('common.sh', 'slurm_gpu.sbatch'):
    path = os.path.join(LAUNCH, name)
    assert os.access(path, os.X_OK)
    said = subprocess.run([path, '--help'], text=True, capture_output=True, check=True).stdout
    assert f'launch/{name}' in said and 'set -euo' not in said


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='no shellcheck')
@pytest.mark.parametrize('name', SCRIPTS)
def test_shellcheck_finds_nothing(name):
  result = subprocess.run(['shellcheck', '-x', name], cwd=LAUNCH, text=True, capture_output=True,
                          check=False)
  assert result.returncode == 0, result.stdout


@pytest.mark.parametrize('script, flags', [('tpu_queued_resource.sh', QUEUE),
                                           ('tpu_instance_group.sh', GROUP)])
def test_a_dry_run_prints_every_command_and_runs_none(script, flags, cloud):
  code, printed, error = cloud.run(script, *flags, '--spot', '--dry-run', *TRAIN)
  assert code == 0 and not error and cloud.asked() == 0
  lines = [shlex.split(line) for line in printed.splitlines()]
  assert all(line[0] in ('gcloud', 'git') for line in lines)
  verbs = ' '.join(word for line in lines for word in line if word in (
      'create', 'describe', 'list-instances', 'scp', 'ssh', 'delete'))
  assert verbs.startswith('create') and 'scp ssh delete' in verbs
  # What is quoted twice, for this machine and for the worker, arrives unchanged.
  remote, = [word for line in lines for word in line if word.startswith('--command=')]
  there = shlex.split(remote.removeprefix('--command='))
  assert there[-4:] == ['--distributed', *TRAIN[1:]]
  assert 'launch/run.sh' in remote and '--extra=tpu' in there


def test_from_the_queue_to_the_end(cloud):
  cloud.play(states=['', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE'])
  code, printed, error = cloud.run('tpu_queued_resource.sh', *QUEUE, *TRAIN)
  assert code == 0 and 'step 1/2' in printed and 'training is done' in error
  assert [cloud.asked('queued-resources', verb) for verb in ('create', 'delete')] == [1, 1]
  assert cloud.asked('ssh') == cloud.asked('scp') == 1


@pytest.mark.parametrize('states, nodes, codes, creates', [
    (['', 'ACTIVE', 'SUSPENDED', 'WAITING_FOR_RESOURCES', 'ACTIVE'], ['READY'], ['75', '0'], 2),
    (['', 'ACTIVE', 'ACTIVE', 'ACTIVE'], ['READY', 'PREEMPTED', 'READY'], ['lost', '0'], 2),
    (['', 'FAILED', 'FAILED', 'ACTIVE'], ['READY'], ['0'], 2),
    (['', 'ACTIVE'], ['READY'], ['75', '1', 'lost', '0'], 1)])  # the slice is still there
def test_what_is_taken_away_is_asked_for_again(states, nodes, codes, creates, cloud):
  cloud.play(states=states, nodes=nodes, codes=codes)
  code, _, error = cloud.run('tpu_queued_resource.sh', *QUEUE, *TRAIN)
  assert code == 0, error
  assert cloud.asked('queued-resources', 'create') == creates
  assert cloud.asked('queued-resources', 'delete') == creates


def test_a_mistake_is_not_tried_again(cloud):
  cloud.play(states=['', 'ACTIVE'], codes=['2'])
  code, _, error = cloud.run('tpu_queued_resource.sh', *QUEUE, *TRAIN)
  assert code == 2 and 'a mistake' in error
  assert cloud.asked('ssh') == cloud.asked('queued-resources', 'delete') == 1


@pytest.mark.parametrize('fails, ssh', [(['queued-resources create'], 0), (['tpu-vm scp'], 0),
                                        (['nothing'], 3)])
def test_it_gives_up_and_leaves_nothing(fails, ssh, cloud):
  cloud.play(states=['', *9 * ['ACTIVE']] if ssh or 'scp' in fails[0] else [''], codes=['75'],
             fails=fails)
  code, _, error = cloud.run('tpu_queued_resource.sh', *QUEUE, '--tries=3', *TRAIN)
  assert code == 75 and 'given up after 3' in error
  assert cloud.asked('ssh') == ssh and cloud.asked('queued-resources', 'delete') >= 1


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_while_it_waits_it_deletes(number, cloud):
  cloud.play(states=['', 'WAITING_FOR_RESOURCES'])
  process = subprocess.Popen([os.path.join(LAUNCH, 'tpu_queued_resource.sh'), *QUEUE[:-1],
                              '--pause=1', *TRAIN], cwd=ROOT, env=cloud.environment())
  until = time.monotonic() + 30
  while cloud.asked('describe') < 3 and time.monotonic() < until:
    time.sleep(0.05)
  process.send_signal(number)
  assert process.wait(30) == 128 + number
  assert cloud.asked('queued-resources', 'delete') == 1


def test_a_group_of_machines(cloud):
  cloud.play(states=['', 'a,STAGING,CREATING;b,STAGING,CREATING', 'a,RUNNING,NONE;b,RUNNING,NONE',
                     'a,RUNNING,NONE;b,RUNNING,NONE', 'a,STOPPED,NONE;b,RUNNING,NONE',
                     *4 * ['a,RUNNING,NONE;b,RUNNING,NONE']], codes=['75', '75', '0'])
  code, printed, error = cloud.run('tpu_instance_group.sh', *GROUP, *TRAIN)
  assert code == 0, error
  assert '[a] step 1/2' in printed and '[b] step 1/2' in printed
  for what in ('workload-policy', 'instance-templates', 'managed'):
    assert cloud.asked('create', what) == 2
  assert cloud.asked('delete', 'managed') == cloud.asked('delete', 'resource-policies') == 2


@pytest.mark.parametrize('script, flags, part', [
    ('tpu_queued_resource.sh', ['--nam=x'], 'unknown flag --nam'),
    ('tpu_queued_resource.sh', ['--name=x'], '--zone=... must be given'),
    ('tpu_queued_resource.sh', QUEUE, "after '--'"),
    ('tpu_queued_resource.sh', ['x'], "unexpected 'x'"),
    ('tpu_instance_group.sh', [*GROUP, '--size=0', *TRAIN], 'not a number of machines'),
    ('gke.sh', ['--name=x'], '--image=... must be given'),
    ('xpk.sh', ['--name'], '--name=... must be given'),
    ('local_processes.sh', ['two'], 'not a number of processes'),
    ('local_processes.sh', ['2'], 'no command')])
def test_mistakes_are_one_line(script, flags, part, cloud):
  code, printed, error = cloud.run(script, *flags)
  assert code == 2 and not printed and cloud.asked() == 0
  assert error.startswith('error: ') and error.count('\n') == 1 and part in error


def test_nothing_names_a_project_or_a_machine():
  for name in os.listdir(LAUNCH):
    with open(os.path.join(LAUNCH, name), encoding='utf-8') as file:
      text = file.read()
    assert '/root/' not in text and '/work/' not in text and 'gserviceaccount' not in text, name


def test_a_worker_trains_stops_and_starts_again(tmp_path):
  """Runs run.sh with an existing environment, whose Python prints its arguments."""
  binary = tmp_path / 'venv' / 'bin'
  binary.mkdir(parents=True)
  (tmp_path / 'venv' / 'installed').touch()
  (binary / 'python').write_text('#!/bin/bash\ntrap "exit 75" TERM\necho "$@"\n'
                                 '[[ $3 == quick ]] && exit 2\nwhile :; do sleep 0.1; done\n')
  (binary / 'python').chmod(0o755)
  env = {**os.environ, 'HOME': str(tmp_path), 'MASKGAN_JAX_VENV': str(tmp_path / 'venv')}
  script = os.path.join(LAUNCH, 'run.sh')

  def start(*arguments):
    process = subprocess.Popen([script, '--', *arguments], env=env, text=True,
                               stdout=subprocess.PIPE)
    assert process.stdout.readline() == f'-m maskgan_jax.train {" ".join(arguments)}\n'
    return process

  def ends(process, code):
    out, _ = process.communicate(timeout=10)
    assert process.returncode == code and out == f'worker exit {code}\n'
  first = start('long', "it's two")
  second = start('long')  # the connection to the first was lost
  ends(first, 75)
  second.send_signal(signal.SIGTERM)
  ends(second, 75)
  ends(start('quick'), 2)


def jobset():
  yaml = pytest.importorskip('yaml')
  result = subprocess.run(
      [os.path.join(LAUNCH, 'gke.sh'), '--name=job', '--image=registry.example/image',
       '--bucket=b', '--accelerator=tpu-v5-lite-podslice', '--topology=4x4', '--machines=4',
       '--chips=4', '--dry-run', *TRAIN], text=True, capture_output=True, check=True)
  return yaml.safe_load(result.stdout)


def test_the_jobset_fails_on_mistakes_and_restarts_on_all_else():
  manifest = jobset()
  job = manifest['spec']['replicatedJobs'][0]['template']['spec']
  container = job['template']['spec']['containers'][0]
  assert container['args'] == TRAIN[1:] and container['command'][:2] == ['python', '-m']
  assert job['parallelism'] == job['completions'] == 4 and job['backoffLimit'] == 0
  rule, = job['podFailurePolicy']['rules']
  assert rule['action'] == 'FailJob' and rule['onExitCodes']['values'] == [2]
  failure_rule = manifest['spec']['failurePolicy']['rules'][0]
  assert failure_rule['onJobFailureReasons'] == ['PodFailurePolicy']
  assert job['template']['spec']['terminationGracePeriodSeconds'] >= 300


def test_the_jobset_is_one_by_its_schema():
  models = pytest.importorskip('kubeflow_trainer_api.models')
  manifest = jobset()
  # A key that the schema does not have would be lost.
  parsed = models.JobsetV1alpha2JobSet.from_dict(manifest).to_dict()
  assert {**manifest, 'status': None} == {**parsed, 'status': None}


def test_the_managed_job_recovers():
  yaml = pytest.importorskip('yaml')
  with open(os.path.join(LAUNCH, 'skypilot.yaml'), encoding='utf-8') as file:
    task = yaml.safe_load(file)
  # These are the names in the specification of SkyPilot's YAML.
  assert set(task) <= {'name', 'workdir', 'num_nodes', 'resources', 'envs', 'secrets',
                       'file_mounts', 'setup', 'run', 'config'}
  assert set(task['resources']) <= {'infra', 'accelerators', 'accelerator_args', 'use_spot',
                                    'job_recovery', 'disk_size', 'cpus', 'memory', 'image_id'}
  assert task['resources']['job_recovery']['recover_on_exit_codes'] == [75]
  subprocess.run(['bash', '-n'], input=task['run'], text=True, check=True)


def batch_job(tmp_path, code, *arguments, **env):
  """Runs slurm_gpu.sbatch with an imitated Slurm; returns the exit code and the calls it made."""
  for name, then in (('srun', f'exit {code}'), ('scontrol', 'exit 0')):
    path = tmp_path / name
    path.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n{then}\n')
    path.chmod(0o755)
  result = subprocess.run(['bash', os.path.join(LAUNCH, 'slurm_gpu.sbatch'), *arguments], text=True,
                          capture_output=True, check=False, cwd=ROOT,
                          env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}',
                               'SLURM_JOB_ID': '7', **env})
  asked = tmp_path / 'asked'
  return result.returncode, asked.read_text().splitlines() if asked.exists() else []


@pytest.mark.parametrize('code, requeued', [(0, False), (2, False), (75, True), (1, False)])
def test_slurm_requeues_what_was_stopped(code, requeued, tmp_path):
  exit_code, asked = batch_job(tmp_path, code, '--config=c', '--workdir=w', SLURM_NTASKS='2')
  assert exit_code == code and ('scontrol requeue 7' in asked) == requeued
  assert asked[0].endswith('python -m maskgan_jax.train --distributed --config=c --workdir=w')


def test_slurm_runs_rows_as_an_array(tmp_path):
  _, asked = batch_job(tmp_path, 0, 'rows', '--table=lomit/1', SLURM_ARRAY_TASK_ID='3')
  assert asked[0].endswith('python launch/rows.py --run --index=3 --table=lomit/1')
  with open(os.path.join(LAUNCH, 'slurm_gpu.sbatch'), encoding='utf-8') as file:
    text = file.read()
  assert '#SBATCH --requeue\n' in text and '#SBATCH --signal=TERM@' in text
  assert batch_job(tmp_path, 0, 'rows', '--table=lomit/1')[0] != 0  # no array


def rows(*flags):
  return subprocess.run([sys.executable, os.path.join(LAUNCH, 'rows.py'), *flags], cwd=ROOT,
                        text=True, capture_output=True, check=False, env=environment())


def test_rows_of_a_table():
  result = rows('--table=lomit/1', '--seeds=2', '--root=some where')
  lines = [shlex.split(line) for line in result.stdout.splitlines()]
  assert len(lines) == len({line[4] for line in lines}) == 6
  for line in lines:
    path = line[3].removeprefix('--config=').split(':')[0]
    assert os.path.isfile(os.path.join(ROOT, path)) and line[4].startswith('--workdir=some where/')
  one = rows('--table=lomit/1', '--seeds=2', '--root=some where', '--index=3', '--distributed')
  assert shlex.split(one.stdout) == [*lines[3], '--distributed']


@pytest.mark.parametrize('flags, part', [
    ([], '--table must be given'), (['--table=lomit/99'], "unknown table 'lomit/99'"),
    (['--table=lomit/1', '--index=3'], 'there are 3 jobs'),
    (['--table=lomit/1', '--run'], '--index'), (['--table=lomit/1', '--seeds=0'], 'seeds')])
def test_rows_that_are_not_there(flags, part):
  result = rows(*flags)
  assert result.returncode == 2 and not result.stdout, result.stderr
  assert result.stderr.strip().startswith('error: ') and result.stderr.count('\n') == 1
  assert part in result.stderr


def local(*arguments, **more):
  return subprocess.Popen([os.path.join(LAUNCH, 'local_processes.sh'), *arguments], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
                          env=environment(**more))


@pytest.mark.parametrize('codes, expected', [('0 0 0', 0), ('0 75 0', 75), ('75 2 0', 2),
                                             ('75 75 75', 75), ('0 0 1', 1)])
def test_processes_of_this_machine(codes, expected):
  process = local('3', 'bash', '-c', 'codes=($0); echo of $JAX_NUM_PROCESSES at '
                  '$JAX_COORDINATOR_ADDRESS; exit ${codes[JAX_PROCESS_ID]}', codes)
  out, error = process.communicate(timeout=30)
  assert process.returncode == expected, error
  lines = sorted(out.splitlines())
  assert [line[:8] for line in lines] == ['[0] of 3', '[1] of 3', '[2] of 3']
  assert len({line[4:] for line in lines}) == 1


def test_where_one_fails_the_others_do_not_hang():
  began = time.monotonic()
  process = local('--patience=1', '2', 'bash', '-c', 'trap "" TERM; ((JAX_PROCESS_ID)) && exit 1; '
                  'for ((i = 0; i < 300; i++)); do sleep 0.1; done')
  process.communicate(timeout=30)
  assert process.returncode in (1, 137) and time.monotonic() - began < 15


def test_signals_reach_all():
  process = local('2', 'bash', '-c', 'trap "exit 75" TERM; echo ready; while :; do sleep 0.1; done')
  assert [process.stdout.readline() for _ in range(2)]
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=30)
  assert process.returncode == 75


@pytest.mark.slow
def test_two_processes_really_train(tmp_path, data_dir):
  flags = ['--config=configs/quickstart.py:smoke', f'--workdir={tmp_path}/run',
           f'--config.data.data_dir={data_dir}', '--config.evaluators=']
  process = local('2', sys.executable, '-m', 'maskgan_jax.train', *flags)
  out, error = process.communicate(timeout=300)
  assert process.returncode == 0, error
  assert '[0] step ' in out and 'steps; this command took' in out
  process = local('2', sys.executable, '-m', 'maskgan_jax.train', *flags, '--config.batch_size=7')
  _, error = process.communicate(timeout=300)
  assert process.returncode == 2, error
