# Seeded weights and inputs with planted outlier channels.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random Gaussian tensors flatter 4-bit formats: real networks have a few channels that are 50 to 500 times larger than
the rest. `Outliers` plants such channels in activations and lets only few rows of the next weight read them, so that neither
the outliers nor the other channels dominate the sum. All numbers are float32 holding float16 values: the float16 and the
float32 model then have exactly the same weights and inputs."""
import numpy as np


def generator(seed, *path):
    """Independent stream for every (seed, purpose)."""
    return np.random.default_rng([seed, *(sum(ord(c) << (i % 24) for i, c in enumerate(str(p))) for p in path)])


def half(x):
    return x.astype(np.float16).astype(np.float32)


class Outliers:
    """`count` channels of `width`, magnitudes log-uniform in 50..500."""

    def __init__(self, seed, width, count=None, enabled=True):
        rng = generator(seed, "outliers", width)
        count = 0 if not enabled else count if count is not None else max(1, width // 340)
        self.channels = rng.choice(width, min(count, width), replace=False)
        self.magnitude = np.exp(rng.uniform(np.log(50), np.log(500), self.channels.size)).astype(np.float32)

    def plant(self, x):
        """Scales the channels (last axis) of x in place."""
        x[..., self.channels] *= self.magnitude
        return x

    def thin(self, w, rng):
        """Of the columns of W [N,K] that read the channels only a fraction 2/magnitude stays, in place."""
        for channel, magnitude in zip(self.channels, self.magnitude):
            w[rng.random(w.shape[0]) > 2 / magnitude, channel] = 0
        return w


def weight(seed, name, n, k, reads=None, writes=None):
    """W [N,K] of std 1/sqrt(K). `reads`/`writes`: Outliers of the input and output channels."""
    rng = generator(seed, name)
    w = rng.standard_normal((n, k), dtype=np.float32)
    w *= np.float32(1 / np.sqrt(k))
    if reads is not None:
        reads.thin(w, rng)
    if writes is not None:
        w[writes.channels] *= writes.magnitude[:, None]
    return half(w)


def activations(seed, shape, outliers, name="x"):
    return half(outliers.plant(generator(seed, name).standard_normal(shape, dtype=np.float32)))
