#!/bin/sh
# Runs the scenarios of the drop-in against a real Conductor, and compares them with the miniature.
#
#   tests/conductor/real.sh PATH      PATH is a checkout of Conductor; it is read only
#
# Its sources, the project template and their packages from npm go to build/conductor/real/. What is left to stand-ins is
# the model (beside.js), and the bundler: esbuild with build.mjs for Vite with the template's plugins. Exit code 0: all is
# as it is wanted.
set -eu
path=${1:?usage: tests/conductor/real.sh PATH, a checkout of Conductor}
root=$(cd "$(dirname "$0")/../.." && pwd)
package=$path/packages/conductor
template=$package/catalog/cloud/cloudflare/templates
test -f "$package/src/runtime/executor.ts" || { echo "$path is no checkout of Conductor: there is no packages/conductor/src/runtime/executor.ts"; exit 2; }

real=$root/build/conductor/real
mkdir -p "$real"
rm -rf "$real/src" "$real/template"
cp -R "$package/src" "$real/src"
cp -R "$template" "$real/template"

# The packages of Conductor and of the template, without Conductor itself, which is on no registry.
node -e '
  const [own, template] = process.argv.slice(1).map((file) => JSON.parse(require("fs").readFileSync(file, "utf8")));
  const { ["@ensemble-edge/conductor"]: _, ...others } = template.dependencies;
  const { typescript, "@cloudflare/workers-types": types } = template.devDependencies;
  const tools = { typescript, "@cloudflare/workers-types": types };
  const dependencies = { ...others, ...own.dependencies, ...own.optionalDependencies, ...tools };
  console.log(JSON.stringify({ name: "real", private: true, type: "module", dependencies }, null, 2));
' "$package/package.json" "$template/package.json" > "$real/package.json.new"
if ! cmp -s "$real/package.json.new" "$real/package.json" || ! test -d "$real/node_modules"; then
  cp "$real/package.json.new" "$real/package.json"
  (cd "$real" && npm install --silent --no-audit --no-fund --no-package-lock)
fi

cd "$root"
make -s staged
echo "Conductor $(node -p "require('$package/package.json').version") of $path"

# The package under the template's TypeScript and its strictness.
cat > "$real/tsconfig.json" <<END
{ "extends": "./template/tsconfig.json", "compilerOptions": { "noEmit": true }, "include": ["$root/conductor/src"], "exclude": [] }
END
"$real/node_modules/.bin/tsc" --project "$real"
echo "the package fits the template's tsconfig, TypeScript $("$real/node_modules/.bin/tsc" --version | cut -d' ' -f2)"

.venv/bin/python -m tests.conductor.real "$real"
.venv/bin/python -m tests.conductor.flows "$real"
.venv/bin/python -m tests.conductor.conditions "$real" "$path"
