#!/usr/bin/env python3
# Kernels on the emulated GPU: right results, no reports over many seeds, and a report for every planted fault.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""emulator.py [--build DIR] [--seeds 5] [--work FOLDER]

test/emulator/kernels has the sources and the PTX that nvcc 13.0 and LLVM 22 write for them. A mutant is the same text with one
line changed; the emulator must end with exit code 5 and name what is wrong. `--seeds` orders of warps and of asynchronous work
are tried for the correct kernels; mutants must be found with the first ones."""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from common import DEVICE, OK, ROOT, UNSUPPORTED, USAGE, Goals, Tools, build_argument, in_venv

in_venv()
import jsonschema  # noqa: E402
import numpy as np  # noqa: E402

SCHEMA = json.loads((ROOT / "docs" / "schema" / "nibble.emu.1.json").read_text())
TARGETS = ROOT / "runtime" / "emulator" / "targets"
KERNELS = ROOT / "test" / "emulator" / "kernels"
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])


def e4m3(codes):
    exponent, mantissa = codes.astype(int) >> 3, codes & 7
    return np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))


class Kernel:
    """One PTX text with its launch, and how to judge what it writes."""

    def __init__(self, name, work):
        self.name, self.work = name, work
        self.text = (KERNELS / f"{name}.ptx").read_text()

    def run(self, tools, text=None, seed=1, *more):
        """`seed` None: `more` says which."""
        path = self.work / f"{self.name}.ptx"
        path.write_text(text or self.text)
        arguments = [word for a in self.arguments for word in ("--arg", a)]
        return tools.call("nibble-emu", path, *self.launch, "--check", "tensor-waits", *(() if seed is None else ("--seed", seed)), *arguments, *more, timeout=900)

    def output(self):
        return np.load(self.work / f"{self.name}_y.npy").astype(np.float64)

    def save(self, suffix, x):
        path = self.work / f"{self.name}_{suffix}.npy"
        np.save(path, x)
        return path


class Softmax(Kernel):
    def __init__(self, work, rows=5, n=333):
        super().__init__("softmax", work)
        x = (3 * np.random.default_rng(1).standard_normal((rows, n))).astype(np.float32)
        self.launch = ["--grid", rows, "--block", 128, "--shared", 4 * n]
        self.arguments = [f"in={self.save('x', x)}", f"out={work}/softmax_y.npy:f32:{rows}x{n}", f"u32={n}"]
        e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
        self.wanted, self.tolerance = e / e.sum(1, keepdims=True), 1e-6


class Ring(Kernel):
    def __init__(self, work, rows=64):
        super().__init__("tma_ring", work)
        x = np.random.default_rng(2).standard_normal((rows, 32)).astype(np.float32)
        self.launch = ["--block", 128, "--shared", 2048]
        self.arguments = [f"map={self.save('x', x)}:f32:32x{rows}:128:32x8:128B", f"out={work}/tma_ring_y.npy:f32:{rows}x32", f"s32={rows}"]
        self.wanted, self.tolerance = 2.0 * x, 0


class WgmmaRing(Kernel):
    """FP16 on Hopper: TMA, mbarriers, one wgmma group in flight."""

    def __init__(self, work, m=128, n=64, k=448):
        super().__init__("wgmma_ring", work)
        rng = np.random.default_rng(3)
        a, b = (rng.integers(-8, 9, (rows, k)).astype(np.float16) for rows in (m, n))
        self.launch = ["--grid", f"{m // 64},{n // 64}", "--block", 160, "--shared", 3 * 16384]
        self.arguments = [f"map={self.save(s, x)}:f16:{k}x{rows}:{2 * k}:64x64:128B" for s, x, rows in (("a", a, m), ("b", b, n))]
        self.arguments += [f"out={work}/wgmma_ring_y.npy:f32:{m}x{n}", f"s32={n}", f"s32={k // 64}"]
        self.wanted, self.tolerance = a.astype(np.float64) @ b.astype(np.float64).T, 0


class Gemm(Kernel):
    """NVFP4, with block scales drawn from all of E4M3's positive numbers."""

    def __init__(self, work, k=2048, m=128, n=128):
        super().__init__("nvfp4_gemm", work)
        rng = np.random.default_rng(k)
        a, scales_a, x = self.matrix(rng, m, k)
        b, scales_b, w = self.matrix(rng, n, k)
        tiles = k // 64
        self.launch = ["--grid", f"{m // 128},{n // 128}", "--block", 128, "--shared", 147584]
        self.arguments = [f"map={self.save(s, c)}:u8:{k // 2}x{rows}:{k // 2}:128x128:128B" for s, c, rows in (("a", a, m), ("b", b, n))]
        self.arguments += [f"map={self.save(s, c)}:u16:256x{tiles}x{rows // 128}:512x{512 * tiles}:256x4x1:none"
                           for s, c, rows in (("sa", scales_a, m), ("sb", scales_b, n))]
        self.arguments += [f"out={work}/nvfp4_gemm_y.npy:f32:{m}x{n}", f"u64={n}", f"u32={-(-k // 256)}"]  # the last tile is filled with zeros
        self.wanted, self.tolerance = x @ w.T, 1e-6

    @staticmethod
    def matrix(rng, rows, k):
        codes, scales = rng.integers(0, 16, (rows, k)), rng.integers(1, 0x7F, (rows, k // 16))
        values = E2M1[codes] * np.repeat(e4m3(scales), 16, 1)
        tiles = scales.reshape(rows // 128, 4, 32, k // 64, 4).transpose(0, 3, 2, 1, 4).astype(np.uint8)
        return (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8), tiles.reshape(rows // 128, k // 64, 512).view(np.uint16), values


def error(kernel):
    y, want = kernel.output().reshape(kernel.wanted.shape), kernel.wanted
    return np.linalg.norm(y - want) / np.linalg.norm(want)


def check_correct(kernel, title, tools, goals, seeds):
    done = kernel.run(tools, None, None, "--seeds", f"1..{seeds}", "--json")
    goals.check(f"{title}: reports over {seeds} seeds", reports(done), 0)
    goals.check(f"{title}: relative error", error(kernel) if done.returncode == OK else 1, kernel.tolerance)


def reports(done):
    """Seeds that end with a report; the first one is printed."""
    if done.returncode not in (OK, DEVICE):
        raise SystemExit(done.stderr)
    if done.returncode == DEVICE:
        print(f"    {done.stderr[:400]}")
    document = json.loads(done.stdout)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document["seeds"]["failed"]


# kernel, what is wrong, pattern, replacement, part of the report. Patterns are regular expressions.
MUTANTS = [
    ("nvfp4_gemm", "MMA does not wait for the tiles", r"mbarrier.try_wait[^;]*%p7, [^;]*;", "setp.eq.u32 %p7, 0, 0;", "a copy writes which has not been waited for|nobody has written"),
    ("nvfp4_gemm", "MMA waits for the other parity", r"(try_wait.parity.shared.b64 %p7, \[%rd8\]), %r10", r"\1, 1", "a copy writes which has not been waited for|nobody has written"),
    ("nvfp4_gemm", "TMA does not wait for free slots", r"mbarrier.try_wait[^;]*%p14, [^;]*;", "setp.eq.u32 %p14, 0, 0;", "still reads|writes too|more arrivals"),
    ("nvfp4_gemm", "epilogue does not wait for the accumulator", r"mbarrier.try_wait[^;]*%p17, [^;]*;", "setp.eq.u32 %p17, 0, 0;", "operations in flight write|nobody has written"),
    ("nvfp4_gemm", "expect_tx is too small", r"mov.b32 \t%r25, 36864", "mov.b32 \t%r25, 36848", "deadlock"),
    ("nvfp4_gemm", "expect_tx is too large", r"mov.b32 \t%r25, 36864", "mov.b32 \t%r25, 36880", "deadlock"),
    ("nvfp4_gemm", "slots are never given back", r"tcgen05.commit[^;]*\[%rd9\];", "", "deadlock"),
    ("nvfp4_gemm", "A is taken from an empty collector", r"collector::a::discard", "collector::a::use", "no collector::a::fill has kept"),
    ("nvfp4_gemm", "the accumulator is never announced", r"tcgen05.commit[^;]*\[dsmem\+147520\];", "", "deadlock"),
    ("nvfp4_gemm", "mbarriers expect two arrivals", r"mov.b32 \t%r16, 1;", "mov.b32 \t%r16, 2;", "deadlock"),
    ("nvfp4_gemm", "mbarriers expect no arrival", r"mov.b32 \t%r16, 1;", "mov.b32 \t%r16, 0;", "count 0"),
    ("nvfp4_gemm", "tensor memory is not released", r"tcgen05.dealloc[^;]*;", "", "were not released"),
    ("nvfp4_gemm", "half of the tensor memory is released", r"mov.b32 \t%r65, 256;", "mov.b32 \t%r65, 128;", "the allocation is another"),
    ("nvfp4_gemm", "a number of columns that is no power of two", r"mov.b32 \t%r14, 256;", "mov.b32 \t%r14, 100;", "power of two"),
    ("nvfp4_gemm", "too few columns", r"mov.b32 \t%r14, 256;", "mov.b32 \t%r14, 128;", "which is not allocated"),
    ("nvfp4_gemm", "B begins 16 bytes late", r"\[%rd30\+16384\]", "[%rd30+16400]", "multiple of 128"),
    ("nvfp4_gemm", "the last stage lies beyond shared memory", r"\[%rd30\+34816\]", "[%rd30+148480]", "goes beyond|outside"),
    ("nvfp4_gemm", "scales of B overwrite those of A", r"\[%rd30\+34816\]", "[%rd30+32768]", "writes too|nobody has written"),
    ("nvfp4_gemm", "descriptor of wgmma instead of tcgen05", r"4611756662049472512", "4611686293305294848", "bits 46 to 48"),
    ("nvfp4_gemm", "instruction descriptor with wrong types", r"136316032", "136314880", "type code"),
    ("nvfp4_gemm", "instruction descriptor with N = 0", r"136316032", "134218880", "N = 0"),
    ("nvfp4_gemm", "instruction descriptor with M = 0", r"136316032", "2098304", "M = 0"),
    ("nvfp4_gemm", "tensor memory is used before barrier and allocation", r"bar.sync \t0;\n\ttcgen05.fence::after", "tcgen05.fence::after", "nobody has written|never initialized|not allocated"),
    ("tma_ring", "consumers do not wait for the tile", r"mbarrier.try_wait[^;]*p, \[%r83\], [^;]*;", "setp.eq.u32 p, 0, 0;", "a copy writes|asynchronous copy|nobody has written"),
    ("tma_ring", "consumers wait for the other parity", r"(p, \[%r83\]), %r84", r"\1, 1", "asynchronous copy|nobody has written"),
    ("tma_ring", "far fewer arrivals are expected", r"(mbarrier.init[^;]*), 96", r"\1, 32", "more arrivals|asynchronous|deadlock"),
    ("tma_ring", "one arrival too many is expected", r"(mbarrier.init[^;]*), 96", r"\1, 97", "deadlock"),
    ("tma_ring", "expect_tx for half a tile", r"mov.u32 \t%r(\d+), 1024;", r"mov.u32 \t%r\1, 512;", "deadlock"),
    ("tma_ring", "no barrier after mbarrier.init", r"bar.sync \t0;", "", "never initialized|re-init|nobody has written|deadlock"),
    ("softmax", "no barrier before the partial maxima are read", r"bar.sync \t0;", "", "nobody has written"),
    ("softmax", "no barrier between the partial maxima and sums", r"(?s)(bar.sync \t0;.*?)bar.sync \t0;", r"\1", "a race: "),
    ("softmax", "a maximum that does not begin", r"mov.f32 \t%f\d+, 0fF149F2CA;", "", "which has no value"),
    ("softmax", "shuffle with lanes that are not there", r"mov.u32 \t%r20, -1;", "mov.u32 \t%r20, 1;", "mask does not name|does not name"),
    ("softmax", "index beyond the row", r"mul.wide.s32 \t%rd(\d+), %r(\d+), 4;", r"mul.wide.s32 \t%rd\1, %r\2, 64;", "behind the end of"),
    ("tma_ring", "slots are given back by relaxed arrivals", r"mbarrier.arrive.shared::cta.b64", "mbarrier.arrive.relaxed.cta.shared::cta.b64", "a race: "),
    ("tma_ring", "the coordinate of a tile has no value", r"mov.u32 \t%r(\d+), 1024;", "", "which has no value"),
    ("nvfp4_gemm", "the accumulator is read before its load is done", r"tcgen05.wait::ld.sync.aligned;", "", "before a tcgen05.wait::ld"),
    ("nvfp4_gemm", "expect_tx of nothing that is known", r"mov.b32 \t%r25, 36864;", "", "which has no value"),
    ("nvfp4_gemm", "no barrier between allocation and use", r"bar.sync \t0;\n\ttcgen05.fence::after", "tcgen05.fence::after", "a race: |nobody has written"),
    ("wgmma_ring", "accumulators are read before the last wait", r"wgmma.wait_group.sync.aligned 0;", "", "before a wgmma.wait_group that covers it"),
    ("wgmma_ring", "no wgmma.fence", r"wgmma.fence.sync.aligned;", "", "before any wgmma.fence"),
    ("wgmma_ring", "no commit", r"wgmma.commit_group.sync.aligned;", "", "no wgmma.commit_group has followed|still reads"),
    ("wgmma_ring", "slots are given back while they are read", r"wait_group.sync.aligned 1;", "wait_group.sync.aligned 3;", "another operation still reads"),
    ("wgmma_ring", "an accumulator is set between issue and wait", r"wgmma.commit_group.sync.aligned;", r"wgmma.commit_group.sync.aligned; mov.f32 %f386, 0f00000000;", "register %f386"),
    ("wgmma_ring", "an accumulator is set behind the fence", r"wgmma.fence.sync.aligned;", r"wgmma.fence.sync.aligned; mov.f32 %f386, 0f00000000;", "since the last wgmma.fence|before a wgmma.wait_group"),
    ("wgmma_ring", "accumulators that nobody has set are added to", r"setp.ne.b32 p, %r101, 0;", "setp.eq.b32 p, 0, 0;", "which has no value"),
    ("wgmma_ring", "the warpgroup does not wait for the tile", r"mbarrier.try_wait[^;]*p, \[%r23\], [^;]*;", "setp.eq.u32 p, 0, 0;", "a race: |not been waited for|nobody has written"),
    ("wgmma_ring", "the warpgroup waits for the other parity", r"(p, \[%r23\]), %r24", r"\1, 1", "a race: |not been waited for|nobody has written"),
    ("wgmma_ring", "the producer does not wait for slots", r"mbarrier.try_wait[^;]*p, \[%r76\], [^;]*;", "setp.eq.u32 p, 0, 0;", "still reads|writes too|a race: |more arrivals"),
    ("wgmma_ring", "slots wait for five of four warps", r"(mbarrier.init[^;]*), 4", r"\1, 5", "deadlock"),
    ("softmax", "misaligned load", r"ld.global.f32 \t%f14, \[%rd5\]", "ld.global.f32 \t%f14, [%rd5+2]", "multiple of 4"),
]


def check_mutants(kernels, tools, goals, seeds):
    missed = 0
    for name, what, pattern, replacement, report in MUTANTS:
        kernel = kernels[name]
        mutant, count = re.subn(pattern, replacement, kernel.text)
        if not count:
            raise SystemExit(f"{name}: nothing matches {pattern!r}; the mutant '{what}' must be written anew")
        found = [done for seed in range(1, seeds + 1) for done in [kernel.run(tools, mutant, seed)] if done.returncode not in (OK, None)]
        good = any(done.returncode == DEVICE and re.search(report, done.stderr) for done in found)
        missed += not good
        if not good:
            print(f"    {name}: {what}: {found[0].returncode if found else 0} {found[0].stderr[:300] if found else 'no report'}")
    goals.check(f"planted faults not reported, of {len(MUTANTS)}", missed, 0)


def check_compiled(tools, goals, seeds):
    """No reports, and right results, for what nvcc makes of correct sources, in several orders."""
    folder, failed, count = ROOT / "test" / "emulator", 0, 0
    for path in sorted((folder / "cuda").glob("*.ptx")):
        for seed in range(1, seeds + 1):
            done = subprocess.run([sys.executable, "-B", "-m", "suite.run", str((tools.bin / "nibble-emu").resolve()), path.stem, "--seed", str(seed)],
                                  cwd=folder, capture_output=True, text=True)
            if done.returncode not in (0, 77):
                failed += 1
                print(f"    {path.stem}, seed {seed}: {done.stdout[-600:]}{done.stderr[-300:]}")
        count += 1
    goals.check(f"files of kernels from nvcc that fail over {seeds} seeds, of {count}", failed, 0)


def check_counters(work, tools, goals):
    """What the NVFP4 GEMM must count, from its sizes."""
    k, m, n = 512, 256, 128
    gemm = Gemm(work, k, m, n)
    done = gemm.run(tools, None, 1, "--json", "--target", TARGETS / "thor.json")
    counters = json.loads(done.stdout)
    jsonschema.Draft202012Validator(SCHEMA).validate(counters)
    tiles = (m // 128) * (n // 128)
    wanted = {
        "ctas": tiles,
        "multiply_adds": {"f16": 0, "tf32": 0, "f8": 0, "i8": 0, "f4": m * n * k},
        "copy_read": tiles * 2 * 128 * (k // 2 + k // 16),  # codes and scales of A and B
        "global_written": m * n * 4,
        "tensor_columns_peak": 256,
        "shared_bytes": 147584,
    }
    wrong = {f: (counters[f], x) for f, x in wanted.items() if counters[f] != x}
    if wrong:
        print(f"    counted, wanted: {wrong}")
    goals.check("counters of the NVFP4 GEMM that are wrong", len(wrong), 0)
    estimate, share = counters["estimate"], m * n * k / tiles
    goals.check("tensor cores of Thor, cycles off", abs(estimate["tensor_cycles"] - share / 16384), 1e-6)
    goals.check("DRAM of Thor, us off", abs(estimate["dram_us"] - (counters["global_read"] + counters["global_written"]) / 273e3), 1e-9)
    h100 = json.loads(gemm.run(tools, None, 1, "--json", "--target", TARGETS / "h100.json").stdout)["estimate"]
    goals.check("a machine without FP4 claims to know its time", h100["tensor_known"], False)


def check_tool(work, tools, goals):
    """Launch files, tensor maps over outputs, switches, seeds."""
    np.save(work / "ones.npy", np.ones((8, 4), np.float32))
    layout = {"type": "f32", "sizes": [4, 8], "strides": [16], "box": [4, 8], "swizzle": "none"}
    launch = {"schema": "nibble.emu-launch/1", "ptx": str(KERNELS / "tma_store.ptx"), "kernel": "tma_store", "block": [32],
              "args": [{"mapout": "stored.npy", "dtype": "f32", "shape": [8, 4], **layout}, {"map": "ones.npy", "to": "summed.npy", **layout}]}
    path, wrong = work / "launch.json", []

    def run(document, *more, expect=OK, says=""):
        path.write_text(json.dumps(document))
        done = tools.call("nibble-emu", "--launch", path, *more)
        if done.returncode != expect or says not in done.stderr:
            wrong.append((document, done.returncode, done.stderr))
        return done

    run(launch)
    stored, summed = (np.load(work / f"{name}.npy") for name in ("stored", "summed"))
    wrong += [stored] * (not np.array_equal(stored, 100 + np.arange(32, dtype=np.float32).reshape(8, 4))) + [summed] * (not np.array_equal(summed, stored + 1))
    run({**launch, "seeds": "1..20"}, "--json")
    run({**launch, "blocks": [32]}, expect=USAGE, says="unknown field 'blocks'")
    run({**launch, "schema": "nibble.emu-launch/2"}, expect=USAGE, says="nibble.emu-launch/1")
    run({**launch, "args": [{"map": "ones.npy"}]}, expect=USAGE, says="lacks the field 'type'")
    run({**launch, "args": launch["args"] + [{"u32": 5}]}, expect=USAGE, says="only 2 parameters")
    run({**launch, "seeds": "5..1"}, expect=USAGE, says="is not FIRST..LAST")
    run({**launch, "no_check": ["nonsense"]}, expect=USAGE, says="is no check")
    broken = work / "unfenced.ptx"
    broken.write_text((KERNELS / "tma_store.ptx").read_text().replace("fence.proxy.async.shared::cta;", ""))
    run({**launch, "ptx": str(broken)}, expect=DEVICE, says="without a fence.proxy.async")
    run({**launch, "ptx": str(broken), "no_check": ["proxies"]})
    seeds = run({**launch, "ptx": str(broken), "seeds": "3..12"}, "--json", expect=DEVICE, says="10 of 10 seeds fail, the first is 3: ")
    told = json.loads(seeds.stdout)["seeds"]
    wrong += [told] * (told != {"first": 3, "last": 12, "failed": 10, "first_failed": 3})
    for each in wrong:
        print(f"    {each}")
    goals.check("launch files, maps and switches that go wrong", len(wrong), 0)


def check_errors(kernels, tools, goals):
    """What is no fault of the program but of the text."""
    ring = kernels["tma_ring"]
    cases = [("bar.sync \t0;", "bar.sync \t0"), ("bar.sync \t0;", "frobnicate.b32 \t%r1;"), (".target sm_90a", ".target sm_90a\n.reg")]
    wrong = 0
    for old, new in cases:
        done = ring.run(tools, ring.text.replace(old, new, 1))
        wrong += done.returncode != UNSUPPORTED or not re.search(r"tma_ring.ptx:\d+: ", done.stderr)
    goals.check("malformed texts without an error that names the line", wrong, 0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "emulator"))
    a = p.parse_args()
    work, tools, goals = Path(a.work), Tools(a.build), Goals()
    work.mkdir(parents=True, exist_ok=True)
    kernels = {k.name: k for k in (Softmax(work), Ring(work), WgmmaRing(work), Gemm(work))}
    check_mutants(kernels, tools, goals, 3)
    check_correct(Softmax(work), "softmax", tools, goals, a.seeds)
    check_correct(Ring(work), "TMA ring", tools, goals, a.seeds)
    check_correct(WgmmaRing(work), "wgmma ring", tools, goals, a.seeds)
    for k in (64, 320, 1024, 4096):
        check_correct(Gemm(work, k), f"NVFP4 GEMM, K = {k}", tools, goals, a.seeds)
    check_correct(Gemm(work, 512, 256, 384), "NVFP4 GEMM, 6 CTAs", tools, goals, a.seeds)
    check_compiled(tools, goals, min(a.seeds, 3) if a.seeds < 100 else a.seeds)
    check_counters(work, tools, goals)
    check_tool(work, tools, goals)
    check_errors(kernels, tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
