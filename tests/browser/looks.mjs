// How a page looks to people: its size, its colours.

/** A browser's window: a desktop's or a phone's, by day or by night. */
export function view({ phone, dark }) {
  return {
    viewport: phone ? { width: 390, height: 844 } : { width: 1180, height: 900 },
    deviceScaleFactor: phone ? 2 : 1,
    isMobile: Boolean(phone),
    hasTouch: Boolean(phone),
    colorScheme: dark ? "dark" : "light",
  };
}

/** The contrast (WCAG 2, 1.4.3) of every visible piece of text with the colour behind it; runs in the page. */
export function contrasts() {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const opaque = (parts(colour)[3] ?? 1) === 1;
    return opaque || element.parentElement === null ? colour : behind(element.parentElement);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = element.value ?? [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("").trim();
    if (text !== "" && typeof text === "string" && element.getClientRects().length > 0) {
      const style = getComputedStyle(element);
      const ink = element instanceof SVGElement ? style.fill : style.color;
      const [low, high] = [light(ink), light(behind(element))].sort((a, b) => a - b);
      found.push([text, (high + 0.05) / (low + 0.05)]);
    }
  }
  return found;
}
