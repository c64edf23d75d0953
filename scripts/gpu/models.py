# A Gemma decoder layer and MiniLM as one graph, beside PyTorch.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights of peers are random numbers of their own, of the same sizes. The layer of an engine is compared with f32 by the weights that the
engine has; what MiniLM computes is compared elsewhere (test/e2e/minilm.py), here only that it is finite."""
import numpy as np

import values
from stacks import COMPILED, EAGER, compiled_bars, constant_matrices, more_contexts, print_times, start_of

BARS = {"gemma-fp8": 1.7, "gemma-fp16": 1.2, "minilm-fp16": 1.0, "minilm-fp32": 1.0}
EPSILON = 1e-6


def rms_norm(torch, x, gain):
    h = x.float()
    return (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + EPSILON)).to(x.dtype) * gain


def rotate(torch, x, cos, sin):
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat((-high, low), -1) * sin


class Layer:
    """Sizes of a decoder layer, and its rotations."""

    def __init__(self, torch, rows, width, hidden, queries, keys, size, dtype):
        self.rows, self.width, self.hidden, self.size = rows, width, hidden, size
        self.heads, self.kv_heads = queries // size, keys // size
        inverse = 10000.0 ** (-torch.arange(0, size, 2, device="cuda", dtype=torch.float64) / size)
        angles = torch.arange(rows, device="cuda")[:, None] * torch.cat((inverse, inverse))[None]
        self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)

    def forward(self, torch, x, gains, linears):
        """linears: q, k, v, o, gate, up, down as functions; gains of both norms."""
        F, (q, k, v, o, gate, up, down) = torch.nn.functional, linears
        split = lambda t, heads: t.view(1, self.rows, heads, self.size).transpose(1, 2)
        h = rms_norm(torch, x, gains[0])
        queries = rotate(torch, split(q(h), self.heads), self.cos, self.sin)
        keys = rotate(torch, split(k(h), self.kv_heads), self.cos, self.sin)
        y = F.scaled_dot_product_attention(queries, keys, split(v(h), self.kv_heads), is_causal=True, enable_gqa=True)
        x = x + o(y.transpose(1, 2).reshape(self.rows, -1))
        h = rms_norm(torch, x, gains[1])
        return x + down(F.gelu(gate(h), approximate="tanh") * up(h))


def layer_peers(torch, kind, layer, compiled):
    f8, F, dtype = torch.float8_e4m3fn, torch.nn.functional, torch.float16
    q, kv = layer.heads * layer.size, layer.kv_heads * layer.size
    shapes = [(q, layer.width), (kv, layer.width), (kv, layer.width), (layer.width, q),
              (layer.hidden, layer.width), (layer.hidden, layer.width), (layer.width, layer.hidden)]
    weights = [torch.randn(n, k, device="cuda", dtype=dtype) * k**-0.5 for n, k in shapes]
    gains = [torch.ones(layer.width, device="cuda", dtype=dtype) for _ in range(2)]
    x = torch.randn(layer.rows, layer.width, device="cuda", dtype=dtype)
    scale = torch.tensor(6.0 / 448, device="cuda")

    def plain(w):
        return lambda x: F.linear(x, w)

    def quantized(w):
        of_weight = w.abs().amax().float() / 448
        codes = (w.float() / of_weight).to(f8)

        def run(x):
            # FP8 through PyTorch wants a multiple of 16 rows
            xq = F.pad((x * (1 / scale)).clamp(-448, 448).to(f8), (0, 0, 0, -layer.rows % 16))
            y = torch._scaled_mm(xq, codes.t(), scale_a=scale, scale_b=of_weight, out_dtype=dtype, use_fast_accum=True)
            return y[:layer.rows]
        return run

    linears = [(quantized if kind.endswith("fp8") else plain)(w) for w in weights]
    run = lambda x: layer.forward(torch, x, gains, linears)
    return with_compiled(torch, run, x, compiled)


def with_compiled(torch, run, x, compiled):
    found = {EAGER: lambda _: run(x)}
    if compiled:
        best = torch.compile(run, mode="max-autotune-no-cudagraphs", dynamic=False)
        found[COMPILED] = lambda _: best(x)
    return found


def gains_of(torch, session, path, width):
    """Constants of `width` numbers in the order of the launches."""
    found, seen = [], set()
    entry = session.info["entries"][0]
    for launch in entry["launches"]:
        for i in launch["args"]:
            value = entry["values"][i]
            if value["storage"] == "constant" and value["shape"] == [width] and i not in seen:
                seen.add(i)
                start = start_of(session.info, value)
                data = np.array(np.memmap(path, np.uint8, "r")[start:start + 2 * width]).view(np.float16)
                found.append(torch.from_numpy(data).cuda().float())
    return found


def measure_layer(torch, session, path, kind, compiled, x, y):
    """(record, peers)."""
    rows, width = x.shape
    weights = constant_matrices(torch, session, path)
    if len(weights) == 5:  # q, k and v as one
        size = (len(weights[0]) - weights[1].shape[1]) // 2
        weights[:1] = weights[0].split((len(weights[0]) - 2 * size, size, size))
    if len(weights) != 7:
        raise RuntimeError(f"{path}: {len(weights)} matrices of weights, expected those of one decoder layer")
    queries, keys = len(weights[0]), len(weights[1])
    layer = Layer(torch, rows, width, len(weights[4]), queries, keys, keys, torch.float32)
    linears = [lambda x, w=w: torch.nn.functional.linear(x, w) for w in weights]
    wanted = layer.forward(torch, x.float(), gains_of(torch, session, path, width), linears)
    cosine = lambda a, b: torch.nn.functional.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0).item()
    added = (y.float() - x.float(), wanted - x.float())
    record = dict(cosine=cosine(y, wanted), cosine_added=cosine(*added))
    peer = Layer(torch, rows, width, layer.hidden, queries, keys, keys, torch.float16)
    del weights, linears
    torch.cuda.empty_cache()
    return record, layer_peers(torch, kind, peer, compiled)


class Bert:
    """MiniLM-L6: 6 layers of 384 with 12 heads, 1536 hidden; mean of the tokens, normalized."""

    def __init__(self, torch, dtype, width=384, hidden=1536, heads=12, layers=6, words=30522):
        self.torch, self.width, self.heads = torch, width, heads
        rand = lambda *shape: torch.randn(*shape, device="cuda", dtype=dtype) * shape[-1] ** -0.5
        norm = lambda: (torch.ones(width, device="cuda", dtype=dtype), torch.zeros(width, device="cuda", dtype=dtype))
        self.words, self.places, self.types, self.first = rand(words, width), rand(512, width), rand(2, width), norm()
        self.layers = [dict(q=(rand(width, width), rand(width)), k=(rand(width, width), rand(width)), v=(rand(width, width), rand(width)),
                            o=(rand(width, width), rand(width)), up=(rand(hidden, width), rand(hidden)), down=(rand(width, hidden), rand(width)),
                            norms=(norm(), norm())) for _ in range(layers)]

    def __call__(self, ids, mask, types):
        torch, F = self.torch, self.torch.nn.functional
        rows = ids.shape[1]
        norm = lambda x, p: F.layer_norm(x, (self.width,), *p, eps=1e-12)
        split = lambda t: t.view(1, rows, self.heads, -1).transpose(1, 2)
        x = norm(self.words[ids] + self.places[:rows] + self.types[types], self.first)
        seen = mask[:, None, None, :].bool()
        for layer in self.layers:
            q, k, v = (split(F.linear(x, *layer[name])) for name in "qkv")
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
            x = norm(x + F.linear(y.transpose(1, 2).reshape(1, rows, -1), *layer["o"]), layer["norms"][0])
            x = norm(x + F.linear(F.gelu(F.linear(x, *layer["up"])), *layer["down"]), layer["norms"][1])
        weights = mask[..., None].to(x.dtype)
        return F.normalize((x * weights).sum(1) / weights.sum(1).clamp(min=1e-9), dim=1)


def make_port(torch, port):
    types = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "i64": torch.int64}
    return torch.zeros(port["shape"], device="cuda", dtype=types[port["dtype"]])


def measure(torch, timer, sessions, paths, kind, compiled=True):
    """Of several engines of the same model the first one is compared with the peers, and with the others."""
    session, path = sessions[0], paths[0]
    if kind not in BARS:
        raise RuntimeError(f"model {kind} is not known; there are {', '.join(BARS)}")
    entry, context = session.info["entries"][0], session.context()
    inputs, outputs = ([make_port(torch, port) for port in entry[side]] for side in ("inputs", "outputs"))
    size = lambda t: (t.data_ptr(), t.numel() * t.element_size())
    for t in inputs:
        if t.dtype == torch.int64:
            t.copy_(torch.ones_like(t) if t is inputs[1] else torch.randint(0, 30000, t.shape, device="cuda") * (t is inputs[0]))
        else:
            t.copy_(torch.randn_like(t, dtype=torch.float32))
    for t in outputs:
        t.fill_(float("nan"))
    context.bind(0, [size(t) for t in inputs], [size(t) for t in outputs])
    context.enqueue(0)
    torch.cuda.synchronize()
    record = dict(kind=kind, engine=str(path), launches=entry["launch_count"], finite=bool(outputs[0].isfinite().all()))
    if kind.startswith("gemma"):
        flat = lambda t: t.view(-1, t.shape[-1])
        more, peers = measure_layer(torch, session, path, kind, compiled, flat(inputs[0]), flat(outputs[0]))
        record.update(more)
    else:
        bert = Bert(torch, torch.float16 if kind.endswith("fp16") else torch.float32)
        peers = with_compiled(torch, lambda x: bert(*x), tuple(inputs), compiled)
    others = more_contexts(sessions, paths, [size(t) for t in inputs], [size(t) for t in outputs])
    times = timer.compare({"ours": lambda _: context.enqueue(0), **{n: lambda _, c=c: c.enqueue(0) for n, c in others.items()}, **peers})
    for c in (context, *others.values()):
        c.close()
    record["times"] = {n: dict(ms_cool=t.medians()[0] * 1e3, ms_hot=t.medians()[1] * 1e3) for n, t in times.items()}
    return record


def print_record(r):
    said = "".join(f", {name.replace('_', ' of what it ')} {r[name]:.6f}" for name in ("cosine", "cosine_added") if name in r)
    print(f"\nmodel {r['kind']}: {r['launches']} launches, {'finite' if r['finite'] else 'NOT FINITE'}{said}")
    print_times(r["times"], "us", 1e3)


def bars(records):
    return compiled_bars(records, lambda r: f"model {r['kind']}", BARS)
