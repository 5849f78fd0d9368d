// Makes one script for a page of a package that was written for Node's require.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const CALL = /require\(["']([^"']+)["']\)/g;

/** Gives the text of a script that puts what `name` exports into the page's `globalThis[name]`. */
export function bundled(name) {
  const modules = new Map();
  const entry = collect(createRequire(import.meta.url).resolve(name), modules);
  const functions = [...modules].map(([file, { text, uses }]) =>
    `${JSON.stringify(file)}: [(module, exports, require) => {${text}\n}, ${JSON.stringify(uses)}]`);
  return `(() => {
    const modules = {${functions.join(",\n")}};
    const loaded = {};
    const load = (file) => {
      if (!(file in loaded)) {
        const module = loaded[file] = { exports: {} };
        const [run, uses] = modules[file];
        run(module, module.exports, (name) => load(uses[name]));
      }
      return loaded[file].exports;
    };
    globalThis[${JSON.stringify(name)}] = load(${JSON.stringify(entry)});
  })();`;
}

function collect(file, modules) {
  if (!modules.has(file)) {
    const raw = readFileSync(file, "utf8");
    const text = file.endsWith(".json") ? `module.exports = ${raw}` : raw;
    const uses = {};
    modules.set(file, { text, uses });
    for (const [, name] of file.endsWith(".json") ? [] : raw.matchAll(CALL)) {
      uses[name] = collect(found(name, file), modules);
    }
  }
  return file;
}

/** The file of a module; the slash keeps Node from taking one of its own for a package. */
function found(name, from) {
  const require = createRequire(from);
  if (name.startsWith(".")) {
    return require.resolve(name);
  }
  const file = require.resolve(`${name}/`);
  const folder = file.slice(0, file.lastIndexOf(`node_modules/${name}/`) + `node_modules/${name}`.length);
  const described = join(folder, "package.json");
  const { browser } = existsSync(described) ? JSON.parse(readFileSync(described, "utf8")) : {};
  return typeof browser === "string" ? join(dirname(described), browser) : file;
}
