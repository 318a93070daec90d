// CPython in WebAssembly (Pyodide) as the platform sets it up: the real `workers` SDK, a staged Worker and its packages on
// the path. Nothing of the Worker is imported yet. Development equipment, used by import.mjs.
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPyodide } from "pyodide";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

class WorkerEntrypoint {
  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }
}

/** Python with the Worker that is staged in `bundle`, a folder below the repository or an absolute one. */
export async function runtime(bundle, env) {
  const python = await loadPyodide({ env: { PYTHONHASHSEED: "111", HOME: "/session" } });
  python.registerJsModule("_pyodide_entrypoint_helper", {
    doAnImport: async (name) => {
      throw new Error(`no module ${name} here`);
    },
    patchWaitUntil() {},
    cloudflareWorkersModule: { env, WorkerEntrypoint, waitUntil() {} },
    cloudflareSocketsModule: {},
    workerEntrypoint: WorkerEntrypoint,
  });
  python.registerJsModule("_cloudflare_compat_flags", {
    python_workflows_implicit_dependencies: true,
    python_request_headers_preserve_commas: true,
  });
  for (const [at, folder] of [["/session/metadata", bundle], ["/session/python_modules", "python_modules"]]) {
    python.FS.mkdirTree(at);
    python.FS.mount(python.FS.filesystems.NODEFS, { root: resolve(root, folder) }, at);
  }
  python.runPython(
    "import sys; sys.path[:0] = ['/session/metadata', '/session/python_modules']; sys.dont_write_bytecode = True",
  );
  return python;
}
