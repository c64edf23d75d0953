# Runs recorded kernels on the emulator and compares with the device.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#   compare.py NIBBLE_EMU FILE     77: not recorded, or numpy is missing
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print('numpy is missing')
    sys.exit(77)
import cases

ROOT = pathlib.Path(__file__).resolve().parent


def run(emu, file, kernel, inputs, words, shared, folder):
    args = []
    for i, x in enumerate(inputs):
        np.save(f'{folder}/{i}.npy', x)
        args += ['--arg', f'in={folder}/{i}.npy']
    np.save(f'{folder}/zero.npy', np.zeros(cases.N * words, np.uint32))
    args += ['--arg', f'inout={folder}/zero.npy,{folder}/out.npy']
    subprocess.run([emu, str(ROOT / 'cuda' / f'{file}.ptx'), '--kernel', kernel, '--grid', str(cases.GRID), '--block', str(cases.BLOCK),
                    '--shared', str(shared), '--cluster', str(cases.CLUSTERS.get(kernel, 1))] + args, check=True, timeout=60)
    return np.load(f'{folder}/out.npy')


def differs(got, want, tolerance):
    if tolerance is None:
        return got != want
    a, b = got.view(np.float32), want.view(np.float32)
    return ~(np.abs(a - b) <= tolerance * np.maximum(np.abs(b), 1e-2))


def main(emu, file):
    path = ROOT / 'recorded' / f'{file}.npz'
    if not path.exists():
        print(f'{path} is not recorded: scripts/emulator-record')
        return 77
    recorded, failures = np.load(path), 0
    for kernel, (makers, words, shared, tolerance) in cases.CASES[file].items():
        inputs = [recorded[f'{kernel}.in{i}'] for i in range(len(makers))]
        with tempfile.TemporaryDirectory() as folder:
            got = run(emu, file, kernel, inputs, words, shared, folder)
        want = recorded[f'{kernel}.out']
        bad = np.flatnonzero(differs(got, want, tolerance))
        failures += len(bad) > 0
        for i in bad[:5]:
            print(f'{kernel}: word {i}: emulator {got[i]:#010x}, device {want[i]:#010x}')
        print(f'{kernel}: {len(bad)} of {len(want)} words differ')
    return int(failures > 0)


sys.exit(main(*sys.argv[1:3]))
