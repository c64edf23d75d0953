# Files of kernels: their cases and recordings.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import hashlib
import importlib
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = {'tma': 'tensors', 'async': 'copies', 'cluster': 'clusters', 'matrix': 'matrices', 'wgmma': 'warpgroups', 'warpgroup': 'products',
           'atomics': 'atomics', 'lanes': 'lanes', 'approximate': 'functions', 'arithmetic': 'arithmetic',
           **dict.fromkeys(['control', 'convert', 'integer', 'memory', 'warp'], 'basic')}


def cases_of(file):
    module = importlib.import_module(f'.{MODULES[file]}', __package__)
    cases = list(module.cases(file) if MODULES[file] == 'basic' else module.cases())
    names = [c.name for c in cases]
    assert len(set(names)) == len(names), 'two cases have one name'
    return cases


def digest_of(file):
    """Of the text that runs, so that a recording of another one is not compared."""
    return hashlib.blake2b((ROOT / 'cuda' / f'{file}.ptx').read_bytes(), digest_size=8).hexdigest()


def recording_of(folder, file):
    """Arrays by '<case>.<output>', and 'device'; None if there is none."""
    path = folder / f'{file}.npz'
    if not path.exists():
        return None
    arrays = dict(np.load(path))
    if 'ptx' not in arrays:
        return None
    if str(arrays.pop('ptx')) != digest_of(file):
        raise SystemExit(f'{path} was recorded from another {file}.ptx: scripts/emulator-record')
    return {k: str(v) if k == 'device' else v for k, v in arrays.items()}
