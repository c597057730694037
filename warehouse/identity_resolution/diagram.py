"""Draws how the models follow from one another, from dbt's manifest, as Mermaid in Markdown on standard output."""

import json
import sys

TITLES = {
    "sources": "Source tables and seeds",
    "raw": "Raw data",
    "events": "Source event log",
    "core": "Core event log",
    "identity": "Identity resolution",
    "marts": "Final tables",
}


def draw(manifest: dict) -> str:
    """Return the diagram of the manifest; the same models give the same text."""
    models = {key: node for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    reads = {key: set(node["depends_on"]["nodes"]) for key, node in models.items()}
    # Folders that have no title come last, under their own name.
    layers: dict[str, list[str]] = {folder: [] for folder in TITLES}
    for key in sorted(set(models).union(*reads.values())):
        layers.setdefault(models[key]["fqn"][-2] if key in models else "sources", []).append(key)
    lines = ["flowchart LR"]
    for folder, keys in layers.items():
        lines += [f'  subgraph layer_{folder}["{TITLES.get(folder, folder)}"]']
        lines += [f'    {_id(key)}["{_label(key)}"]' for key in keys]
        lines += ["  end"]
    lines += [f"  {_id(origin)} --> {_id(key)}" for key in sorted(reads) for origin in sorted(_nearest(reads, key))]
    return "\n".join(lines)


def _nearest(reads: dict[str, set[str]], key: str) -> set[str]:
    """What the model reads and no other model that it reads follows from."""
    return reads[key] - set().union(*(_behind(reads, origin) for origin in reads[key]))


def _behind(reads: dict[str, set[str]], key: str) -> set[str]:
    origins = reads.get(key, set())
    return origins.union(*(_behind(reads, origin) for origin in origins))


def _label(key: str) -> str:
    kind, _, *name = key.split(".")
    return ".".join(name) if kind == "source" else name[-1]


def _id(key: str) -> str:
    kind, _, *name = key.split(".")
    return "_".join([kind, *name])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        diagram = draw(json.load(file))
    print(f"""# How the models follow from one another

Made by `diagram.py` from dbt's manifest; README.md says how. A model that is read through another one only has no arrow of its
own: `memberships` also reads what `persons` and `groups` are made of.

```mermaid
{diagram}
```""")
