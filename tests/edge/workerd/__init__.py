"""The staged Worker in Cloudflare's own runtime, from what the registries hold. Nothing of this is deployed.

python_bundle.py   what workerd would download for Python: one file, made from npm's `pyodide`
config.py          workerd's configuration: the Worker, Miniflare's KV behind a gate, a front Worker
gate.js, front.js  the two small Workers of that configuration
process.py         starts workerd, and makes the snapshot of memory that Cloudflare makes at deploy
serve.py           `make edge`
"""
