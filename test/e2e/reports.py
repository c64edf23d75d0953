#!/usr/bin/env python3
# Reports of real compiles: against their JSON Schemas, the schemas against the documentation, pages as a browser would parse them.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""reports.py [--build DIR] [--work FOLDER] [--only NAME,...]

Exit 1 if a check fails; checks are printed by name."""
import argparse
import html.parser
import json
import os
import re
import shutil
import sys
import traceback
from pathlib import Path

from common import MISMATCH, OK, REFUSED, ROOT, UNSUPPORTED, USAGE, Tools, build_argument, fresh, in_venv

in_venv()
import jsonschema  # noqa: E402
import numpy as np  # noqa: E402

from decoder import write_decoder  # noqa: E402
from linears import FORMATS  # noqa: E402
from mlp import write_mlp  # noqa: E402
from onnxfile import Graph  # noqa: E402

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "schema").glob("*.json"))}
SMALL = dict(seq=37, width=128, mlp=384)
HOSTILE = "/mlp/<script>alert('x')</script>&\"<img src=x onerror=alert(1)>"


def valid(document):
    """The document, after holding it against the schema that it names."""
    name = document["schema"].replace("/", ".")
    jsonschema.Draft202012Validator(SCHEMAS[name]).validate(document)
    return document


class Page(html.parser.HTMLParser):
    """Elements of a page: tags with attributes, text of table cells by table."""
    VOID = {"meta", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.rows, self.text = [], [], {}, ""
        self.feed(text)
        self.close()
        assert not self.open, f"unclosed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.table = self.rows.setdefault(dict(attrs).get("id"), [])
        if tag == "tr":
            self.table.append([])
        if tag in ("td", "th"):
            self.table[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text += data
        if any(tag in ("td", "th") for tag in self.open):
            self.table[-1][-1] += data

    def count(self, tag, **attributes):
        return sum(t == tag and all(a.get(k) == v for k, v in attributes.items()) for t, a in self.tags)


class Reports:
    def __init__(self, a):
        self.tools, self.work = Tools(a.build), Path(a.work)
        self.work.mkdir(parents=True, exist_ok=True)

    def model(self, name, write):
        return fresh(self.work / f"report_{name}.onnx", write)

    def mlp(self, fmt="nvfp4", **how):
        return self.model(f"mlp_{fmt}" + "".join(map(str, how.values())), lambda p: write_mlp(p, fmt, m=37, k=128, n=384, external="never", **how))

    def stack(self, layers=18):
        return self.model(f"stack{layers}", lambda p: write_decoder(p, "nvfp4", layers=layers, attention=False, external="never", **SMALL))

    def decoder(self):
        return self.model("decoder", lambda p: write_decoder(p, "nvfp4", heads=4, head_dim=32, external="never", **SMALL))

    def explain(self, path, *options, expect=OK):
        return valid(json.loads(self.tools.call("nibble", "explain", path, "--json", *options, expect=expect).stdout))

    def page(self, path, *options, expect=OK):
        out = self.work / "page.html"
        self.tools.call("nibble", "explain", path, "--html", out, *options, expect=expect)
        return Page(out.read_text())

    def diff(self, a, b, *options, expect=OK):
        return valid(json.loads(self.tools.call("nibble", "diff", a, b, "--json", *options, expect=expect).stdout))


# ---- checks: each takes Reports and asserts

def fields(schema, path=""):
    """Paths of all fields of a schema: layers[].name."""
    for name, sub in schema.get("properties", {}).items():
        at = f"{path}.{name}" if path else name
        yield at
        while sub.get("type") == "array" and "items" in sub:
            at, sub = at + "[]", sub["items"]
        yield from fields(sub, at)


def documented(path, schema):
    """Field paths in the first column of the tables below the heading of a schema."""
    text = path.read_text().split(f"## Schema {schema}")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def check_schemas_are_documented(r):
    for page, schema in (("explain", "nibble.explain/1"), ("explain", "nibble.diff/1"), ("lint", "nibble.lint/1"), ("emulator", "nibble.emu/1")):
        wanted = set(fields(SCHEMAS[schema.replace("/", ".")]))
        if schema == "nibble.diff/1":
            wanted = {f for f in wanted if not f.startswith("totals.")}  # those of explain
        told = documented(ROOT / "docs" / f"{page}.md", schema)
        assert len(told) == len(set(told)), f"{schema}: described twice: {sorted(f for f in set(told) if told.count(f) > 1)}"
        assert wanted == set(told), f"{schema}: undocumented {sorted(wanted - set(told))}, unknown {sorted(set(told) - wanted)}"


def check_hazard_ids_are_documented(r):
    ids = SCHEMAS["nibble.lint.1"]["properties"]["hazards"]["items"]["properties"]["id"]["enum"]
    table = (ROOT / "docs" / "lint.md").read_text().split("| hazard |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `([a-z-]+)`", table, re.M)) == sorted(ids)


def check_models_on_all_targets(r):
    for target in ("cpu", "sm_90a", "sm_100a", "sm_110a"):
        for model in (r.mlp(), r.stack(2), r.decoder()):
            report = r.explain(model, "--target", target)
            totals, layers = report["totals"], report["layers"]
            assert not report["problems"] and totals["kernels"] == len(layers) > 0
            assert totals["as_requested"] == totals["source_layers"] > 0
            assert ("model" in report["machine"]) == ("predicted_us" in totals) == (target != "cpu")
            times = ("datasheet_us", "reached_us") + (("predicted_us",) if target != "cpu" else ())
            for key in ("bytes", "flops") + times:
                total = totals["predicted_bytes" if key == "bytes" else key]
                assert abs(sum(l[key] for l in layers) - total) <= 1e-9 * total, key
            for layer in layers:
                assert layer["bytes"] == layer["bytes_read"] + layer["bytes_written"]
                assert layer["datasheet_us"] <= layer["reached_us"] * (1 + 1e-9)
                assert target == "cpu" or layer["predicted_us"] > 1
                assert layer["reason"] and layer["kernel"] and layer["function"]
            names = {l["function"] for l in layers}
            assert totals["distinct_kernels"] == len(names), (totals, names)
            gemms = [l for l in layers if l["op"] == "gemm" and "mlp" in l["name"]]
            assert gemms and all(l["requested"] == "nvfp4" for l in gemms), [l["requested"] for l in gemms]


def check_roofline_of_one_product(r):
    """nvfp4 37x384 times 384x128 on Thor: codes, tiles of scales, globals, 64 bytes apart."""
    down = next(l for l in r.explain(r.mlp(), "--target", "sm_110a")["layers"] if l["name"].endswith("down_proj/MatMul"))
    scales = lambda rows, blocks: -(-rows // 128) * 128 * -(-blocks // 4) * 4
    stored = lambda rows, k: -(-(rows * k // 2) // 64) * 64 + scales(rows, k // 16) + 4
    assert down["bytes_read"] == stored(37, 384) + stored(128, 384), down["bytes_read"]
    assert down["bytes_written"] == 37 * 128 * 2 and down["flops"] == 2 * 37 * 384 * 128
    us = max(down["bytes"] / 273e9, down["flops"] / 1035e12) * 1e6
    assert abs(down["datasheet_us"] - us) < 1e-5 and down["bound"] == "memory"


def check_engine_carries_its_report(r):
    engine = r.work / "report.nbl"
    done = r.tools.compile(r.mlp(), engine, expect=OK)
    report = r.explain(engine)
    assert report["stage"] == "lower" and report["command"].startswith("nibble compile ") and report["model_hash"].startswith("xxh3:")
    inspected = json.loads(r.tools.call("nibble-run", "inspect", engine, "--launches", "--json", expect=OK).stdout)
    assert report["totals"]["kernels"] == len(inspected["entries"][0]["launches"])
    assert report["totals"]["distinct_kernels"] == len(inspected["kernels"])
    fresh_report = r.explain(r.mlp())
    assert [l["name"] for l in fresh_report["layers"]] == [l["name"] for l in report["layers"]]
    n = report["totals"]["source_layers"]
    assert f"{n} layers: {n} as requested, 0 not; " in done.stderr, done.stderr
    text = r.tools.call("nibble", "explain", engine, expect=OK).stdout
    assert f"{n} layers: {n} as requested, 0 not; " in text


def check_memory_of_engine(r):
    engine = r.work / "memory.nbl"
    r.tools.compile(r.mlp(), engine, expect=OK)
    inspected = json.loads(r.tools.call("nibble-run", "inspect", engine, "--json", expect=OK).stdout)
    report = r.explain(engine)
    assert report["totals"]["peak_memory"] == report["memory"]["arena"] == inspected["entries"][0]["arena_bytes"] > 0
    for b in report["memory"]["buffers"]:
        assert b["offset"] + b["size"] <= report["memory"]["arena"] and b["first"] <= b["last"] < report["totals"]["kernels"]
    assert "arena " in r.tools.call("nibble", "explain", engine, "--memory", expect=OK).stdout


def check_text_fits_120_columns(r):
    for options in ((), ("--layer", "*gate_proj*")):
        for target in ("cpu", "sm_110a"):
            text = r.tools.call("nibble", "explain", r.decoder(), "--target", target, *options, expect=OK).stdout
            words = [line for line in text.splitlines()[1:-1] if len(line) > 120 and " " in line.strip(" ")[14:]]
            assert not words, words


def check_layer_globs(r):
    some = r.explain(r.mlp(), "--layer", "*down_proj*")["layers"]
    assert some and all(any("down_proj" in n for n in l["layers"] + [l["name"]]) for l in some)
    assert len(some) < len(r.explain(r.mlp())["layers"])
    r.tools.call("nibble", "explain", r.mlp(), "--layer", "nothing*", expect=USAGE)
    r.tools.call("nibble", "explain", r.mlp(), "--layer", "[", expect=USAGE)


def check_refused_compile_has_a_report(r):
    """Weights in blocks of 32: the four-bit unit takes blocks of 16, and nobody permitted anything else."""
    def write(path):
        g = Graph(23)
        g.input("x", "f16", [2, 64])
        level = g.const(np.float32(0.01))
        codes, scales = g.node("TRT_FP4DynamicQuantize", ["x", level], domain="trt", n=2, axis=-1, block_size=16)
        x = g.node("DequantizeLinear", [codes, g.node("DequantizeLinear", [scales, level])], axis=-1, block_size=16)
        q = g.init("w", np.full(128, 0x21, np.uint8), "e2m1", [4, 64])
        s = g.node("DequantizeLinear", [g.init("w.s", np.arange(0x38, 0x40, dtype=np.uint8).reshape(4, 2), "e4m3"), g.init("w.g", np.float32(0.1))])
        w = g.node("Transpose", [g.node("DequantizeLinear", [q, s], axis=-1, block_size=32)], perm=[1, 0])
        y = g.node("MatMul", [g.cast(x, "f16"), g.cast(w, "f16")], name="/odd/MatMul")
        g.output(y, "f16", [2, 4])
        g.save(path)
    model = r.model("refused", write)
    report = r.explain(model, "--target", "sm_110a", expect=REFUSED)
    assert report["stage"] == "layout" and report["problems"][0]["layer"] == "/odd/MatMul"
    odd = next(l for l in report["layers"] if l["name"] == "/odd/MatMul")
    assert not odd["as_requested"] and "--allow-fallback '/odd/MatMul" in odd["suggestion"]
    assert any("operands are nvfp4 x nvfp4 per 32, the instruction takes nvfp4 x nvfp4" == x["reason"] for x in odd["rejected"])
    text = r.tools.call("nibble", "explain", model, "--target", "sm_110a", expect=REFUSED).stdout
    assert "refused: " in text and "1 not; " in text
    page = r.page(model, "--target", "sm_110a", expect=REFUSED)
    assert page.count("tr", **{"class": "bad"}) == 1 and "Refused: layer '/odd/MatMul'" in page.text
    before = set(r.work.glob("nibble-repro-*"))
    done = r.tools.compile(model, r.work / "refused.nbl", "--target", "sm_110a", expect=REFUSED)
    assert "1 not; " in done.stderr and "/odd/MatMul: requested nvfp4 x nvfp4 per 32, f16 chosen" in done.stderr, done.stderr
    assert set(r.work.glob("nibble-repro-*")) == before
    # Permitted, it is no error any more, but still told.
    permit = ("--target", "sm_110a", "--allow-fallback", "/odd/*:f16")
    permitted = r.explain(model, *permit)
    assert permitted["stage"] == "lower" and not permitted["problems"]
    assert [l["name"] for l in permitted["layers"] if not l["as_requested"]] == ["/odd/MatMul"]
    done = r.tools.call("nibble", "compile", model, "--dry-run", *permit, expect=OK)
    assert "2 layers: 1 as requested, 1 not; " in done.stderr and "     fix: " in done.stderr, done.stderr


def check_fallback_of_a_policy_is_told(r):
    """K = 40 is no multiple of 16: that layer falls to f16, the other one gets what it asks for."""
    def write(path):
        g = Graph(20)
        g.input("x", "f16", [4, 40])
        weight = lambda name, k, n: g.init(name, np.random.default_rng(1).normal(size=(k, n)).astype(np.float16))
        h = g.node("MatMul", ["x", weight("w1", 40, 64)], name="/a/MatMul")
        h = g.node("Relu", [h], name="/act/Relu")
        g.output(g.node("MatMul", [h, weight("w2", 64, 32)], name="/b/MatMul"), "f16", [4, 32])
        g.save(path)
    model = r.model("fallback", write)
    ask = ("--target", "sm_110a", "--quantize", "w4a16")
    refused = r.explain(model, *ask, expect=REFUSED)
    assert refused["stage"] == "canonical" and any(d["kind"] == "failed" and d["layer"] == "/a/MatMul" for d in refused["decisions"])
    layers = {l["name"]: l for l in r.explain(model, *ask, "--allow-fallback", "/a/*:f16")["layers"]}
    a, b = layers["/a/MatMul"], layers["/b/MatMul"]
    assert (a["as_requested"], a["requested"], a["chosen"]) == (False, "w4a16", "f16") and "40" in a["reason"], a
    assert b["as_requested"] and b["requested"] == "w4a16", b


def check_unsupported_operator_has_a_report(r):
    def write(path):
        g = Graph(20)
        g.input("x", "f32", [4])
        g.output(g.node("NoSuchOperator", ["x"], name="/strange/Node"), "f32", [4])
        g.save(path)
    model = r.model("unsupported", write)
    report = r.explain(model, expect=UNSUPPORTED)
    assert report["stage"] == "" and not report["layers"] and "NoSuchOperator" in report["problems"][0]["message"]
    r.page(model, expect=UNSUPPORTED)
    r.tools.compile(model, r.work / "unsupported.nbl", expect=UNSUPPORTED)
    assert not list(r.work.glob("nibble-repro-*"))


def check_page_of_the_stack(r):
    for model, target in ((r.stack(), "sm_110a"), (r.stack(), "cpu"), (r.decoder(), "sm_110a")):
        report, page = r.explain(model, "--target", target), r.page(model, "--target", target)
        kernels = len(report["layers"])
        assert len(page.rows["layers"]) == kernels + 1
        for layer, row in zip(report["layers"], page.rows["layers"][1:]):
            assert row[0] == str(layer["region"]) and layer["name"] in row[1] and row[3] == layer["kernel"] and layer["reason"] in row[9]
        bars = [a for t, a in page.tags if t == "rect" and a["class"] in ("bar", "bar m") and a.get("height") == "13"]
        assert len(bars) == kernels
        longest = max(float(b["width"]) for b in bars)
        slowest = max(l["reached_us"] for l in report["layers"])
        for layer, bar in zip(report["layers"], bars):
            assert abs(float(bar["width"]) - max(layer["reached_us"] / slowest * longest, 1)) < 0.1
            assert (bar["class"] == "bar m") == (layer["bound"] == "memory")
        assert report["totals"]["peak_memory"] == report["memory"]["arena"] > 0 and page.count("svg", id="memory") == 1
        boxes = [a for t, a in page.tags if t == "rect" and a.get("stroke") == "white"]
        assert len(boxes) == len(report["memory"]["buffers"])
        live = next(a["points"] for t, a in page.tags if t == "polyline")
        assert len(live.split()) == 2 * len(report["memory"]["launches"]) == 2 * kernels
        assert len(page.rows["decisions"]) == len(report["decisions"]) + 1
        assert not page.count("script") and not page.count("link") and not page.count("img")


def check_hostile_names_are_text(r):
    model = r.mlp(scope=HOSTILE)
    page = r.page(model, "--target", "sm_110a")
    assert not page.count("script") and not page.count("img")
    assert any(HOSTILE in cell for row in page.rows["layers"] for cell in row), page.rows["layers"]
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert any(HOSTILE in l["name"] for l in r.explain(model, "--target", "sm_110a")["layers"])


def check_damaged_reports_are_errors(r):
    report = r.explain(r.mlp(), "--target", "sm_110a")
    path = r.work / "damaged.json"
    cuts = ["{", "[]", "{}", json.dumps({"schema": "nibble.explain/1"}), json.dumps({**report, "schema": "nibble.explain/2"})]
    for key, value in report.items():
        cuts.append(json.dumps({k: v for k, v in report.items() if k != key}) if key != "memory" else json.dumps({**report, key: 1}))
        cuts.append(json.dumps({**report, key: None}))
    for key in report["layers"][0]:
        cuts.append(json.dumps({**report, "layers": [{**report["layers"][0], key: None}]}))
    for key in ("machine", "totals"):
        inner = {"machine": "model", "totals": "predicted_us"}[key]
        cuts.append(json.dumps({**report, key: {**report[key], inner: "much"}}))
    model = report["machine"]["model"]
    cuts += [json.dumps({**report, "machine": {**report["machine"], "model": {k: v for k, v in model.items() if k != gone}}}) for gone in model]
    for text in cuts:
        path.write_text(text)
        for options in ((), ("--json",), ("--html", r.work / "damaged.html"), ("--memory",)):
            done = r.tools.call("nibble", "explain", path, *options, expect=UNSUPPORTED)
            assert "the report in" in done.stderr, done.stderr
        r.tools.call("nibble", "diff", path, path, expect=UNSUPPORTED)


def check_diff(r):
    """Without fusion there are more kernels and bytes; nodes still align."""
    fused, apart = r.work / "fused.nbl", r.work / "apart.nbl"
    r.tools.compile(r.stack(2), fused, expect=OK)
    r.tools.compile(r.stack(2), apart, "--no-fusion", "all", expect=OK)
    same = r.diff(fused, fused)
    assert not same["layers"] and not same["regressions"]
    worse = r.diff(fused, apart, expect=MISMATCH)
    kernels = worse["totals"]["kernels"]
    assert kernels[1] > kernels[0] and any(x["what"] == "reached_us" for x in worse["regressions"])
    assert not any("only" in l for l in worse["layers"]), [l["name"] for l in worse["layers"] if "only" in l]
    for side in (0, 1):
        equal = kernels[side] - sum(l["regions"][side] for l in worse["layers"])
        assert equal >= 0
    better = r.diff(apart, fused)
    assert not better["regressions"]
    growth = worse["totals"]["reached_us"]
    allowed = r.diff(fused, apart, "--max-slowdown", f"{(growth[1] / growth[0] - 1) * 100 + 1}%")
    assert allowed["layers"] == worse["layers"]
    r.tools.call("nibble", "diff", fused, apart, "--max-slowdown", "fast", expect=USAGE)


def check_diff_of_downgrades(r):
    """A report in which a layer is no longer as requested, and one with a new reformat."""
    a, b = r.work / "a.json", r.work / "b.json"
    report = r.explain(r.mlp(), "--target", "sm_110a")
    a.write_text(json.dumps(report))
    report["layers"][1].update(as_requested=False, chosen="f16", reason="somebody allowed it")
    report["layers"][2]["reformats_remaining"] = [{"how": "at run time", "from": "row-major", "to": "tiles", "bytes": 1}]
    b.write_text(json.dumps(report))
    diff = r.diff(a, b, expect=MISMATCH)
    assert [x["what"] for x in diff["regressions"]] == [report["layers"][i]["name"] for i in (1, 2)], diff["regressions"]
    assert diff["layers"][0]["changes"] == {"chosen": ["fp4", "f16"]}
    assert not r.diff(b, a)["regressions"]
    hazards = valid(json.loads(r.tools.call("nibble", "inspect", b, "--lint", "--json", expect=OK).stdout))["hazards"]
    assert [h["id"] for h in hazards] == ["runtime-reformat"]


def check_lint_of_clean_models(r):
    for fmt in sorted(f for f, (_, _, _) in FORMATS.items()):
        done = r.tools.call("nibble", "inspect", r.mlp(fmt), "--lint", "--strict", "--json")
        hazards = valid(json.loads(done.stdout))["hazards"]
        assert done.returncode == OK and not hazards, f"{fmt}: {hazards}"
    assert not r.explain(r.decoder())["hazards"]


def check_lint_of_a_planted_model(r):
    def write(path):
        g = Graph(20)
        g.input("x", "f32", [4, 64])
        one = g.const(np.float32(1))
        x = g.node("DequantizeLinear", [g.node("QuantizeLinear", ["x", one], name="/q", output_dtype=17), one], name="/dq")
        q = g.init("w", np.full((32, 64), 0x38, np.uint8), "e4m3")
        w = g.node("DequantizeLinear", [q, g.const(np.float32(0.01))], name="/dqw")
        y = g.node("MatMul", [x, g.node("Transpose", [w], perm=[1, 0])], name="/fc/MatMul")
        g.output(y, "f32", [4, 32])
        g.output(g.node("Relu", [x], name="/island/Relu"), "f32", [4, 64])
        g.save(path)
    model = r.model("planted", write)
    engine = r.work / "planted.nbl"
    r.tools.compile(model, engine, expect=OK)
    for path in (model, engine):
        document = valid(json.loads(r.tools.call("nibble", "inspect", path, "--lint", "--json", expect=OK).stdout))
        assert document["counts"] == {"default-scale": 1, "qdq-island": 1}, document
        assert {h["layer"] for h in document["hazards"]} == {"/q", "/dq"}
    r.tools.call("nibble", "inspect", model, "--lint", "--strict", expect=MISMATCH)
    text = r.tools.call("nibble", "inspect", model, "--lint", expect=OK).stdout
    assert text.endswith("2 hazards\n")


def check_reproducer(r):
    """A graph that a border refuses: the folder shows the same failure again, and the hash is of the failure."""
    bad = r.work / "bad.mlir"
    bad.write_text("""func.func @main(%x: tensor<4x64xf32> {nibble.name = "x"}) -> (tensor<4x64xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %y = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x64xf32> -> tensor<4x64xf32> loc("/fine/Norm")
  check.expect_eq %y, %y : tensor<4x64xf32> loc("/test/Probe")
  return %y : tensor<4x64xf32>
}
""")
    for folder in r.work.glob("repro/*"):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    for _ in range(2):
        done = r.tools.compile(bad, r.work / "bad.nbl", "--reproducer-dir", r.work / "repro", expect=UNSUPPORTED)
    folders = list((r.work / "repro").iterdir())
    assert len(folders) == 1 and re.fullmatch(r"nibble-repro-[0-9a-f]{16}", folders[0].name), folders
    assert f"attach the folder {folders[0]}" in done.stderr, done.stderr
    assert {p.name for p in folders[0].iterdir()} == {"before-layout.mlir", "report.json", "README.txt"}
    error = "after stage 'layout': layer '/test/Probe'"
    again = r.tools.call("nibble-opt", "--run-reproducer", folders[0] / "before-layout.mlir")
    assert again.returncode and error in again.stderr and error in done.stderr, again.stderr
    report = r.explain(folders[0] / "report.json")
    assert report["stage"] == "fuse" and error in report["problems"][0]["message"]
    readme = (folders[0] / "README.txt").read_text()
    assert "LLVM 22" in readme and report["command"] in readme
    r.tools.compile(bad, r.work / "bad.nbl", "--target", "nowhere", "--reproducer-dir", r.work / "none", expect=USAGE)
    assert not (r.work / "none").exists()


QUANTIZED = """func.func @main(%x: tensor<4x64xf32> {nibble.name = "x"}) -> (tensor<4x32xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<32x64xf32>) : tensor<32x64xf32>
  %y = nq.matmul %x, %w transpose_b : (tensor<4x64xf32>, tensor<32x64xf32>) -> tensor<4x32xf32> loc("/fine/MatMul")
  return %y : tensor<4x32xf32>
}
func.func @other(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %y = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6, nibble.precision = "nonsense"} : tensor<4x64xf32> -> tensor<4x64xf32> loc("/odd/Norm")
  return %y : tensor<4x64xf32>
}
"""
UNKNOWN_MATH = """func.func @main(%x: tensor<4x64xi32> {nibble.name = "x"}) -> (tensor<4x64xi32> {nibble.name = "y"}) attributes {nibble.entry} {
  %e = tensor.empty() : tensor<4x64xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4x64xi32>) outs(%e : tensor<4x64xi32>) {
  ^bb0(%a: i32, %o: i32):
    %r = math.ipowi %a, %a : i32
    linalg.yield %r : i32
  } -> tensor<4x64xi32> loc("/odd/Power")
  return %y : tensor<4x64xi32>
}
"""


def check_reproducer_stages(r):
    """Failures in the passes of stage quantize, and behind all passes, in the code generator."""
    for name, text, options, stage, done, error in (
            ("quantize", QUANTIZED, ("--quantize", "mxfp8"), "quantize", "canonical", "nonsense"),
            ("code", UNKNOWN_MATH, (), "code", "select", "math.ipowi"),
            ("native", UNKNOWN_MATH, ("--target", "cpu:native"), "code", "select", "math.ipowi")):
        model, folder = r.work / f"bad_{name}.mlir", r.work / f"repro_{name}"
        model.write_text(text)
        shutil.rmtree(folder, ignore_errors=True)
        call = r.tools.call("nibble", "compile", model, "-o", r.work / "bad.nbl", *options, "--reproducer-dir", folder, expect=UNSUPPORTED)
        bundles = list(folder.iterdir())
        assert len(bundles) == 1 and f"stage '{stage}' failed" in call.stderr and f"attach the folder {bundles[0]}" in call.stderr, call.stderr
        assert {p.name for p in bundles[0].iterdir()} == {f"before-{stage}.mlir", "report.json", "README.txt"}
        again = r.tools.call("nibble-opt", "--run-reproducer", bundles[0] / f"before-{stage}.mlir", "-o", os.devnull)
        assert again.returncode and error in again.stderr and error in call.stderr, again.stderr
        report = r.explain(bundles[0] / "report.json")
        assert report["stage"] == done and error in report["problems"][0]["message"], report
    # Formats that need samples, and no samples: no bug.
    r.tools.compile(r.work / "bad_quantize.mlir", r.work / "bad.nbl", "--quantize", "fp8", "--reproducer-dir", r.work / "none", expect=REFUSED)
    assert not (r.work / "none").exists()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "reports"))
    p.add_argument("--only", help="names of checks, without 'check_'")
    a = p.parse_args()
    reports, failed = Reports(a), []
    for name, check in [(n[6:], f) for n, f in globals().items() if n.startswith("check_")]:
        if a.only and name not in a.only.split(","):
            continue
        try:
            check(reports)
            print(f"ok      {name}", flush=True)
        except (AssertionError, jsonschema.ValidationError, SystemExit, KeyError, StopIteration) as e:
            failed.append(name)
            print(f"FAILED  {name}: {str(e)[:2000]}", flush=True)
            traceback.print_exc(limit=-1)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
