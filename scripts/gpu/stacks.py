# Stacks of gated MLPs with residuals as one graph, beside PyTorch.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
from pathlib import Path

import numpy as np

import values

BARS = dict(fp8=1.45, fp16=1.08)
COMPILED, EAGER = "torch.compile + graph", "eager + graph"
FILE_BLOBS = 4096  # where the blob section of an engine starts: nibble/rt/engine_format.h


def peers(torch, kind, x, layers, compiled=True):
    """What a user would run instead, on the same numbers and weights: name -> issue."""
    F, t = torch.nn.functional, torch
    f8 = t.float8_e4m3fn

    def quantize(x, scale):
        return (x.float() / scale).clamp(-448, 448).to(f8)

    def mlp(x, w):
        return F.linear(F.gelu(F.linear(x, w[0]), approximate="tanh") * F.linear(x, w[1]), w[2])

    def scaled(a, a_scale, w):
        return t._scaled_mm(a, w[0].t(), scale_a=a_scale, scale_b=w[1], out_dtype=t.float16, use_fast_accum=True)

    def mlp_fp8(x, w, scale):
        xq = (x * (1 / scale)).clamp(-448, 448).to(f8)
        h = F.gelu(scaled(xq, scale, w[0]), approximate="tanh") * scaled(xq, scale, w[1])
        return scaled((h * (1 / scale)).clamp(-448, 448).to(f8), scale, w[2])

    x, function, extra = x.half(), mlp, ()
    if kind == "fp8":
        x = F.pad(x, (0, 0, 0, -len(x) % 16))  # FP8 through PyTorch wants a multiple of 16 rows
        one = lambda w: w.abs().amax() / 448
        weights = [tuple((quantize(w, one(w)), one(w)) for w in layer) for layer in layers]
        function, extra = mlp_fp8, (t.tensor(8.0 / 448, device="cuda"),)
    else:
        weights = [tuple(w.half() for w in layer) for layer in layers]

    def stack(layer):
        def issue(_):
            y = x
            for w in weights:
                y = y + layer(y, w, *extra)
            return y
        return issue

    found = {EAGER: stack(function)}
    if compiled:
        found[COMPILED] = stack(t.compile(function, mode="max-autotune-no-cudagraphs", dynamic=False))
    return found


def start_of(info, value):
    """Where a constant begins in the file of its engine."""
    return FILE_BLOBS + info["constants"][value["index"]]["offset"] + value["offset"]


