// Lists of functions as existing applications know them: jQuery's Callbacks with the flags "unique stopOnFalse".

/** One event of the classic interface: `add` a function, which may return false to keep the later ones from it. */
export class Callbacks {
  #list = [];
  #queue = [];
  #firing = -1;
  #fired = false;
  #locked = false;
  #disabled = false;

  /** Add functions, or lists of them; one that is there already is not added again. */
  add(...functions) {
    for (const each of functions.flat(Infinity)) {
      if (typeof each === "function" && !this.#disabled && !this.#list.includes(each)) {
        this.#list.push(each);
      }
    }
    return this;
  }

  /** Remove functions, also while they are called. */
  remove(...functions) {
    for (const each of functions.flat(Infinity)) {
      const at = this.#list.indexOf(each);
      if (at >= 0) {
        this.#list.splice(at, 1);
        this.#firing -= at <= this.#firing ? 1 : 0;
      }
    }
    return this;
  }

  /** Whether a function is in the list; without one, whether any is. */
  has(one) {
    return one === undefined ? this.#list.length > 0 : this.#list.includes(one);
  }

  /** Remove all. */
  empty() {
    this.#list.length = 0;
    return this;
  }

  /** Remove all for good: nothing is added or called again. */
  disable() {
    this.#disabled = this.#locked = true;
    this.#queue.length = this.#list.length = 0;
    return this;
  }

  disabled() {
    return this.#disabled;
  }

  /** Let the firing under way end, and allow no other. */
  lock() {
    this.#locked = true;
    this.#queue.length = 0;
    if (this.#firing < 0) {
      this.disable();
    }
    return this;
  }

  locked() {
    return this.#locked;
  }

  /** Call all with these arguments and this list as `this`. */
  fire(...values) {
    return this.fireWith(this, values);
  }

  /** Call all with a `this` of one's own. A firing that begins inside another waits for its end. */
  fireWith(context, values = []) {
    if (!this.#locked) {
      this.#fired = true;
      this.#queue.push([context, [...values]]);
      if (this.#firing < 0) {
        this.#run();
      }
    }
    return this;
  }

  fired() {
    return this.#fired;
  }

  #run() {
    while (this.#queue.length > 0) {
      const [context, values] = this.#queue.shift();
      for (this.#firing = 0; this.#firing < this.#list.length; this.#firing += 1) {
        if (called(this.#list[this.#firing], context, values) === false) {
          break;
        }
      }
      this.#firing = -1;
    }
  }
}

// What an application's function throws is its own fault: it is reported, and the call goes on.
function called(each, context, values) {
  try {
    return each.apply(context, values);
  } catch (error) {
    globalThis.reportError(error);
    return undefined;
  }
}
