"""The page of a user study: one file that needs no network and says nothing of whose is what."""

import base64
import html
import io
import json

import numpy as np
from PIL import Image

from maskgan_jax.user_study.plan import Study

_PNG_BYTES = 8_000_000  # of all pictures; more become JPEGs, all of them, so that none is betrayed
_JPEG_QUALITY = 95
_SMALL = 96  # pixels; lower pictures are enlarged pixel by pixel, others smoothly


def page(study: Study) -> str:
  """Returns the HTML of a study."""
  pictures = {name: _encoded(image, 'PNG') for name, image in study.pictures.items()}
  if sum(map(len, pictures.values())) > _PNG_BYTES:
    pictures = {name: _encoded(image, 'JPEG') for name, image in study.pictures.items()}
  height, width = next(iter(study.pictures.values())).shape[:2]
  content = json.dumps({**study.page, 'pictures': pictures}, separators=(',', ':'))
  title = html.escape(study.page['title'])
  rendering = 'pixelated' if height < _SMALL else 'auto'
  head = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
          'content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
          f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{title}</title>'
          f'<style>:root {{ --ratio: {width} / {height}; --rendering: {rendering}; }}{_STYLE}'
          '</style></head><body>\n')
  return (f'{head}{_BODY.replace("TITLE", title)}<script type="application/json" id="study">'
          + content.replace('<', '\\u003c') + f'</script>\n<script>{_SCRIPT}</script>\n'
          '</body></html>\n')


def _encoded(image: np.ndarray, form: str) -> str:
  """Returns a data URI of uint8 [H, W, 3], without anything but its pixels."""
  data = io.BytesIO()
  options = dict(quality=_JPEG_QUALITY, subsampling=0) if form == 'JPEG' else dict(optimize=True)
  Image.fromarray(image).save(data, form, **options)
  return f'data:image/{form.lower()};base64,{base64.b64encode(data.getvalue()).decode()}'


_POLICY = ("default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
           "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")

