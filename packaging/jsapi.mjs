// Writes suite/jsapi/grtc.mjs and grtc.js out of suite/jsapi/source: node packaging/jsapi.mjs
//
// All modules share one scope in what is written, so no two may use one name at their top level.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FOLDER = new URL("../suite/jsapi/", import.meta.url);
const CORE = ["errors", "events", "query", "roap", "sdp", "statistics", "media", "http_session", "ice_servers", "connection", "negotiation", "call", "client"];
const CLASSIC = ["callbacks", "logger", "configuration", "browser", "media_session", "classic_client", "classic"];
const NOTICE = "// Written by packaging/jsapi.mjs out of suite/jsapi/source: change it there.\n";
const EXPORTS = ["Call", "Client", "GrtcError", "decodeQuery", "openMedia", "param"];

/** The ES module. */
export function moduleText() {
  return `${NOTICE}\n${text(CORE)}\nexport { ${EXPORTS.join(", ")} };\n`;
}

/** The classic script. */
export function scriptText() {
  return `${NOTICE}\n(() => {\n"use strict";\n\n${text([...CORE, ...CLASSIC])}\nglobalThis.Grtc = Grtc;\n})();\n`;
}

function text(names) {
  return names.map((name) => bare(readFileSync(new URL(`source/${name}.mjs`, FOLDER), "utf8"))).join("\n");
}

// Of one module what stays: no imports, and no word "export".
function bare(source) {
  return source.replace(/^import [^;]*;\n/gm, "").replace(/^export /gm, "").replace(/\n{3,}/g, "\n\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("grtc.mjs", FOLDER), moduleText());
  writeFileSync(new URL("grtc.js", FOLDER), scriptText());
}
