# Matrix products: candidates of an engine beside cuBLASLt, through PyTorch and by itself.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import math

import numpy as np

import values
from cublaslt import Matmul

SCALED_MM, LINEAR, LT_BEST = "_scaled_mm", "F.linear", "cuBLASLt best of list"
# What issue 5 asks for: (format, m, columns, k) -> peer -> least ratio of their time to ours.
SHAPES = [(976, 32768, 2048), (976, 2048, 16384), (8192, 8192, 8192), (768, 4304, 1152)]
BARS = {("e4m3", *shape): {SCALED_MM: 1.10 if shape[1] == 32768 else 1.0, LT_BEST: 0.97} for shape in SHAPES}
BARS.update({(elem, *shape): {LINEAR: 1.0} for elem in ("f16", "bf16") for shape in SHAPES})


def elem_of(group):
    elem = values.Type(group.inputs[group.activation]["dtype"]).elem
    return {"f8E4M3FN": "e4m3"}.get(elem, elem)


class OnGpu:
    """A group with its data on the GPU, on torch's current stream."""

    def __init__(self, torch, session, group, cache_bytes, seed):
        self.torch, self.group, self.session = torch, group, session
        self.copies = group.copies(cache_bytes)
        self.sets = group.make_inputs(values.TorchData(torch, seed), self.copies)
        self.outputs = [torch.zeros(port["bytes"], dtype=torch.uint8, device="cuda") for port in group.outputs]
        torch.cuda.synchronize()
        self.contexts = [session.context() for _ in range(self.copies)]
        size = lambda buffers: [(b.data_ptr(), b.numel()) for b in buffers]
        for made, context in zip(self.sets, self.contexts):
            for entry, _, _ in group.candidates:
                context.bind(entry, size([b for b, _ in made]), size(self.outputs))

    def close(self):
        self.torch.cuda.synchronize()
        for context in self.contexts:
            context.close()

    def ours(self):
        """schedule -> issue"""
        return {schedule: (lambda i, e=entry: self.contexts[i % self.copies].enqueue(e)) for entry, _, schedule in self.group.candidates}

    def operand(self, index, copy, rows):
        """An input as a matrix of rows x k, its codes alone, and its scale."""
        t, key, (buffer, scale) = self.torch, self.group.key, self.sets[copy][index]
        types = {"e4m3": t.float8_e4m3fn, "f16": t.float16, "bf16": t.bfloat16}
        kind = values.Type(self.group.inputs[index]["dtype"])
        if kind.block or elem_of(self.group) not in types:
            return None, scale  # no peer reads it
        codes = buffer[:kind.sections(self.group.inputs[index]["shape"])[0][1]].view(types[elem_of(self.group)])
        if self.group.k_major.get(index, True):
            return codes.view(rows, key["k"]), scale
        return codes.view(key["k"], rows).t().contiguous(), scale

    def weights(self, copy):
        """All products side by side: [columns, k]."""
        found = [self.operand(i, copy, self.group.key["n"])[0] for i in self.group.weights]
        if any(w is None for w in found) or len(found) != self.group.key["products"]:
            t = self.torch  # other formats: what a user would multiply with instead
            return t.randn(self.group.columns, self.group.key["k"], device="cuda", dtype=t.float16) / math.sqrt(self.group.key["k"])
        return found[0] if len(found) == 1 else self.torch.cat(found)

    def peers(self):
        """name -> issue(i), and results(copy) of the first."""
        t, group, elem = self.torch, self.group, elem_of(self.group)
        a, a_scale = self.operand(group.activation, 0, group.key["m"])
        if a is None:
            raise RuntimeError(f"no peer for activations of {group.inputs[group.activation]['dtype']}")
        ws = [self.weights(c) for c in range(self.copies)]
        out = t.bfloat16 if elem == "bf16" or group.outputs[0]["dtype"] == "bf16" else t.float16
        sa, sb = (t.tensor(float(s), device="cuda") for s in (a_scale, self.sets[0][group.weights[0]][1]))
        if elem == "e4m3":
            first, name = (lambda i: t._scaled_mm(a, ws[i % self.copies].t(), scale_a=sa, scale_b=sb, out_dtype=out, use_fast_accum=True)), SCALED_MM
        else:
            first, name = (lambda i: t.nn.functional.linear(a, ws[i % self.copies])), LINEAR
        found = {name: first}
        try:
            d = t.empty(group.key["m"], group.columns, device="cuda", dtype=out)
            lt = Matmul(t, group.key["m"], group.columns, group.key["k"], elem, "bf16" if out == t.bfloat16 else "f16", sa, sb)
            algorithm = lt.best(a, ws, d)
            found[LT_BEST] = lambda i: lt.run(algorithm, a, ws[i % self.copies], d)
        except (RuntimeError, OSError) as error:
            print(f"  {LT_BEST}: not measured, {error}")
        return found, first

    def result(self, dtype):
        return self.outputs[0].view(dtype).view(self.group.key["m"], self.group.columns)

    def check(self, first):
        """Ours against the peer, output poisoned with NaN: schedule -> elements that are not equal, relative errors to f32."""
        t, found = self.torch, {}
        wanted = [first(c) for c in range(min(self.copies, 2))]
        a, w = self.operand(self.group.activation, 0, self.group.key["m"])[0], self.weights(0)
        rows = slice(0, 256)
        scale = self.sets[0][self.group.activation][1] * self.sets[0][self.group.weights[0]][1]
        exact = a[rows].float() @ w.float().t() * scale
        error = lambda x: ((x[rows].float() - exact).norm() / exact.norm()).item()
        for entry, name, schedule in self.group.candidates:
            unequal = 0
            for copy, want in enumerate(wanted):
                self.outputs[0].fill_(255)
                self.contexts[copy].enqueue(entry)
                unequal += int((self.result(want.dtype) != want).sum())
                if copy == 0:
                    ours = error(self.result(want.dtype))
            found[schedule] = dict(entry=name, unequal=unequal, of=len(wanted) * wanted[0].numel(), error=ours, peer_error=error(wanted[0]))
        return found