_BODY = """<noscript><p class="noscript">This page needs JavaScript. It sends nothing anywhere.</p>
</noscript>
<main>
<header id="top"><p class="name">TITLE</p><p id="count"></p>
<div id="bar" role="progressbar" aria-label="Answered" aria-valuemin="0"><div></div></div></header>

<section id="start" hidden>
<h1 tabindex="-1">TITLE</h1>
<p>You will see pictures that computer programs have changed, and say which one you prefer.
There are <b id="total"></b> questions<span id="parts"></span>. Do not think long: your first
impression counts, and there are no wrong answers.</p>
<p><label for="participant">Your name, or the code that you were given</label>
<input id="participant" maxlength="40" autocomplete="off" spellcheck="false"></p>
<p id="missing" class="warning" role="alert"></p>
<p><button id="begin" class="main">Begin</button></p>
<p class="dim">Choose with the mouse, by touch, or with the keys <kbd>1</kbd> <kbd>2</kbd> …;
<kbd>←</kbd> goes back. You may close this page and go on later, in the same browser. Nothing is
sent anywhere: at the end you save a file and hand it over.</p>
</section>

<section id="part" hidden>
<p class="dim" id="part-name"></p>
<h1 tabindex="-1" aria-describedby="part-name part-size"></h1>
<p id="part-size"></p>
<p><button id="go" class="main">Go on</button></p>
</section>

<section id="ask" hidden>
<h1 id="question" tabindex="-1" aria-describedby="count"></h1>
<div id="shown"></div>
<div id="choices" role="group" aria-labelledby="question"></div>
<nav><button id="back"><span aria-hidden="true">←</span> Back</button>
<button id="forward">Next <span aria-hidden="true">→</span></button></nav>
</section>

<section id="end" hidden>
<h1 tabindex="-1">Thank you!</h1>
<p>All questions are answered. Please save your answers and hand the file to the organiser.</p>
<p><a id="save" class="main">Save my answers</a></p>
<p>If that does not work, copy this text and send it instead:</p>
<p><label for="answers" class="hidden">Your answers as text</label>
<textarea id="answers" readonly rows="6" spellcheck="false"></textarea></p>
<p class="row"><button id="copy">Copy the text</button><span id="copied" role="status"></span></p>
<nav><button id="last"><span aria-hidden="true">←</span> Back to the last question</button></nav>
</section>

<footer id="who" hidden>Answering as <b></b> · <button id="over" class="link">start over</button>
</footer>
<p id="forgetful" class="warning" hidden>This browser keeps nothing: do not close or reload this
page before you have saved your answers.</p>
</main>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --dim: #5c6470; --paper: #fff; --rule: #d5dae1;
  --box: #f4f6f8; --line: #2563c9; --on: #fff; --warn: #a34a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #a0a8b4; --paper: #15181d;
  --rule: #3c434e; --box: #1f242b; --line: #7fb0ff; --on: #10141a; --warn: #ffb070; } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 1rem 1rem 3rem; }
header { display: grid; grid-template-columns: 1fr auto; gap: .3rem 1rem; margin-bottom: 1.5rem;
  color: var(--dim); font-size: .9rem; }
header p { margin: 0; overflow-wrap: anywhere; } #count { font-variant-numeric: tabular-nums; }
#bar { grid-column: 1 / -1; height: 6px; border-radius: 3px; background: var(--rule);
  overflow: hidden; }
#bar div { height: 100%; width: 0; background: var(--line); transition: width .2s; }
h1 { margin: 0 0 1rem; font-size: 1.45rem; line-height: 1.25; outline: none; }
#question { text-align: center; text-wrap: balance; }
#start { padding-top: 6vh; } #part { padding-top: 2vh; }
#start h1, #end h1, #part h1 { font-size: 1.9rem; overflow-wrap: anywhere; }
.dim, figcaption, footer { color: var(--dim); font-size: .9rem; }
.warning { color: var(--warn); } .warning:empty { display: none; }
.noscript { padding: 1rem; }
figure { margin: 0; } figcaption { text-align: center; margin-top: .25rem; }
img { display: block; width: 100%; aspect-ratio: var(--ratio); image-rendering: var(--rendering);
  border-radius: 4px; background: var(--box); }
#shown { display: flex; flex-wrap: wrap; gap: .75rem; justify-content: center;
  margin-bottom: 1.25rem; }
#shown:empty { display: none; }
#shown figure { width: min(11rem, 44%, 19vh * var(--ratio)); }
#shown.many figure { width: min(8rem, 22%, 16vh * var(--ratio)); }
#choices { display: grid; gap: .75rem; justify-content: center; padding-top: 1.25rem;
  border-top: 1px solid var(--rule);
  grid-template-columns: repeat(var(--columns, 2), minmax(0, min(18rem, 38vh * var(--ratio)))); }
#shown:empty + #choices { padding-top: 0; border: 0; }
button, .main { font: inherit; color: inherit; cursor: pointer; background: var(--box);
  border: 1px solid var(--rule); border-radius: 6px; padding: .45rem .9rem; }
button:disabled { opacity: .4; cursor: default; }
:is(button, a, input, textarea):focus-visible { outline: 3px solid var(--line);
  outline-offset: 2px; }
button.main, .main { display: inline-block; background: var(--line); border-color: var(--line);
  color: var(--on); font-weight: 600; padding: .6rem 1.4rem; text-decoration: none; }
#choices button { display: flex; flex-direction: column; align-items: stretch; gap: .3rem;
  padding: .4rem; border: 3px solid var(--rule); border-radius: 10px; text-align: center; }
#choices button:hover { border-color: var(--dim); }
#choices button[aria-pressed=true] { border-color: var(--line); background: var(--line);
  color: var(--on); font-weight: 600; }
nav { display: flex; justify-content: space-between; margin-top: 1.5rem; }
input, textarea { display: block; width: 100%; margin-top: .3rem; padding: .55rem .7rem;
  font: inherit; color: inherit; background: var(--box); border: 1px solid var(--dim);
  border-radius: 6px; }
input { max-width: 22rem; } textarea { font: .8rem/1.4 ui-monospace, monospace; }
kbd { padding: 0 .35em; border: 1px solid var(--rule); border-radius: 4px; background: var(--box);
  font: inherit; }
.row { display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
footer { margin-top: 2rem; overflow-wrap: anywhere; }
.link { padding: 0; border: 0; background: none; text-decoration: underline; }
@media (max-width: 40rem) { #choices { --columns: 2 !important; } header { margin-bottom: 1rem; }
  h1 { font-size: 1.2rem; } main { padding-top: .75rem; } }
"""

