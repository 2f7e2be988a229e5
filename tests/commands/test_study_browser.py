"""A participant's way through a user study, in a browser; skipped without a browser."""

import json
import time

import pytest

from helpers.browser import Browser
from helpers.studies import make_plan, RESULTS, SHOWN, write
from maskgan_jax.user_study import answers as study_answers
from maskgan_jax.user_study import page as study_pages

HEADING = "document.querySelector('section:not([hidden]) h1').textContent"


def number(browser):
  return browser.run("return document.getElementById('count').textContent")


@pytest.mark.slow
def test_a_participant(tmp_path):
  """Keys, mouse, going back, a reload, another participant; then the saved files are read."""
  questions = ['realism', 'closer']
  results = {name: RESULTS[name][:2] for name in ('quokka', 'wombat')}
  shown = {**SHOWN, 'source': SHOWN['source'][:2]}
  study = make_plan(questions, results, shown)
  (tmp_path / 'study.html').write_text(study_pages.page(study))
  key = write(tmp_path, 'study.key.json', study.key)
  downloads = tmp_path / 'answers'
  downloads.mkdir()
  with Browser(downloads) as browser:
    browser.open(f'file://{tmp_path}/study.html')
    assert browser.run(f'return {HEADING}') == 'Pictures'
    browser.type('Tab', 'Enter')  # the name field is still empty
    assert browser.run("return document.getElementById('missing').textContent")
    browser.type(' anna  b', 'Enter')
    assert browser.run(f'return {HEADING}') == study.page['questions'][0]
    assert browser.run("return document.getElementById('part-name').textContent") == 'Part 1 of 2'
    browser.type('Enter')
    assert number(browser) == 'Question 1 of 4'
    labels = browser.run("return [...document.querySelectorAll('#choices button')].map("
                         "(b) => b.getAttribute('aria-label'))")
    assert labels == ['Picture 1 of 2', 'Picture 2 of 2']
    browser.type('3', 'Right')  # there is no third, and no answer yet
    assert number(browser) == 'Question 1 of 4'
    browser.type('2')
    browser.wait("document.getElementById('count').textContent === 'Question 2 of 4'")
    browser.type('Left')
    assert number(browser) == 'Question 1 of 4'
    assert browser.run("return [...document.querySelectorAll('#choices [aria-pressed=true]')].map("
                       "(b) => b.textContent)") == ['2']
    browser.type('Right')
    browser.click('#choices button:nth-child(1)')
    browser.wait(f'{HEADING} === {json.dumps(study.page["questions"][1])}')

    browser.reload()
    assert browser.run("return document.getElementById('who').querySelector('b').textContent"
                       ) == 'anna b'
    assert number(browser) == '2 of 4 answered'
    browser.click('#go')
    captions = browser.run("return [...document.querySelectorAll('#shown img')].map((i) => i.alt)")
    assert captions == ['Real 1', 'Real 2', 'Real 3', 'Real 4']
    assert browser.run("return [...document.images].every((i) => i.complete && i.naturalWidth)")
    assert browser.run('return document.documentElement.scrollWidth <= innerWidth')
    browser.type('1', '2')  # one answer: the second key comes too soon to be meant
    browser.wait("document.getElementById('count').textContent === 'Question 4 of 4'")
    assert browser.run("return document.getElementById('forward').disabled")
    browser.type('1')
    browser.wait(f"{HEADING} === 'Thank you!'")
    assert number(browser) == '4 of 4 answered'
    text = browser.run("return document.getElementById('answers').value")
    browser.click('#save')
    anna = downloads / f'answers-{study.id}-anna-b.json'
    end = time.monotonic() + 20
    while not anna.exists():
      assert time.monotonic() < end
      time.sleep(0.05)
    assert json.loads(anna.read_text()) == json.loads(text)

    browser.click('#over')  # accepts the question whether to forget the answers
    assert browser.run(f'return {HEADING}') == 'Pictures'
    assert browser.run('return localStorage.length') == 0
    assert not browser.complaints()

  choices = [trial['choices'][choice] for trial, choice in
             zip(study.page['trials'], (1, 0, 0, 0), strict=True)]
  answers, refused = study_answers.read_answers(
      study_answers.read_key(key), [str(anna), write(downloads, 'copied.json', text)])
  assert [a.participant for a in answers] == ['anna b'] and 'also that of' in refused[0]
  assert answers[0].chosen == {
      trial['id']: study.key['trials'][trial['id']]['choices'][name]
      for trial, name in zip(study.page['trials'], choices, strict=True)}


@pytest.mark.slow
def test_narrow_and_forgetful_browsers(tmp_path):
  study = make_plan(['style'])
  (tmp_path / 'study.html').write_text(study_pages.page(study))
  with Browser(tmp_path, '--window-size=360,700') as browser:
    browser.open(f'file://{tmp_path}/study.html')
    browser.run('Object.defineProperty(window, "localStorage", {get() { throw Error(); }})')
    browser.type('Tab', 'bob', 'Enter', 'Enter', '1')
    browser.wait("document.getElementById('count').textContent === 'Question 2 of 6'")
    assert not browser.run("return document.getElementById('forgetful').hidden")
    assert browser.run('return document.documentElement.scrollWidth <= innerWidth')
