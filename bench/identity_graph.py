"""Loads the graph of the benchmark `identity` into `<project>.bench_raw.edges`, and times a union-find on it.

Components are of heavy-tailed sizes, mostly 2 to 6, beside a hub with 50,000, a random tree of 30,000 and a chain of 20,000.
A tenth of a percent of edges between any two nodes arrives on a second day.
"""

import io
import json
import os
import sys
import time

import numpy as np
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

NODES, EDGES, LATER = 1_000_000, 1_500_000, 1_500
HUB, TREE, CHAIN = 50_000, 30_000, 20_000


def _graph(rng: np.random.Generator) -> np.ndarray:
    hub = np.stack([np.zeros(HUB - 1, int), np.arange(1, HUB)], 1)
    child = np.arange(1, TREE)
    tree = HUB + np.stack([child, (rng.random(child.size) * child).astype(int)], 1)
    link = np.arange(1, CHAIN)
    chain = HUB + TREE + np.stack([link, link - 1], 1)
    start = HUB + TREE + CHAIN
    sizes = np.clip(rng.zipf(2.2, NODES), 2, 200)
    ends = np.cumsum(sizes)
    sizes = sizes[: np.searchsorted(ends, NODES - start) + 1]
    sizes[-1] -= sizes.sum() - (NODES - start)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.arange(NODES - start) - first
    inner = place > 0
    parent = first[inner] + (rng.random(inner.sum()) * place[inner]).astype(int)
    small = start + np.stack([np.flatnonzero(inner), parent], 1)
    edges = np.concatenate([hub, tree, chain, small])
    # The rest are more edges within the small components.
    more = rng.integers(0, len(small), EDGES - len(edges))
    edges = np.concatenate([edges, np.stack([small[more, 0], start + first[inner][more]], 1)])
    return rng.permutation(NODES)[edges] + 1


def _components(pairs: list[list[int]], parents: list[int]) -> int:
    """Join the pairs; return how many components there are."""
    for a, b in pairs:
        while parents[a] != a:
            parents[a] = a = parents[parents[a]]
        while parents[b] != b:
            parents[b] = b = parents[parents[b]]
        if a != b:
            parents[max(a, b)] = min(a, b)
    return sum(parents[node] == node for node in range(1, NODES + 1))


def _load(project: str, rows: list[tuple[int, int, int]]) -> None:
    options = {"api_endpoint": os.environ["DAYFILL_BIGQUERY_ENDPOINT"]}
    client = bigquery.Client(project=project, location="US", credentials=AnonymousCredentials(), client_options=options)
    client.create_dataset("bench_raw", exists_ok=True)
    client.load_table_from_file(
        io.BytesIO(("a,b,day\n" + "".join(f"{a},{b},{day}\n" for a, b, day in rows)).encode()),
        f"{project}.bench_raw.edges",
        job_config=bigquery.LoadJobConfig(
            schema=[bigquery.SchemaField(name, "INT64") for name in ("a", "b", "day")],
            source_format=bigquery.SourceFormat.CSV,
            skip_leading_rows=1,
        ),
    ).result()


def main(project: str) -> None:
    """Load the edges with the day on which they arrive, and print how a union-find fares."""
    rng = np.random.default_rng(7)
    edges = _graph(rng).tolist()
    later = rng.integers(1, NODES + 1, (LATER, 2)).tolist()
    _load(project, [(*pair, 1) for pair in edges] + [(*pair, 2) for pair in later])
    parents = list(range(NODES + 1))
    figures = {"identifiers": NODES, "edges": EDGES}
    for day, pairs in (("full", edges), ("day", later)):
        began = time.perf_counter()
        persons = _components(pairs, parents)
        figures[day] = {"seconds": round(time.perf_counter() - began, 2), "persons": persons}
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