def judge(group, checked):
    """Schedules whose results are wrong. FP8 without split-K must equal cuBLASLt's bits; NaN never passes."""
    exact = elem_of(group) == "e4m3"
    splits = lambda schedule: " k" in schedule  # "... k4": four sums, added up
    return [s for s, c in checked.items() if not (c["error"] <= 1.02 * c["peer_error"] + 1e-5) or (exact and not splits(s) and c["unequal"])]


def measure(torch, timer, session, group, cache_bytes, keep=3, seed=1):
    """A record of one group: times of peers and of our best candidates."""
    torch.cuda.empty_cache()
    work = OnGpu(torch, session, group, cache_bytes, seed)
    try:
        ours, (peers, first) = work.ours(), work.peers()
        record = dict(group=group.name, **group.key, columns=group.columns, elem=elem_of(group), copies=work.copies, flops=group.flops, wrong=[])
        if group.bare:
            record["checked"] = work.check(first)
            record["wrong"] = judge(group, record["checked"])
        best = lambda rough: list(peers) + sorted((s for s in ours if s not in record["wrong"]), key=rough.get)[:keep]
        times = timer.compare({**peers, **ours}, work.copies, best)
    finally:
        work.close()
    row = lambda t: dict(us_cool=t.medians()[0] * 1e6, us_hot=t.medians()[1] * 1e6, all_cool=[x * 1e6 for x in t.cool], all_hot=[x * 1e6 for x in t.hot])
    record["peers"] = {n: row(t) for n, t in times.items() if n in peers}
    record["ours"] = {n: row(t) for n, t in sorted(times.items(), key=lambda item: item[1].score) if n in ours}
    return record


