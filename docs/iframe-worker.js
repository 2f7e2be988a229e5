// Runs the search where a browser starts no workers: on pages that are opened as files.
// A hidden frame takes the place of the worker's thread.
if (location.protocol === 'file:') {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement('iframe');
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent('message', {data}));
      const script = frame.contentDocument.createElement('script');
      script.src = new URL(url, location.href).href;
      this.loaded = new Promise((resolve) => script.addEventListener('load', resolve));
      frame.contentDocument.body.append(script);
    }

    postMessage(data) {
      this.loaded.then(() => this.inside.dispatchEvent(new MessageEvent('message', {data})));
    }
  };
}
