# Engines of candidates: groups of entry points that compute one product by different schedules.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import json
import math

import values


class Group:
    """`key`: kernel, m, n, k, products, result_bytes. Roles are read off the tensor maps of the first candidate."""

    def __init__(self, name, key, entry):
        self.name, self.key = name, key
        self.inputs, self.outputs = entry["inputs"], entry["outputs"]
        self.candidates = []  # (number of the entry, name, schedule)
        self.activation, self.weights, self.k_major = self.find_roles(entry)

    def find_roles(self, entry):
        m, n, k = (self.key[x] for x in "mnk")
        values_of, activation, weights, k_major, packed = entry["values"], None, [], {}, []
        launch = entry["launches"][0]
        for param in launch["gpu"]["params"]:
            value = values_of[launch["args"][param["arg"]]] if "map" in param else None
            if not value or value["storage"] != "input":
                continue
            rows_and_k = param["map"]["sizes"][:2]
            i = value["index"]
            if activation is None and rows_and_k == [k, m]:
                activation = i
            elif i != activation and i not in weights and sorted(rows_and_k) == sorted([n, k]):
                weights.append(i)
                k_major[i] = rows_and_k[0] == k
            elif i != activation and i not in packed and sorted(self.inputs[i]["shape"][-2:]) == sorted([n, k]):
                packed.append(i)
        self.packed = not weights and bool(packed)  # codes in an order that no peer reads
        return activation, weights or packed, k_major

    @property
    def columns(self):
        return self.key["n"] * self.key["products"]

    @property
    def flops(self):
        return 2 * self.key["m"] * self.columns * self.key["k"]

    @property
    def title(self):
        return f"{self.key['kernel']} {self.key['m']}x{self.columns}x{self.key['k']}" + (
            f" ({self.key['products']} products)" if self.key["products"] > 1 else "")

    @property
    def bare(self):
        """Nothing but the product: comparable bit for bit."""
        return not self.packed and self.key["products"] == 1 and len(self.inputs) == 2 and self.outputs[0]["dtype"] in ("f16", "bf16", "f32") and len(self.outputs) == 1

    def rotated(self):
        """Inputs that exist several times."""
        return [i for i, port in enumerate(self.inputs) if i != self.activation and port["bytes"] >= 1 << 20]

    def copies(self, cache_bytes):
        size = sum(self.inputs[i]["bytes"] for i in self.rotated())
        return min(max(2 * cache_bytes // size + 1, 2), 8) if size else 1

    def make_inputs(self, data, copies):
        """copies x inputs of (buffer, scale)."""
        rotated = set(self.rotated())
        sets = []
        for copy in range(copies):
            made = []
            for i, port in enumerate(self.inputs):
                if copy and i not in rotated:
                    made.append(sets[0][i])
                    continue
                std = 1 / math.sqrt(self.key["k"]) if i in self.weights else 1.0
                made.append(values.make(data, port, std))
            sets.append(made)
        return sets


def read_groups(info):
    """Groups of what inspect says of an engine."""
    groups = {}
    for number, entry in enumerate(info["entries"]):
        try:
            key = json.loads(entry["launches"][0]["op"])
            name = entry["name"].rsplit("/", 1)[0]
            group = groups.setdefault(name, None) or Group(name, key, entry)
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise SystemExit(f"error: entry point {entry['name']} is no candidate ({error}): nibble compile --candidates N makes them")
        groups[name] = group
        group.candidates.append((number, entry["name"], entry["launches"][0]["layer"]))
    return list(groups.values())
