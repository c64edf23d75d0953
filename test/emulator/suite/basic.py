# What C++ compiles to: control.cu, convert.cu, integer.cu, memory.cu, warp.cu. The device decides.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .arithmetic import special
from .case import Case, In, Out
from .data import bits

# file: kernel: (maker of inputs, how many, output words per thread, bytes of dynamic shared memory)
KERNELS = {
    'integer': {k: ('integers', 2, 4, 0) for k in ['products', 'divisions', 'bits', 'wide']},
    'convert': {'to_integers': ('special', 1, 4, 0), 'from_integers': ('integers', 1, 4, 0), 'halves': ('special', 1, 4, 0), 'bytes': ('special', 1, 4, 0)},
    'warp': {'reduce': ('integers', 1, 2, 0), 'scan': ('integers', 1, 1, 0), 'votes': ('integers', 1, 2, 0), 'block_votes': ('integers', 1, 1, 0)},
    'memory': {'transpose': ('integers', 1, 1, 0), 'dynamic_shared': ('integers', 1, 1, 1024), 'local_array': ('integers', 1, 1, 0),
               'histogram': ('integers', 1, 1, 0), 'atomics': ('integers', 1, 1, 0), 'vectors': ('integers', 1, 4, 0)},
    'control': {'collatz': ('integers', 1, 1, 0), 'choose': ('integers', 1, 1, 0), 'pointers': ('integers', 1, 1, 0), 'recursion': ('integers', 1, 1, 0),
                'structures': ('integers', 1, 4, 0), 'distributed': ('integers', 1, 1, 0)},
}


def integers(seed, n=1024):
    raw = bits(seed, n)
    x = raw.astype(np.uint32).view(np.int32) >> (raw >> np.uint64(40)).astype(np.int32) % 31
    x[:8] = [0, 1, -1, 2**31 - 1, -2**31, 65535, -65536, 255]
    return x


def cases(file):
    make = {'integers': integers, 'special': special}
    for number, (kernel, (kind, inputs, words, shared)) in enumerate(KERNELS[file].items()):
        first = 1000 + 10 * number + 100 * list(KERNELS).index(file)
        yield Case(kernel, kernel, [*(In(make[kind](first + 3 * i)) for i in range(inputs)), Out(np.zeros(1024 * words, np.uint32))],
                   grid=(4, 1, 1), block=256, shared=shared, device_only=True)
