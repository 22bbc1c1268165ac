// The search of a page that is opened from a disk. Browsers let no worker read
// a script from there, so it runs in a hidden frame that passes for a worker.
// Material's plugin `offline` asks for a file of this name; without one it
// would load one from the network.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => tell(this, data);
      const script = inside.document.createElement("script");
      script.src = new URL(url, document.baseURI);
      this.loaded = new Promise((resolve) => { script.onload = resolve; });
      inside.document.body.append(script);
    }

    postMessage(data) {
      this.loaded.then(() => tell(this.frame.contentWindow, data));
    }

    terminate() {
      this.frame.remove();
    }
  };

  function tell(target, data) {
    target.dispatchEvent(new MessageEvent("message", { data }));
  }
}
