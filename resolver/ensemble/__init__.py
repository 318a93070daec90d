"""Ensembles: YAML workflows, read, checked and made into what may run.

Two forms are one here. The short form says `ensemble:` and `agents:`, whose entries carry `component:` and
`condition:`; Conductor's says `name:`, `agents:` for definitions and `flow:` for steps, which nest:

    parallel.steps   branch.then / branch.else   foreach.step   try.steps / try.catch / try.finally
    switch.cases / switch.default   while.steps   map-reduce.map / map-reduce.reduce

either as `type: parallel` beside `steps:`, or as `parallel:` above them.
"""

from resolver.ensemble.flow import Condition, Ensemble, FlowReader, Site, Unit
from resolver.ensemble.schema import read_document
from resolver.ensemble.yaml import format_path, read_yaml

__all__ = ["Condition", "Ensemble", "Site", "Unit", "format_path", "load_ensemble", "read_yaml"]


def load_ensemble(text: str, file: str) -> Ensemble:
    """Read and check an ensemble. Raises `InvalidEnsemble` with file, line and column."""
    source = read_yaml(text, file)
    return FlowReader(source, read_document(source)).ensemble()
