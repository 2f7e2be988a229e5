"""Drives a headless Chromium through chromedriver's HTTP protocol, W3C WebDriver."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

import pytest

KEYS = {'Enter': '\ue007', 'Left': '\ue012', 'Right': '\ue014', 'Tab': '\ue004'}


def available():
  """Returns the paths of chromedriver and Chromium, or None if one is not installed."""
  driver = shutil.which('chromedriver')
  chromium = shutil.which('chromium') or shutil.which('google-chrome')
  return (driver, chromium) if driver and chromium else None


class Browser:
  """One browser with one page; closes at the end of a `with`."""

  def __init__(self, downloads, *options):
    """Starts Chromium, or skips the test; downloaded files go to `downloads`."""
    self._driver = self._session = None
    if not available():
      pytest.skip('no chromium with chromedriver')
    driver, chromium = available()
    self._profile = tempfile.TemporaryDirectory()
    self._driver = subprocess.Popen([driver, '--port=0'], stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True)
    try:
      port = next(match[1] for line in self._driver.stdout
                  if (match := re.search(r'started successfully on port (\d+)', line)))
      self._url = f'http://127.0.0.1:{port}/session'
      arguments = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
                   '--enable-unsafe-swiftshader',
                   f'--user-data-dir={self._profile.name}', '--window-size=1000,800', *options]
      chrome = {'binary': chromium, 'args': arguments,
                'prefs': {'download.default_directory': str(downloads)}}
      self._session = self._post('', {'capabilities': {'alwaysMatch': {
          'goog:chromeOptions': chrome, 'goog:loggingPrefs': {'browser': 'ALL'},
          'unhandledPromptBehavior': 'accept'}}})['sessionId']
      self._url += f'/{self._session}'
    except BaseException:
      self.close()
      raise

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()

  def close(self):
    if self._session:
      with urllib.request.urlopen(urllib.request.Request(self._url, method='DELETE'), timeout=60):
        pass
    if self._driver:
      self._driver.terminate()
      self._driver.communicate(timeout=60)
      self._profile.cleanup()

  def _post(self, path, content):
    request = urllib.request.Request(self._url + path, json.dumps(content).encode(),
                                     {'Content-Type': 'application/json'})
    with urllib.request.urlopen(request, timeout=120) as answer:
      return json.load(answer)['value']

  def open(self, url):
    self._post('/url', {'url': url})

  def reload(self):
    self._post('/refresh', {})

  def run(self, script, *arguments):
    """Runs a piece of JavaScript; returns its result."""
    return self._post('/execute/sync', {'script': script, 'args': list(arguments)})

  def wait(self, condition, seconds=20):
    """Waits until a JavaScript expression is true."""
    end = time.monotonic() + seconds
    while not self.run(f'return Boolean({condition})'):
      assert time.monotonic() < end, f'never: {condition}'
      time.sleep(0.03)

  def type(self, *keys):
    """Presses and releases keys; texts are typed letter by letter."""
    keys = [key for text in keys for key in ([KEYS[text]] if text in KEYS else text)]
    actions = [{'type': kind, 'value': key} for key in keys for kind in ('keyDown', 'keyUp')]
    self._post('/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': actions}]})

  def click(self, selector):
    """Clicks in the middle of an element, as a person would."""
    x, y = self.run('const e = document.querySelector(arguments[0]); e.scrollIntoView(); '
                    'const r = e.getBoundingClientRect(); '
                    'return [r.left + r.width / 2, r.top + r.height / 2]', selector)
    actions = [{'type': 'pointerMove', 'x': round(x), 'y': round(y)},
               {'type': 'pointerDown', 'button': 0}, {'type': 'pointerUp', 'button': 0}]
    self._post('/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': actions}]})

  def drag(self, selector, *places):
    """Presses at the first place and moves to the others, given as shares of width and height."""
    left, top, width, height = self.run(
        'const e = document.querySelector(arguments[0]); e.scrollIntoView({block: "center"}); '
        'const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]', selector)
    moves = [{'type': 'pointerMove', 'duration': 60, 'x': round(left + x * width),
              'y': round(top + y * height)} for x, y in places]
    actions = [moves[0], {'type': 'pointerDown', 'button': 0}, *moves[1:],
               {'type': 'pointerUp', 'button': 0}]
    self._post('/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': actions}]})

  def upload(self, selector, *paths):
    """Passes files to an input of type file."""
    element = self._post('/element', {'using': 'css selector', 'value': selector})
    element_id = next(iter(element.values()))
    self._post(f'/element/{element_id}/value', {'text': '\n'.join(map(str, paths))})

  def screenshot(self, path, whole=True):
    """Saves a picture of the whole page, or of the part in the window."""
    answer = self._post('/goog/cdp/execute', {'cmd': 'Page.captureScreenshot', 'params': {
        'captureBeyondViewport': whole}})
    with open(path, 'wb') as file:
      file.write(base64.b64decode(answer['data']))

  def complaints(self):
    """Returns the errors and warnings of the browser's console."""
    return [entry for entry in self._post('/se/log', {'type': 'browser'})
            if entry['level'] in ('SEVERE', 'WARNING')]
