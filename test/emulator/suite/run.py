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


def emulate(emu, file, case, seed=1):
    """Results of the outputs, or the report."""
    with tempfile.TemporaryDirectory() as folder:
        args = [x for i, a in enumerate(case.args) for x in ('--arg', argument(a, i, folder))]
        done = subprocess.run([emu, str(ROOT / 'cuda' / f'{file}.ptx'), '--kernel', case.kernel, '--grid', ','.join(map(str, case.grid)),
                               '--block', str(case.block), '--shared', str(case.shared),
                               '--seed', str(seed), *args], capture_output=True, text=True, timeout=120)
        if done.returncode:
            return None, done.stderr
        results = [np.load(f'{folder}/{i}.out.npy') for i, a in enumerate(case.args)
                   if isinstance(a.buffer if isinstance(a, Tensor) else a, Out)]
    return [o.canonical(r) for o, r in zip(case.outputs(), results)], ''


def show(case, what, got, want, bad):
    print(f'{case.name}: {len(bad)} of {got.size} elements differ from {what}')
    for i in bad[:5]:
        print(f'    element {i}: {got.ravel()[i]!r}, {what} {np.asarray(want).ravel()[i]!r}')


def check(case, results, recorded):
    """Number of outputs that are wrong."""
    failures = 0
    for number, (out, got) in enumerate(zip(case.outputs(), results)):
        if out.want is not None:
            bad = out.wrong(got, out.want)
            failures += len(bad) > 0
            if len(bad):
                show(case, 'definition', got, out.want, bad)
        device = recorded and recorded.get(f'{case.name}.{number}')
        if device is None or recorded is None:
            continue
        mine = out.digest(got)
        if out.bound is None:
            bad = np.flatnonzero(mine != device)
        else:  # both lie within the bound
            at = out.sample()
            with np.errstate(invalid='ignore'):
                near = np.abs(mine.astype(np.float64) - device) <= 2 * np.broadcast_to(out.bound, out.start.shape).ravel()[at]
            bad = np.flatnonzero(~(near | (mine == device) | np.isnan(mine) & np.isnan(device)))
        failures += len(bad) > 0
        if len(bad):
            print(f'{case.name}: {len(bad)} of {len(mine)} {"blocks of 256 bytes" if out.bound is None else "numbers"} differ from the device, first {bad[:8]}')
    return failures


def main():
    p = argparse.ArgumentParser()
    p.add_argument('emu')
    p.add_argument('file')
    p.add_argument('--only', default='')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--recorded', type=pathlib.Path, default=ROOT / 'recorded')
    a = p.parse_args()
    recorded = recording_of(a.recorded, a.file)
    failures, alone = 0, 0
    chosen = [c for c in cases_of(a.file) if a.only in c.name]
    for case in chosen:
        results, report = emulate(a.emu, a.file, case, a.seed)
        if results is None:
            print(f'{case.name}: {report[:600]}')
        failures += 1 if results is None else check(case, results, recorded) > 0
        alone += case.device_only
    print(f'{a.file}: {len(chosen)} cases, {failures} wrong; ' +
          (f'compared with {recorded["device"]}' if recorded else f'no device has been recorded, {alone} cases have nothing to compare with'))
    if not failures and not recorded and alone == len(chosen):
        sys.exit(77)
    sys.exit(int(failures > 0 or not chosen))


if __name__ == '__main__':
    main()
