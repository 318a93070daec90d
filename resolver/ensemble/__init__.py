"""Ensembles: YAML workflows, read, checked and made into what may run.

Two forms are one here. The short form says `ensemble:` and `agents:`, whose entries carry `component:` and
`condition:`; Conductor's says `name:`, `agents:` for definitions and `flow:` for steps, which nest:

    parallel.steps   branch.then / branch.else   foreach.step   try.steps / try.catch / try.finally
    switch.cases / switch.default   while.steps   map-reduce.map / map-reduce.reduce

either as `type: parallel` beside `steps:`, or as `parallel:` above them.

Where to look:

| Question                                        | Module       |
|-------------------------------------------------|--------------|
| how is YAML read, and where stands what?        | `yaml`       |
| what may a file hold?                           | `schema`     |
| what runs, and on what way is it reached?       | `flow`       |
| of which kinds is a condition?                  | `conditions` |
| where do references stand?                      | `sites`      |
| what loads, and is probably meant otherwise?    | `slips`      |
| what does one run look like?                    | `expand`     |
"""

from resolver.ensemble.conditions import Condition, DuringRun, Evaluated, Fixed
from resolver.ensemble.flow import Ensemble, FlowReader, Unit
from resolver.ensemble.schema import read_document
from resolver.ensemble.sites import Site, find_sites
from resolver.ensemble.slips import Slip
from resolver.ensemble.yaml import format_path, read_yaml

__all__ = [
    "Condition",
    "DuringRun",
    "Ensemble",
    "Evaluated",
    "Fixed",
    "Site",
    "Slip",
    "Unit",
    "find_sites",
    "format_path",
    "load_ensemble",
    "read_yaml",
]


def load_ensemble(text: str, file: str) -> Ensemble:
    """Read and check an ensemble. Raises `InvalidEnsemble` with file, line and column."""
    source = read_yaml(text, file)
    return FlowReader(source, read_document(source)).ensemble()