def print_record(r):
    print(f"\n{r['group']}: {r['kernel']} {r['m']}x{r['columns']}x{r['k']}, {r['products']} products, {r['copies']} copies of weights")
    for schedule in r["wrong"]:
        c = r["checked"][schedule]
        print(f"  WRONG {c['entry']} {schedule}: {c['unequal']} of {c['of']} elements differ from the peer's, error {c['error']:.2e} (peer {c['peer_error']:.2e})")
    if "checked" in r and not r["wrong"]:
        unequal = max(c["unequal"] for c in r["checked"].values())
        print(f"  results: {len(r['checked'])} candidates, at most {unequal} elements differ from the peer's in any bit")
    print("    us cool  TFLOP/s     us hot  TFLOP/s")
    for name, t in [*r["peers"].items(), *r["ours"].items()]:
        ratios = "".join(f"  {p['us_cool'] / t['us_cool']:.3f}/{p['us_hot'] / t['us_hot']:.3f}" for p in r["peers"].values()) if name in r["ours"] else ""
        print(f"  {t['us_cool']:9.2f} {r['flops'] / t['us_cool'] * 1e-6:8.1f}  {t['us_hot']:9.2f} {r['flops'] / t['us_hot'] * 1e-6:8.1f}  {name}{ratios}", flush=True)


def bars(records):
    """Rows (what, peer, cool ratio, hot ratio, bar) for the shapes of issue 5, and for epilogues that must be free."""
    rows, bare = [], {}
    for r in records:
        ours = next(iter(r["ours"].values()), None)
        if not ours:
            continue
        shape = (r["elem"], r["m"], r["columns"], r["k"])
        what = "{} {}x{}x{}".format(*shape) + ("" if r["products"] == 1 else " gated")
        for peer, bar in BARS.get(shape, {}).items() if r["products"] == 1 else ():
            if peer in r["peers"]:
                rows.append((what, peer, r["peers"][peer]["us_cool"] / ours["us_cool"], r["peers"][peer]["us_hot"] / ours["us_hot"], bar))
        if r["products"] == 1:
            bare.setdefault(shape, ours)
    for r in records:
        shape, ours = (r["elem"], r["m"], r["columns"], r["k"]), next(iter(r["ours"].values()), None)
        if ours and r["products"] > 1 and shape in bare:
            plain = bare[shape]
            rows.append(("{} {}x{}x{} gated".format(*shape), "our bare product", plain["us_cool"] / ours["us_cool"], plain["us_hot"] / ours["us_hot"], 0.97))
    return rows


def peer_rows(records):
    """What nibble-run bench --candidates --peers reads."""
    keys = ("kernel", "m", "n", "k", "products", "result_bytes")
    return [dict({k: r[k] for k in keys}, peer=name, us_cool=t["us_cool"], us_hot=t["us_hot"]) for r in records for name, t in r["peers"].items()]


def check_on_host(session, group, seed=1, limit=1e-3):
    """Without a GPU: every candidate on small data against numpy. Returns the worst relative error, or None without a reference."""
    from runtime import Recording
    sets = group.make_inputs(values.NumpyData(seed), min(group.copies(0), 2))
    decode = {"e4m3": values.decode_e4m3, "f16": lambda b: b.view(np.float16).astype(np.float64)}.get(elem_of(group))
    worst = 0.0
    for made in sets:
        context = session.context()
        if group.bare and decode:
            def operand(index, rows, major):
                count = values.Type(group.inputs[index]["dtype"]).sections(group.inputs[index]["shape"])[0][1]
                x = decode(made[index][0][:count]) * made[index][1]
                return x.reshape(rows, -1) if major else x.reshape(-1, rows).T
            w = group.weights[0]
            exact = operand(group.activation, group.key["m"], True) @ operand(w, group.key["n"], group.k_major[w]).T
        for entry, name, _ in group.candidates:
            for i, (buffer, _) in enumerate(made):
                context.set_input(entry, i, buffer)
            context.run(entry)
            recording = Recording([(context, entry)] * 2)
            seconds = recording.seconds()
            recording.close()
            assert seconds > 0
            out = np.full(group.outputs[0]["bytes"], 255, np.uint8)
            context.get_output(entry, 0, out)
            if group.bare and decode:
                y = out.view(np.float16).astype(np.float64).reshape(exact.shape)
                error = np.linalg.norm(y - exact) / np.linalg.norm(exact)
                worst = max(worst, error)
                if not error <= limit:
                    raise SystemExit(f"error: {name}: relative error {error:.2e}, more than {limit:g}")
        context.close()
    return worst if group.bare and decode else None
