#!/usr/bin/env python3
# Runs a bundle of scripts/gpu-bundle on a machine with the GPU: conformance, results, schedules, peers; one table, one JSON.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""run.sh [--out FOLDER] [--steps conformance,faults,checks,sanitize,loop,candidates,times,products,stacks,models] [--device cuda] [--rounds N] [--no-compile]
       [--runner "qemu-aarch64 -L /usr/aarch64-linux-gnu"]

FOLDER (default: results) gets results.json, rows.jsonl (the best schedules, rows of tuning/TARGET.jsonl) and bench.json.
Exit code 1 if a test failed or a result is wrong. Only `products`, `stacks` and `models` need PyTorch: they measure peers, too, where `times` has
the engines alone. --runner: what runs the programs where the machine cannot (with --device emu). Without --steps: what the bundle is for."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = ("conformance", "faults", "checks", "sanitize", "loop", "candidates", "times", "products", "stacks", "models")
RECIPES = ("singles", "stacks", "models")  # parts with engines that `times` measures


class Bundle:
    def __init__(self, a):
        self.a, self.results, self.good = a, dict(schema="nibble.gpu-bundle/1", steps={}), True
        self.out = Path(a.out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.manifest = json.loads((HERE / "manifest.json").read_text())
        self.runner = a.runner.split()
        os.environ["NIBBLE_CTS_TARGET"] = self.manifest["target"]

    def call(self, *command, env=None, **how):
        """Programs of the bundle ("./...") run by the runner, if there is one."""
        command = [str(c) for c in command]
        if command[0].startswith("./"):
            command = self.runner + command
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True, errors="replace", env={**os.environ, **(env or {})}, **how)

    def conformance(self):
        """Each test in a process of its own: a fault may end the driver for the others."""
        found = {}
        for program, only in (("runtime-conformance-test", f"*/{self.a.device}*"), ("runtime-allocation-test", f"*/{self.a.device}*"), ("emulator-driver-test", "*")):
            if program not in self.manifest["programs"] or program == "emulator-driver-test" and self.a.device != "cuda":
                continue
            env = dict(NIBBLE_REQUIRE_CUDA="1", NIBBLE_TEST_DRIVER="real") if self.a.device == "cuda" else {}
            listed, suite, passed, failed = self.call(f"./{program}", "--gtest_list_tests", f"--gtest_filter={only}").stdout, "", 0, []
            for line in listed.splitlines():
                name = line.split("#")[0].rstrip()
                if name.endswith(".") and not name.startswith(" "):
                    suite = name
                elif name.startswith("  "):
                    test = suite + name.strip()
                    done = self.call(f"./{program}", f"--gtest_filter={test}", "--gtest_brief=1", env=env, timeout=120)
                    passed, failed = (passed, failed + [test]) if done.returncode else (passed + 1, failed)
                    if done.returncode:
                        print("   ", done.stdout[-1500:])
            print(f"{program}: {passed} passed, failed: {', '.join(failed) or 'none'}", flush=True)
            self.good &= passed > 0 and not failed
            found[program] = dict(passed=passed, failed=failed)
        return found

    def faults(self):
        """What goes wrong with GPUs, planted: errors with exit code 5, and processes that go on."""
        if self.runner:
            print("skipped: device-faults starts programs itself, without the runner")
            return None
        done = self.call("./device-faults", self.a.device, timeout=600)
        print(done.stdout + done.stderr, end="", flush=True)
        self.good &= done.returncode == 0
        return dict(exit=done.returncode, output=done.stdout)

    def loop(self):
        """A control loop, and the split and the layers of its entry points."""
        with tempfile.TemporaryDirectory() as folder:
            return self.loops(self.engines(self.manifest.get("loop", []), folder))

    def loops(self, engines):
        found = []
        for engine in engines:
            done = self.call("./control-loop", engine, "--device", self.a.device, "--hz", "100", "--ticks", "10" if self.a.device == "emu" else "500",
                             env=dict(LD_LIBRARY_PATH=str(HERE), NIBBLE_EMU_TARGET=self.manifest["target"]), timeout=600)
            print(done.stdout + done.stderr, end="", flush=True)
            self.good &= done.returncode == 0
            found.append(dict(engine=engine.name, exit=done.returncode, output=done.stdout))
            found += [document for entry in ("main", "act") for document in [self.bench(engine, entry)] if document]
        return found

    def bench(self, engine, entry="main"):
        """What nibble-run bench says of an entry point, printed, too; None if it failed."""
        limits = ("--iterations", "3", "--warmup", "0ms") if self.a.device == "emu" else ("--duration", "1s")
        done = self.call("./nibble-run", "bench", engine, "--entry", entry, "--device", self.a.device, "--layers", "--json",
                         "--trace", self.out / f"trace-{engine.stem}-{entry}.json", *limits, timeout=600)
        self.good &= done.returncode == 0
        if done.returncode:
            print(f"FAILED bench of {entry} of {engine.name}: {done.stderr.strip()[-400:]}")
            return None
        document = json.loads(done.stdout)
        self.good &= document["allocations"] == 0
        self.print_times(document, entry)
        return document

    @staticmethod
    def print_times(document, entry):
        median = lambda part: 1e3 * document[part]["median"]
        print(f"{entry:5} us: latency {median('latency_ms'):.1f}, end to end {median('end_to_end_ms'):.1f}, enqueue {median('enqueue_ms'):.1f}, "
              f"copy in {median('copy_in_ms'):.1f}, compute {median('compute_ms'):.1f}, copy out {median('copy_out_ms'):.1f}; "
              f"layers one by one {1e3 * document['layers_sum_ms']:.1f}; allocations {document['allocations']}")
        for layer in document["layers"]:
            if "of_bound" in layer:
                print(f"    {1e3 * layer['layer_ms']:8.2f} us {100 * layer['share']:5.1f} % {layer['gb_per_s']:8.0f} GB/s {layer['tflop_per_s']:7.2f} TFLOP/s "
                      f"{100 * layer['of_bound']:5.1f} % of {layer['limit']:7} {layer['math']:4} {layer['name']} ({layer['op']})")
        print("".join(f"    advice: {line}\n" for line in document["advice"]), end="", flush=True)

    def times(self):
        """Engines made from recipes, by themselves, beside what the time model of the compiler predicts."""
        found = []
        for one in [one for part in RECIPES for one in self.manifest[part]]:
            with tempfile.TemporaryDirectory() as folder:
                for engine, predicted in zip(self.engines(one["recipes"], folder), one["predicted_us"]):
                    document = self.bench(engine)
                    if document and predicted and self.a.device == "cuda":
                        measured = 1e3 * document["compute_ms"]["median"]
                        print(f"    predicted {predicted:.1f} us: measured / predicted {measured / predicted:.3f}", flush=True)
                    found.append(dict(name=engine.name, predicted_us=predicted, bench=document))
                    engine.unlink()
        return found

    def feeds(self, check):
        return [part for name in check["inputs"] for part in ("--input", f"{name}=@checks/{check['name']}.{name}.npy")]

    def checks(self):
        """Engines at odd shapes against what the same models compute on the CPU, and the same engines on the emulated GPU."""
        found = []
        for check in self.manifest["checks"]:
            compared = {by: self.compare(check, file) for by, file in check["expected"].items()}
            ok = all(c["ok"] for c in compared.values())
            self.good &= ok
            found.append(dict(check, ok=ok, comparison=compared))
            said = "; ".join(f"to the {by} {c.get('frobenius', c.get('error'))}" for by, c in compared.items())
            print(f"{'ok    ' if ok else 'FAILED'} {check['name']:44} relative error {said}", flush=True)
        failed = sum(not f["ok"] for f in found)
        print(f"{len(found) - failed} ok, {failed} failed")
        return found

    def compare(self, check, file):
        done = self.call("./nibble-run", "run", f"checks/{check['name']}.nbl", "--device", self.a.device, *self.feeds(check), "--expect", f"y=@{file}",
                         "--tol", check["tol"], "--json", timeout=300)
        document = json.loads(done.stdout) if done.stdout.strip() else {}
        compared = document["outputs"][0]["comparison"] if document else dict(error=done.stderr.strip()[-400:])
        return dict(compared, ok=done.returncode == 0)

    def sanitize(self):
        """compute-sanitizer on the checks. How many parameters a kernel has, the runtime asks until the driver says no: that is no error."""
        program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
        if self.a.device != "cuda" or not Path(program).exists():
            print("skipped: no compute-sanitizer, or no GPU")
            return None
        found = []
        for check in self.manifest["checks"]:
            for tool in ("memcheck", "racecheck"):
                base = f"checks/{check['name']}"
                done = self.call(program, "--tool", tool, "--report-api-errors", "no", "--error-exitcode", "9", "./nibble-run", "run", f"{base}.nbl",
                                 "--device", "cuda", *self.feeds(check), timeout=300)
                self.good &= done.returncode == 0
                found.append(dict(name=check["name"], tool=tool, exit=done.returncode))
                if done.returncode:
                    print(f"FAILED {tool} {check['name']}: {done.stdout[-800:]}", flush=True)
        print(f"{sum(f['exit'] == 0 for f in found)} of {len(found)} runs under memcheck and racecheck are clean")
        return found

    def candidates(self):
        found, rows = [], self.out / "rows.jsonl"
        rows.unlink(missing_ok=True)
        for product in self.manifest["products"]:
            done = self.call("./nibble-run", "bench", product, "--device", self.a.device, "--candidates", "--json", "--rows", rows, "--rounds", self.a.rounds,
                             *(("--pause", "1ms", "--hot", "1ms") if self.a.device == "emu" else ()))
            self.good &= done.returncode == 0
            if not done.stdout.strip():
                print(f"FAILED {product}: {done.stderr.strip()[-400:]}", flush=True)
                found.append(dict(engine=product, error=done.stderr))
                continue
            document = json.loads(done.stdout)
            found.append(document)
            for group in document["groups"]:
                best, wrong = group["candidates"][0], [c for c in group["candidates"] if not c["right"]]
                print(f"{group['kernel']:18} {group['m']}x{group['n']}x{group['k']} p{group['products']}: best of {len(group['candidates'])} "
                      f"{best['schedule']}: {best['us_cool']['median']:.2f} us cool, {best['us_hot']['median']:.2f} hot; wrong: {len(wrong)}", flush=True)
                for c in wrong:
                    print(f"  WRONG {c['entry']} {c['schedule']}: {c['wrong']}")
        return found

    def peers(self, what, arguments):
        document = self.out / f"{what}.json"
        command = [sys.executable, "bench-gpu", "--build", ".", "--device", self.a.device, "--rounds", self.a.rounds, "--json", document, *arguments]
        done = subprocess.run([str(c) for c in command], cwd=HERE)
        self.good &= done.returncode == 0
        return json.loads(document.read_text()) if document.exists() else None

    def products(self):
        return self.peers("products", ["--candidates", *self.manifest["products"]])

    def stacks(self):
        return self.recipes("stacks", "--stack")

    def models(self):
        return self.recipes("models", "--model")

    def engines(self, recipes, folder):
        """Engines made from recipes, in a folder."""
        for recipe in recipes:
            engine = Path(folder) / Path(recipe).with_suffix(".nbl").name
            start = time.time()
            done = self.call("./nibble-run", "refill", recipe, "-o", engine)
            if done.returncode:
                self.good = False
                print(f"FAILED {recipe}: {done.stderr.strip()}")
                continue
            print(f"{recipe}: {engine.stat().st_size / 2**20:.0f} MiB made in {time.time() - start:.1f} s, hashes right", flush=True)
            yield engine

    def recipes(self, part, option):
        made, found = self.manifest[part], []
        extra = ["--no-compile"] if self.a.no_compile else []
        for one in made:
            with tempfile.TemporaryDirectory() as folder:
                engines = list(self.engines(one["recipes"], folder))
                if len(engines) == len(one["recipes"]):
                    found.append(self.peers(f"{part}-{one['name']}", [option, f"{one['kind']}={'+'.join(map(str, engines))}", *extra]))
        return found

    def table(self):
        bars = []
        for step in ("products", "stacks", "models"):
            for document in [self.results["steps"].get(step)] if step == "products" else self.results["steps"].get(step) or []:
                bars += (document or {}).get("bars", [])
        if bars:
            print("\nall ratios, theirs / ours (cool, hot), and the bar")
        for b in bars:
            verdict = "ok" if min(b["cool"], b["hot"]) >= b["bar"] else "cool only" if b["cool"] >= b["bar"] else "hot only" if b["hot"] >= b["bar"] else "MISSED"
            print(f"  {b['what']:34} {b['peer']:24} {b['cool']:7.3f} {b['hot']:7.3f}  >= {b['bar']:<5} {verdict}")

    def run(self):
        for step in self.a.steps or self.manifest["steps"]:
            start = time.time()
            print(f"\n== {step}", flush=True)
            self.results["steps"][step] = getattr(self, step)()
            print(f"   {time.time() - start:.1f} s", flush=True)
            (self.out / "results.json").write_text(json.dumps(self.results, indent=1) + "\n")
        self.table()
        print("\nall right" if self.good else "\nSOMETHING IS WRONG, see above")
        return 0 if self.good else 1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=str(HERE / "results"))
    p.add_argument("--steps", type=lambda text: text.split(","))
    p.add_argument("--device", default="cuda", choices=["cuda", "emu"])
    p.add_argument("--rounds", default="7")
    p.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes minutes")
    p.add_argument("--runner", default="", metavar="COMMAND")
    a = p.parse_args()
    unknown = set(a.steps or ()) - set(STEPS)
    if unknown:
        p.error(f"unknown steps {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    return Bundle(a).run()


if __name__ == "__main__":
    sys.exit(main())
