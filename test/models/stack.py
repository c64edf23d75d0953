#!/usr/bin/env python3
# Writes a stack of gated MLPs with RMSNorm and residuals: decoder.py without attention.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""stack.py --format nvfp4 --layers 18 --seq 970 --width 2048 --mlp 16384 -o stack.onnx"""
from decoder import main

if __name__ == "__main__":
    main(attention=False)
