# Runs cases on the emulator; compares with what must come out, and with what a device gave.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#   python3 -m suite.run NIBBLE_EMU FILE [--only NAME] [--seed N]      77: numpy is missing, or nothing to compare with
import argparse
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print('numpy is missing')
    sys.exit(77)
from .case import In, Out, Scalar, Tensor
from .files import ROOT, cases_of, recording_of


def argument(arg, number, folder):
    buffer = arg.buffer if isinstance(arg, Tensor) else arg
    if isinstance(arg, Scalar):
        return f'{arg.type}={arg.value}'
    start = np.ascontiguousarray(buffer.data if isinstance(buffer, In) else buffer.start)
    path = f'{folder}/{number}.npy'
    np.save(path, start.view(np.uint8).ravel())
    out = f'{path},{folder}/{number}.out.npy' if isinstance(buffer, Out) else path
    if not isinstance(arg, Tensor):
        return f'{"inout" if isinstance(buffer, Out) else "in"}={out}'
    lists = ['x'.join(map(str, x)) for x in (arg.sizes, arg.strides, arg.box)]
    text = f'map={out}:{arg.type}:{":".join(lists)}:{arg.swizzle}'
    return text + (':steps=' + 'x'.join(map(str, arg.steps)) if arg.steps else '') + (':fill=nan' if arg.fill_nan else '')


def emulate(emu, file, case, seed=1, sums='exact'):
    """Results of the outputs, or the report."""
    with tempfile.TemporaryDirectory() as folder:
        args = [x for i, a in enumerate(case.args) for x in ('--arg', argument(a, i, folder))]
        done = subprocess.run([emu, str(ROOT / 'cuda' / f'{file}.ptx'), '--kernel', case.kernel, '--grid', ','.join(map(str, case.grid)),
                               '--block', str(case.block), '--shared', str(case.shared),
                               '--seed', str(seed), '--sums', sums, *args], capture_output=True, text=True, timeout=120)
        if done.returncode:
            return None, done.stderr
        results = [np.load(f'{folder}/{i}.out.npy') for i, a in enumerate(case.args)
                   if isinstance(a.buffer if isinstance(a, Tensor) else a, Out)]
    return [o.canonical(r) for o, r in zip(case.outputs(), results)], ''


def show(case, what, got, want, bad):
    print(f'{case.name}: {len(bad)} of {got.size} elements differ from {what}')
    for i in bad[:5]:
        print(f'    element {i}: {got.ravel()[i]!r}, {what} {np.asarray(want).ravel()[i]!r}')


def check_definition(case, results):
    """Number of outputs that are wrong."""
    failures = 0
    for out, got in zip(case.outputs(), results):
        bad = out.wrong(got, out.want) if out.want is not None else []
        failures += len(bad) > 0
        if len(bad):
            show(case, 'definition', got, out.want, bad)
    return failures


def check_device(case, results, recorded):
    """The same; and how many results have been recorded."""
    failures = known = 0
    for number, (out, got) in enumerate(zip(case.outputs(), results)):
        device = recorded.get(f'{case.name}.{number}')
        if device is None:
            continue
        known += 1
        mine = out.digest(got)
        if out.has_bits():
            bad = np.flatnonzero(mine != device) if mine.shape == device.shape else range(len(mine))
        else:  # both lie within the bound
            at = out.sample()
            with np.errstate(invalid='ignore'):
                near = np.abs(mine.astype(np.float64) - device) <= 2 * np.broadcast_to(out.bound, out.start.shape).ravel()[at]
            bad = np.flatnonzero(~(near | (mine == device) | np.isnan(mine) & np.isnan(device)))
        failures += len(bad) > 0
        if len(bad):
            print(f'{case.name}: {len(bad)} of {len(mine)} {"blocks of 256 bytes" if out.has_bits() else "numbers"} differ from the device, first {bad[:8]}')
    return failures, known


def check(emu, file, case, seed, recorded):
    """Whether a case is wrong, and how many of its results a device has given. What tensor cores add is computed twice:
    exactly, for the definition, and as an H100 adds, for its bits."""
    results, report = emulate(emu, file, case, seed)
    failures, known = 0, 0
    if results is not None:
        failures = check_definition(case, results)
        if any(o.sums for o in case.outputs()):
            results, report = emulate(emu, file, case, seed, 'hopper')
    if results is None:
        print(f'{case.name}: {report[:600]}')
        return True, 0
    failures += check_definition(case, results)
    if recorded:
        wrong, known = check_device(case, results, recorded)
        failures += wrong
    return failures > 0, known


def main():
    p = argparse.ArgumentParser()
    p.add_argument('emu')
    p.add_argument('file')
    p.add_argument('--only', default='')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--recorded', type=pathlib.Path, default=ROOT / 'recorded')
    a = p.parse_args()
    recorded = recording_of(a.recorded, a.file)
    failures, alone, known = 0, 0, 0
    chosen = [c for c in cases_of(a.file) if a.only in c.name]
    for case in chosen:
        wrong, count = check(a.emu, a.file, case, a.seed, recorded)
        failures, alone, known = failures + wrong, alone + case.device_only, known + count
    total = sum(len(c.outputs()) for c in chosen)
    print(f'{a.file}: {len(chosen)} cases, {failures} wrong; ' +
          (f'{known} of {total} results compared with {recorded["device"]}' if recorded else
           f'no device has been recorded, {alone} cases have nothing to compare with'))
    if not failures and not recorded and alone == len(chosen):
        sys.exit(77)
    sys.exit(int(failures > 0 or not chosen))


if __name__ == '__main__':
    main()
