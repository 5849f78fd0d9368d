// Changes a page only where something has changed, so that nothing flickers and no focus is lost.

/** Sets a text unless it is there already. */
export function say(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Shows or hides. */
export function show(element, visible) {
  if (element.hidden === visible) {
    element.hidden = !visible;
  }
}

/** The parts of a template's copy, by their data-of. */
export function parts(element) {
  const found = {};
  for (const part of element.querySelectorAll("[data-of]")) {
    found[part.dataset.of] = part;
  }
  return found;
}

/**
 * Keeps one child for each item, found again by its key: `make(item)` gives a new one,
 * `fill(child, item)` brings it up to date.
 */
export function keep(list, items, key, make, fill) {
  const had = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let place = list.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = had.get(name);
    had.delete(name);
    if (child === undefined) {
      child = make(item);
      child.dataset.key = name;
    }
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      list.insertBefore(child, place);
    }
    fill(child, item);
  }
  had.forEach((child) => child.remove());
}
