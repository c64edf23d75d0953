# What the end-to-end drivers share: the virtual environment, running the tools, exit codes.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "test" / "models"
OK, MISMATCH, USAGE, REFUSED, UNSUPPORTED, DEVICE = range(6)  # exit codes of the tools
for folder in (MODELS, ROOT / "test"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
from files import fresh  # noqa: E402, F401
from sanitized import load_library, sanitizer  # noqa: E402, F401


def written(fmt):
    """What a model is written in, and options of the compiler that make `fmt` of it: no exporter writes MXFP4 activations."""
    return ("dense", ("--quantize", fmt)) if fmt == "mxfp4" else (fmt, ())


def in_venv():
    """Starts the script again under .venv when its packages are not importable here."""
    python = ROOT / ".venv" / "bin" / "python"
    try:
        import ml_dtypes, onnx, onnxruntime  # noqa: F401, E401
    except ImportError:
        if not python.exists() or os.environ.get("NIBBLE_IN_VENV"):
            raise SystemExit(f"Python packages are missing: python3 -m venv {ROOT}/.venv && "
                             f"{ROOT}/.venv/bin/pip install -r {ROOT}/test/requirements.txt")
        os.environ["NIBBLE_IN_VENV"] = "1"
        os.execv(str(python), [str(python), *sys.argv])


def peak_memory(pid):
    """Peak resident MiB of a running process so far. (wait4's maxrss would include our own size at the fork.)"""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((text for text in status.splitlines() if text.startswith("VmHWM")), None)
    return int(line.split()[1]) / 1024 if line else 0


class Tools:
    """The programs of one build directory."""

    def __init__(self, build):
        self.bin = Path(build) / "bin"

    def call(self, tool, *arguments, timeout=600, expect=None):
        """Runs a tool; returns the finished process. `expect`: exit code(s) that are no failure of the driver."""
        command = [str(self.bin / tool), *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
        except subprocess.TimeoutExpired as e:
            done = subprocess.CompletedProcess(command, -9, "", f"timed out after {e.timeout} s")
        allowed = (expect,) if isinstance(expect, int) else expect
        if allowed is not None and done.returncode not in allowed:
            raise SystemExit(f"{' '.join(command)}\n  exit {done.returncode}, wanted {allowed}\n{done.stdout}{done.stderr}")
        return done

    def measured(self, tool, *arguments, expect=OK):
        """Runs a tool with its talk on our stderr; returns (stdout, seconds, peak memory in MiB)."""
        command = [str(self.bin / tool), *map(str, arguments)]
        start = time.perf_counter()
        with tempfile.TemporaryFile("w+") as out:
            child = subprocess.Popen(command, stdout=out)
            peak = 0
            while child.poll() is None:
                peak = max(peak, peak_memory(child.pid))
                time.sleep(0.005)
            seconds = time.perf_counter() - start
            out.seek(0)
            text = out.read()
        if child.returncode != expect:
            raise SystemExit(f"{' '.join(command)}\n  exit {child.returncode}, wanted {expect}\n{text}")
        return text, seconds, peak

    def compile(self, model, engine, *options, **how):
        return self.call("nibble", "compile", model, "-o", engine, "--target", "cpu", *options, **how)

    def run(self, engine, inputs, outputs, *options, **how):
        """inputs, outputs: name -> .npy path."""
        pairs = [text for n, f in inputs.items() for text in ("--input", f"{n}=@{f}")]
        pairs += [text for n, f in outputs.items() for text in ("--output", f"{n}=@{f}")]
        return self.call("nibble", "run", engine, *pairs, *options, **how)


class Goals:
    """Prints measured numbers beside their goals and remembers whether all were met."""

    def __init__(self):
        self.met = True

    def check(self, what, value, goal=None, at_least=False, unit=""):
        good = goal is None or (value >= goal if at_least else value <= goal)
        self.met &= good
        sign = ">=" if at_least else "<="
        wanted = "" if goal is None else f"  (goal {sign} {goal:g}{unit}: {'ok' if good else 'MISSED'})"
        print(f"{what:52} {value:12.6g}{unit}{wanted}", flush=True)
        return good


def explained(tools, model, target, kernel, *options):
    """Layers whose kernel class begins so."""
    done = tools.call("nibble", "explain", model, "--target", target, "--json", *options, expect=OK)
    return [layer for layer in json.loads(done.stdout)["layers"] if layer["kernel"].startswith(kernel)]


def crashed(code):
    """True for a death by signal, an abort or a sanitizer report."""
    return code < 0 or code >= 128 or code in (77, 99)


def build_argument(parser):
    parser.add_argument("--build", default=str(ROOT / "build" / "release"), help="build directory with bin/nibble")