_SCRIPT = r"""
'use strict';
const study = JSON.parse(document.getElementById('study').textContent);
const {trials, questions, pictures} = study;
const $ = (id) => document.getElementById(id);
const PLACE = 'study ' + study.study;
const PAUSE = 220;  // milliseconds in which the choice is seen

let state = {participant: '', answers: {}, finished: ''};
let at = 0;         // the trial that is shown
let screen = 'start';
let held = false;   // while a choice is seen, nothing else is heard
let kept = true;

function keep() {
  try {
    localStorage.setItem(PLACE, JSON.stringify(state));
  } catch (error) {
    kept = false;
    $('forgetful').hidden = false;
  }
}

function recall() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE));
    if (!found || typeof found.participant !== 'string' || !found.participant) return;
    state.participant = found.participant;
    state.finished = typeof found.finished === 'string' ? found.finished : '';
    for (const trial of trials) {
      const answer = (found.answers || {})[trial.id];
      if (trial.choices.includes(answer)) state.answers[trial.id] = answer;
    }
  } catch (error) { /* nothing is kept, or nothing that can be read: a new start */ }
}

const done = () => trials.filter((trial) => trial.id in state.answers).length;
const first = (i) => i === 0 || trials[i].question !== trials[i - 1].question;

function show(name) {
  screen = name;
  for (const id of ['start', 'part', 'ask', 'end']) $(id).hidden = id !== name;
  $('top').hidden = $('who').hidden = name === 'start';
  $('who').querySelector('b').textContent = state.participant;
  const answered = done();
  $('count').textContent = name === 'ask' ? `Question ${at + 1} of ${trials.length}` :
      `${answered} of ${trials.length} answered`;
  $('bar').setAttribute('aria-valuemax', trials.length);
  $('bar').setAttribute('aria-valuenow', answered);
  $('bar').firstElementChild.style.width = `${100 * answered / trials.length}%`;
  document.title = name === 'ask' ? `${at + 1} of ${trials.length}: ${study.title}` : study.title;
  scrollTo(0, 0);
  $(name).querySelector('h1').focus({preventScroll: true});
}

function picture(name, text) {
  const image = document.createElement('img');
  image.src = pictures[name];
  image.alt = text;
  return image;
}

function ask(i) {
  at = i;
  const trial = trials[i];
  $('question').textContent = questions[trial.question];
  $('shown').replaceChildren(...trial.shown.map(([caption, name], k) => {
    const figure = document.createElement('figure');
    const text = document.createElement('figcaption');
    const many = trial.shown.filter(([other]) => other === caption).length > 1;
    text.textContent = many ? `${caption} ${k + 1}` : caption;
    text.setAttribute('aria-hidden', true);  // the picture says it already
    figure.append(picture(name, text.textContent), text);
    return figure;
  }));
  $('shown').className = trial.shown.length > 2 ? 'many' : '';
  const count = trial.choices.length;
  $('choices').style.setProperty('--columns', Math.min(count, 4));
  $('choices').replaceChildren(...trial.choices.map((name, k) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.setAttribute('aria-pressed', state.answers[trial.id] === name);
    button.setAttribute('aria-label', `Picture ${k + 1} of ${count}`);
    const number = document.createElement('span');
    number.textContent = k + 1;
    button.append(picture(name, ''), number);
    button.addEventListener('click', () => choose(k));
    return button;
  }));
  $('back').disabled = i === 0;
  $('forward').disabled = !(trial.id in state.answers);
  show('ask');
}

function part(i) {
  at = i;
  const parts = trials.filter((_, k) => first(k)).length;
  const size = trials.filter((trial) => trial.question === trials[i].question).length;
  $('part-name').textContent = `Part ${trials[i].question + 1} of ${parts}`;
  $('part').querySelector('h1').textContent = questions[trials[i].question];
  $('part-size').textContent = size === 1 ? 'One question of this kind.' :
      `This is what the next ${size} questions ask.`;
  show('part');
}

function choose(k) {
  const trial = trials[at];
  if (held || screen !== 'ask' || k >= trial.choices.length) return;
  state.answers[trial.id] = trial.choices[k];
  state.finished = '';
  [...$('choices').children].forEach(
      (button, i) => button.setAttribute('aria-pressed', i === k));
  keep();
  held = true;
  setTimeout(() => { held = false; next(); }, PAUSE);
}

function next() {
  if (!(trials[at].id in state.answers)) return;
  if (at + 1 === trials.length) return finish();
  if (first(at + 1) && !(trials[at + 1].id in state.answers)) part(at + 1);
  else ask(at + 1);
}

function finish() {
  const missing = trials.findIndex((trial) => !(trial.id in state.answers));
  if (missing >= 0) return ask(missing);
  if (!state.finished) {
    state.finished = new Date().toISOString();
    keep();
  }
  const answers = JSON.stringify({format: study.format, version: study.version, study: study.study,
    participant: state.participant, finished: state.finished, answers: state.answers}, null, 1);
  $('answers').value = answers;
  URL.revokeObjectURL($('save').href);
  $('save').href = URL.createObjectURL(new Blob([answers + '\n'], {type: 'application/json'}));
  const who = state.participant.replace(/[^\p{L}\p{N}]+/gu, '-');
  $('save').download = `answers-${study.study}-${who}.json`;
  $('copied').textContent = '';
  show('end');
}

function resume() {
  const missing = trials.findIndex((trial) => !(trial.id in state.answers));
  if (missing < 0) finish();
  else if (first(missing)) part(missing);
  else ask(missing);
}

function begin() {
  const name = $('participant').value.trim().replace(/\s+/g, ' ');
  $('missing').textContent = name ? '' : 'Please write your name or code first.';
  if (!name) return $('participant').focus();
  state = {participant: name, answers: {}, finished: ''};
  keep();
  resume();
}

$('begin').addEventListener('click', begin);
$('participant').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.isComposing) { event.preventDefault(); begin(); }
});
$('go').addEventListener('click', () => ask(at));
$('back').addEventListener('click', () => { if (!held && at) ask(at - 1); });
$('forward').addEventListener('click', () => { if (!held) next(); });
$('last').addEventListener('click', () => ask(trials.length - 1));
$('copy').addEventListener('click', async () => {
  $('answers').select();
  try {
    await navigator.clipboard.writeText($('answers').value);
    $('copied').textContent = 'Copied.';
  } catch (error) {
    $('copied').textContent = 'The text is selected: copy it with Ctrl+C or ⌘C.';
  }
});
$('over').addEventListener('click', () => {
  if (!confirm('Forget all answers on this page and start over?')) return;
  state = {participant: '', answers: {}, finished: ''};
  at = 0;
  try { localStorage.removeItem(PLACE); } catch (error) { /* nothing was kept */ }
  $('participant').value = '';
  show('start');
});
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (screen === 'part' && event.key === 'Enter' && event.target.tagName !== 'BUTTON') {
    event.preventDefault();
    ask(at);
  } else if (screen === 'ask' && /^[1-9]$/.test(event.key)) {
    choose(Number(event.key) - 1);
  } else if (screen === 'ask' && event.key === 'ArrowLeft') {
    $('back').click();
  } else if (screen === 'ask' && event.key === 'ArrowRight') {
    $('forward').click();
  }
});
addEventListener('beforeunload', (event) => {
  if (!kept && done()) event.preventDefault();
});

const kinds = new Set(trials.map((trial) => trial.question)).size;
$('total').textContent = trials.length;
$('parts').textContent = kinds > 1 ? ` of ${kinds} kinds` : '';
recall();
if (state.participant) resume();
else show('start');
"""
