// The events of the module: an EventTarget whose events carry a `detail`.

/** What clients and calls are: `on` is addEventListener that gives the way back. */
export class Emitter extends EventTarget {
  /** Listen; the function returned ends it. The listener gets the event, its news in `event.detail`. */
  on(type, listener, options) {
    this.addEventListener(type, listener, options);
    return () => this.removeEventListener(type, listener, options);
  }

  /** Tell everybody; false if somebody called `preventDefault` on a cancelable event. */
  emit(type, detail = {}, { cancelable = false } = {}) {
    return this.dispatchEvent(new CustomEvent(type, { detail, cancelable }));
  }
}
