// Conductor in miniature on this machine: its Workers in Miniflare, as wrangler.toml deploys them. Equipment of
// the tests.
//
//   node host.mjs   CONDUCTORS (JSON: host name → one environment of wrangler.toml: "main", "compatibility_date",
//                   "vars", "services"), SERVICES (JSON: name of a Worker → URL of tests/edge/host.mjs, to which
//                   stand_in.ts takes what that Worker is asked), PORT (0: a free one)
//
// A request's `Host` says which Conductor it is for. workerd itself strips the types (`typescript_strip_types`), so
// what runs is the very file that docs/conductor.md shows.
import { readFileSync } from "node:fs";
import { Miniflare } from "miniflare";

const { CONDUCTORS, SERVICES = "{}", PORT = "0" } = process.env;

function worker(name, compatibilityDate, files, rest) {
  const modules = files.map((path) => {
    return { type: "ESModule", path, contents: readFileSync(new URL(path, import.meta.url), "utf8") };
  });
  return { name, compatibilityDate, compatibilityFlags: ["experimental", "typescript_strip_types"], modules, ...rest };
}

function conductor([host, { main, compatibility_date: date, vars: bindings, services }]) {
  const serviceBindings = Object.fromEntries(services.map(({ binding, service }) => [binding, service]));
  return worker(host, date, [main, "resolver.ts"], { bindings, serviceBindings, routes: [`${host}/*`] });
}

function service([name, HOST]) {
  return worker(name, "2026-07-01", ["stand_in.ts"], { bindings: { HOST } });
}

const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: Number(PORT),
  workers: [
    ...Object.entries(JSON.parse(CONDUCTORS)).map(conductor),
    ...Object.entries(JSON.parse(SERVICES)).map(service),
  ],
});
console.log(`Conductor answers on ${new URL(await miniflare.ready).origin}`);
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    await miniflare.dispose();
    process.exit(0);
  });
}
