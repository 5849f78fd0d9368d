// What goes wrong, as a word for programs and a sentence for people.

/** The words; their values are what existing applications compare `name` with. */
export const CONFIGURATION_ERROR = "CONFIGURATION_ERROR";
export const CONNECTION_ERROR = "CONNECTION_ERROR";
export const WEBRTC_NOT_SUPPORTED_ERROR = "WEBRTC_NOT_SUPPORTED_ERROR";
export const WEBRTC_ERROR = "WEBRTC_ERROR";
export const INVALID_STATE_ERROR = "INVALID_STATE_ERROR";
export const NOT_READY_ERROR = "NOT_READY_ERROR";
export const GRTC_ERROR = "ERROR";
export const GRTC_WARN = "WARNING";

/** An error of this library: `name` is one of the words above, `status` an HTTP status where there was one. */
export class GrtcError extends Error {
  constructor(type, message, details = {}) {
    super(message);
    this.name = type;
    Object.assign(this, details);
  }
}

/** What the far end's refusals (ROAP's errorType) mean. */
export const ERROR_WORDS = {
  NOMATCH: "The gateway does not know this call any more.",
  TIMEOUT: "Nobody answered in time.",
  REFUSED: "The other side refuses the call or the change.",
  CONFLICT: "Both sides changed the call at the same moment.",
  DOUBLECONFLICT: "Both sides changed the call at the same moment.",
  FAILED: "The other side cannot use what was offered: no common codec, or no such number.",
};
