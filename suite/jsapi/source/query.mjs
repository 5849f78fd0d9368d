// Key-value text, as it stands in INFO messages: a=1&b=2.

/** Take a query apart without decoding anything: on every "&", then on the first "=". */
export function deparam(query) {
  const fields = {};
  for (const part of String(query ?? "").split("&").filter((each) => each !== "")) {
    const at = part.indexOf("=");
    const [key, value] = at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    Object.defineProperty(fields, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return fields;
}

/** Take a query apart and decode it; a part that is no valid encoding stays as it is. */
export function decodeQuery(query) {
  const decoded = {};
  for (const [key, value] of Object.entries(deparam(query))) {
    Object.defineProperty(decoded, decodePart(key), { value: decodePart(value), writable: true, enumerable: true, configurable: true });
  }
  return decoded;
}

function decodePart(text) {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

/** Write an object as a query; a list becomes `key[]=`, an inner object `key[inner]=`. */
export function param(fields) {
  const parts = [];
  const add = (key, value) => {
    if (Array.isArray(value)) {
      value.forEach((each, index) => add(`${key}[${typeof each === "object" && each ? index : ""}]`, each));
    } else if (typeof value === "object" && value !== null) {
      Object.entries(value).forEach(([inner, each]) => add(`${key}[${inner}]`, each));
    } else {
      parts.push(`${encodePart(key)}=${encodePart(value ?? "")}`);
    }
  };
  Object.entries(fields).forEach(([key, value]) => add(key, value));
  return parts.join("&");
}

function encodePart(value) {
  return encodeURIComponent(String(value)).replaceAll("%20", "+");
}
