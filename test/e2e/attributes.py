#!/usr/bin/env python3
# No attribute of an operator is ignored: for every operator, defaults may be written out, and an unknown attribute is refused.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""attributes.py [--build DIR] [--only GLOB]

Takes the node tests of the onnx package that consist of one supported operator, one test per operator and set of attributes that
it leaves at their defaults. Imports each twice: with these defaults written out, which must not matter, and with an attribute that
no operator has, which must be refused with exit 4 and a message that names it."""
import argparse
import concurrent.futures
import tempfile
from pathlib import Path

from common import OK, Tools, UNSUPPORTED, build_argument, in_venv

in_venv()
import onnx  # noqa: E402

from onnx_backend import LIST, load_cases  # noqa: E402

UNKNOWN = "frobnication"


def defaults(node, model):
    """Default values of the attributes that the node does not have."""
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    have = {a.name for a in node.attribute}
    schema = onnx.defs.get_schema(node.op_type, version)
    return [a.default_value for name, a in sorted(schema.attributes.items()) if a.default_value.name and name not in have]


def choose(cases, supported):
    """(case, defaults): every operator, and every set of absent attributes of it, once."""
    chosen = {}
    for case in cases:
        if len(case.model.graph.node) == 1 and case.operators <= supported:
            node = case.model.graph.node[0]
            absent = defaults(node, case.model)
            chosen.setdefault((node.op_type, *(a.name for a in absent)), []).append((case, absent))
    return chosen.values()


def outcome(case, attributes, tools):
    """The finished import of the case with more attributes."""
    model = onnx.ModelProto()
    model.ParseFromString(case.model_with(case.operands))
    model.graph.node[0].attribute.extend(attributes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(model.SerializeToString())
        return tools.call("nibble", "compile", path, "--stop-after", "import", *case.shapes(case.operands))


def check(candidates, tools):
    """Empty if all is well with the first candidate that Nibble takes, else what is wrong."""
    taken = next(((c, a) for c, a in candidates if outcome(c, [], tools).returncode == OK), None)
    if not taken:
        return "skipped"
    case, absent = taken
    done = outcome(case, absent, tools)
    if done.returncode != OK:
        return f"{case.name} with {', '.join(a.name for a in absent)}: exit {done.returncode}: {done.stderr.strip()}"
    done = outcome(case, [onnx.helper.make_attribute(UNKNOWN, 1)], tools)
    if done.returncode != UNSUPPORTED or f"attribute '{UNKNOWN}'" not in done.stderr:
        return f"{case.name} with an unknown attribute: exit {done.returncode}: {done.stderr.strip()}"
    return ""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--only", default="*", help="glob on test names")
    a = p.parse_args()
    supported = {line.strip() for line in LIST.read_text().splitlines() if line.strip() and not line.startswith("#")}
    groups, tools = list(choose(load_cases(a.only, None, 0), supported)), Tools(a.build)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda g: check(g, tools), groups))
    for wrong in filter(None, results):
        if wrong != "skipped":
            print(wrong)
    good, skipped = results.count(""), results.count("skipped")
    print(f"attributes: {good} of {len(results) - skipped} operators and sets of attributes are read in full")
    raise SystemExit(good == 0 or good + skipped != len(results))


if __name__ == "__main__":
    main()