def constant_matrices(torch, session, path):
    """Those that launches copy by maps, as float32 [out, in] in the order of the launches."""
    info, entry = session.info, session.info["entries"][0]
    file, found = np.memmap(path, np.uint8, "r"), []
    types = {"f8E4M3FN": torch.float8_e4m3fn, "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
    for launch in entry["launches"]:
        for param in launch["gpu"]["params"] if "gpu" in launch else []:
            value = entry["values"][launch["args"][param["arg"]]] if "map" in param else None
            if not value or value["storage"] != "constant" or value["bytes"] < 4096:
                continue
            kind, (k, n) = values.Type(value["dtype"]), param["map"]["sizes"][:2]
            start = start_of(info, value)
            sections = kind.sections(value["shape"])
            piece = lambda i: torch.from_numpy(np.array(file[start + sections[i][0]:start + sum(sections[i])])).cuda()
            w = piece(0).view(types[kind.elem]).float().view(n, k)
            if kind.scaled:  # one for all, or one per row of [out, in]
                scales = piece(1).view(types[kind.scale]).float()
                w = w * (scales if len(scales) == 1 else scales[:, None])
            found.append(w)
    return found


def more_contexts(sessions, paths, inputs, outputs):
    """Of all engines but the first: name -> context with these ports."""
    found = {}
    for session, path in zip(sessions[1:], paths[1:]):
        context = session.context()
        context.bind(0, inputs, outputs)
        found[f"ours, {Path(path).stem}"] = context
    return found


def read_weights(torch, session, path):
    """[(gate, up, down)] as float32 [out, in]; nothing for engines that multiply otherwise."""
    found = constant_matrices(torch, session, path)
    layers = list(zip(found[::3], found[1::3], found[2::3]))
    right = len(found) % 3 == 0 and all(g.shape == u.shape and d.shape == g.t().shape for g, u, d in layers)
    return layers if right else []


def reference(torch, x, layers):
    F, y = torch.nn.functional, x.float()
    for gate, up, down in layers:
        y = y + F.linear(F.gelu(F.linear(y, gate), approximate="tanh") * F.linear(y, up), down)
    return y


def measure(torch, timer, sessions, paths, kind, compiled=True):
    """Of several engines of the same model the first one is compared with the peers, and with the others."""
    session, path = sessions[0], paths[0]
    entry = session.info["entries"][0]
    shape = entry["inputs"][0]["shape"]
    rows, width = shape[-2], shape[-1]
    types = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
    x = torch.randn(rows, width, device="cuda").to(types[entry["inputs"][0]["dtype"]])
    y = torch.zeros(rows, width, device="cuda", dtype=types[entry["outputs"][0]["dtype"]])
    layers = read_weights(torch, session, path)
    record = dict(kind=kind, engine=str(path), rows=rows, width=width, layers=len(layers), launches=entry["launch_count"])
    context = session.context()
    size = lambda v: [(v.data_ptr(), v.numel() * v.element_size())]
    context.bind(0, size(x), size(y))
    y.fill_(float("nan"))
    context.enqueue(0)
    torch.cuda.synchronize()
    record["finite"] = bool(y.isfinite().all())
    if layers:
        wanted = reference(torch, x, layers)
        cosine = lambda a, b: torch.nn.functional.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0).item()
        record.update(hidden=layers[0][0].shape[0], cosine=cosine(y, wanted), cosine_added=cosine(y.float() - x.float(), wanted - x.float()))
    count = len(layers)
    flops = 6 * rows * width * record.get("hidden", 0) * count
    others = more_contexts(sessions, paths, size(x), size(y))
    contestants = {"ours": lambda _: context.enqueue(0), **{n: lambda _, c=c: c.enqueue(0) for n, c in others.items()}}
    if count:
        contestants.update(peers(torch, kind, x, layers, compiled))
    del layers
    torch.cuda.empty_cache()
    times = timer.compare(contestants)
    for c in (context, *others.values()):
        c.close()
    record["flops"] = flops
    record["times"] = {n: dict(ms_cool=t.medians()[0] * 1e3, ms_hot=t.medians()[1] * 1e3) for n, t in times.items()}
    return record


def print_record(r):
    print(f"\nstack {r['kind']}: {r['layers']} gated MLPs of {r['rows']}x{r['width']}x{r.get('hidden', '?')}, {r['launches']} launches, "
          f"{'finite' if r['finite'] else 'NOT FINITE'}, cosine to f32 {r.get('cosine', float('nan')):.6f}, of y - x {r.get('cosine_added', float('nan')):.6f}")
    print_times(r["times"], "ms", 1)


def ratios(times, name):
    """Theirs / ours, cool and hot."""
    return [times[name][regime] / times["ours"][regime] for regime in ("ms_cool", "ms_hot")]


def print_times(times, unit, per_ms):
    for name, t in times.items():
        ratio = "" if name == "ours" else "  ours is {:.3f}x / {:.3f}x as fast".format(*ratios(times, name))
        print(f"  {t['ms_cool'] * per_ms:9.4f} {unit} cool {t['ms_hot'] * per_ms:9.4f} {unit} hot  {name}{ratio}", flush=True)


def bars(records):
    return compiled_bars(records, lambda r: f"stack {r['kind']} {r['layers']} MLPs", BARS)


def compiled_bars(records, title, wanted):
    return [(title(r), COMPILED, *ratios(r["times"], COMPILED), wanted.get(r["kind"], 1)) for r in records if COMPILED in r["times"]]
