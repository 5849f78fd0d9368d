// Where the classic interface writes what it did.

export const LOG_LEVEL_NONE = 0;
export const LOG_LEVEL_ERROR = 1;
export const LOG_LEVEL_NOTICE = 2;
export const LOG_LEVEL_INFO = 3;
export const LOG_LEVEL_DEBUG = 4;

let ownLogger = null;
let externalLogger = null;

/** Writes to an element of the page; without one to the external logger, and without that to the console. */
export class Logger {
  #element;

  constructor(element) {
    this.#element = domElement(element);
  }

  /** Write a line; `exception` is told by its message. */
  log(message, exception) {
    const line = exception === undefined || exception === null ? String(message) : `${message}: ${exception.message ?? exception}`;
    if (this.#element) {
      const entry = document.createElement("div");
      entry.textContent = line;
      this.#element.append(entry);
    } else if (externalLogger) {
      externalLogger.info(line);
    } else {
      console.log(line);
    }
  }
}

/** Let all go to one Logger. */
export function setLogger(logger) {
  ownLogger = logger;
}

/** Let all go to an object with `info`, as log4js has; null undoes it. */
export function setExternalLogger(logger) {
  externalLogger = logger;
}

/** Write a line to whichever logger there is. */
export function writeLog(message, exception) {
  (ownLogger ?? new Logger()).log(message, exception);
}

/** An element, also of a jQuery object. */
export function domElement(element) {
  return element?.jquery ? element[0] : element ?? null;
}
