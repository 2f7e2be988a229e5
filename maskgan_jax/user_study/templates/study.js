'use strict';
const study = JSON.parse(document.getElementById('study').textContent);
const {trials, questions, pictures} = study;
const $ = (id) => document.getElementById(id);
const PLACE = 'study ' + study.study;
const PAUSE = 220;  // milliseconds in which the choice is seen

let state = {participant: '', answers: {}, finished: ''};
let at = 0;  // the trial that is shown
let screen = 'start';
let held = false;  // while a choice is seen, nothing else is heard
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
    const stored = JSON.parse(localStorage.getItem(PLACE));
    if (!stored || typeof stored.participant !== 'string' || !stored.participant) return;
    state.participant = stored.participant;
    state.finished = typeof stored.finished === 'string' ? stored.finished : '';
    for (const trial of trials) {
      const answer = (stored.answers || {})[trial.id];
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
