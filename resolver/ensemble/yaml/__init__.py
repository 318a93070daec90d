"""YAML 1.2, read with the place of every value."""

from resolver.ensemble.yaml.places import Path, YamlFile, format_path
from resolver.ensemble.yaml.values import read_yaml

__all__ = ["Path", "YamlFile", "format_path", "read_yaml"]
