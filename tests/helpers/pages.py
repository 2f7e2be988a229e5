"""A parser for the HTML pages that the package writes."""

import html.parser


class Page(html.parser.HTMLParser):
  """Holds the tags and the text of a page, and checks that its tags nest."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.words, self._open = [], [], []
    self.feed(text)
    self.close()
    assert not self._open
    self.text = ' '.join(self.words)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in ('meta', 'img'):
      self._open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)

  def all(self, tag):
    return [attributes for name, attributes in self.tags if name == tag]
