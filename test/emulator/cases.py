# The kernels of test/emulator/cuda, their inputs and how results compare.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

GRID, BLOCK, N = 4, 256, 1024


def special(rng):
    """Floats of ordinary size, and those where interpretations part."""
    x = rng.standard_normal(N).astype(np.float32) * np.exp2(rng.integers(-12, 12, N)).astype(np.float32)
    odd = np.array([0.0, -0.0, 1, -1, 0.5, 65504, 65520, 448, 464, 480, -448.5, 57344, 61440, 6e-8, -3e-8, 1e-40, -1e-40,
                    3e38, np.inf, -np.inf, 2.5, 3.5, -2.5, 0.0009765625], np.float32)
    x[rng.permutation(N)[:96]] = np.tile(odd, 4)
    return x


def integers(rng):
    x = (rng.integers(-2**31, 2**31, N) >> rng.integers(0, 31, N)).astype(np.int32)
    x[:8] = [0, 1, -1, 2**31 - 1, -2**31, 65535, -65536, 255]
    return x


def ordinary(rng):
    return (rng.standard_normal(N) * 3).astype(np.float32)


# file: kernel: (inputs, output words per thread, bytes of dynamic shared memory, relative tolerance or None: bitwise)
CASES = {
    'integer': {k: ([integers, integers], 4, 0, None) for k in ['products', 'divisions', 'bits', 'wide']},
    'convert': {'to_integers': ([special], 4, 0, None), 'from_integers': ([integers], 4, 0, None),
                'halves': ([special], 4, 0, None), 'bytes': ([special], 4, 0, None)},
    'arithmetic': {k: ([special], 4, 0, None) for k in ['rounding', 'half_math', 'bfloat_math', 'doubles', 'extremes']},
    'warp': {'reduce': ([integers], 2, 0, None), 'scan': ([integers], 1, 0, None),
             'votes': ([integers], 2, 0, None), 'block_votes': ([integers], 1, 0, None)},
    'memory': {'transpose': ([integers], 1, 0, None), 'dynamic_shared': ([integers], 1, 1024, None),
               'local_array': ([integers], 1, 0, None), 'histogram': ([integers], 1, 0, None),
               'atomics': ([integers], 1, 0, None), 'vectors': ([integers], 4, 0, None)},
    'control': {'collatz': ([integers], 1, 0, None), 'choose': ([integers], 1, 0, None),
                'pointers': ([integers], 1, 0, None), 'recursion': ([integers], 1, 0, None),
                'structures': ([integers], 4, 0, None), 'distributed': ([integers], 1, 0, None)},
    # ex2, lg2, rcp, rsqrt are documented to 2 ulp; sums of a few of them to this.
    'approximate': {'softmax': ([ordinary], 1, 0, 1e-5), 'functions': ([ordinary], 4, 0, 2e-5)},
}
CLUSTERS = {'distributed': 4}


def inputs_of(file, kernel):
    rng = np.random.default_rng(list((file + kernel).encode()))
    return [make(rng) for make in CASES[file][kernel][0]]
