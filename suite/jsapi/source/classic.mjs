// The global that existing applications use.

import { getWebrtcDetectedBrowser, getWebrtcDetectedVersion, getWebrtcMinimumVersion, isWebrtcSupported, VideoConstraints } from "./browser.mjs";
import { ClassicClient } from "./classic_client.mjs";
import {
  CONFIGURATION_ERROR, CONNECTION_ERROR, GRTC_ERROR, GRTC_WARN, GrtcError, INVALID_STATE_ERROR, NOT_READY_ERROR, WEBRTC_ERROR,
  WEBRTC_NOT_SUPPORTED_ERROR,
} from "./errors.mjs";
import { Logger, LOG_LEVEL_DEBUG, LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_NONE, LOG_LEVEL_NOTICE, setExternalLogger, setLogger } from "./logger.mjs";
import { MediaSession } from "./media_session.mjs";
import { deparam } from "./query.mjs";

export const Grtc = {
  CONFIGURATION_ERROR, CONNECTION_ERROR, WEBRTC_NOT_SUPPORTED_ERROR, WEBRTC_ERROR, INVALID_STATE_ERROR, NOT_READY_ERROR,
  GRTC_ERROR, GRTC_WARN,
  LOG_LEVEL_NONE, LOG_LEVEL_ERROR, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG,
  Client: ClassicClient, MediaSession, Error: GrtcError, Logger, VideoConstraints,
  isWebrtcSupported, getWebrtcDetectedBrowser, getWebrtcDetectedVersion, getWebrtcMinimumVersion, deparam, setLogger, setExternalLogger,
};
