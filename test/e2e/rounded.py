# Weights of 4 bits as FP8, by permission: what drivers of GPU targets check alike.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from common import OK, explained

PERMISSION = ("--allow-fallback", "*:fp8")
MESSAGE = "weights are rounded by up to"


def check_rounded(tools, goals, model, target, device, kernel, outputs):
    """A W4A8 MLP, whose two products are of no class that begins as `kernel` (FP8), and with the permission of its lossy one: explain tells what was rounded,
    and the compiler; each launch agrees with the reference, and the whole, `outputs(engine, device)`, with the CPU's of the same weights."""
    gpu, cpu = model.with_suffix(".nbl"), model.with_suffix(".cpu.nbl")
    goals.check("W4A8 without permission: products in FP8", len(explained(tools, model, target, kernel)), 0)
    layers = explained(tools, model, target, f"{kernel}.lossy", *PERMISSION)
    goals.check("W4A8 as FP8: products", len(layers), 2, at_least=True)
    goals.check("W4A8 as FP8: explain tells the error", sum(MESSAGE in layer["reason"] for layer in layers), 2, at_least=True)
    done = tools.call("nibble", "compile", model, "-o", gpu, "--target", target, *PERMISSION, expect=OK)
    goals.check("W4A8 as FP8: so does the compiler", done.stderr.count(MESSAGE), 2, at_least=True)
    done = tools.call("nibble", "verify", gpu, "--device", device, "--layers-only", "--input", "x=outliers:seed=5", *PERMISSION)
    goals.check("W4A8 as FP8: nibble verify, exit code", done.returncode, 0)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:])
    tools.compile(model, cpu, *PERMISSION, expect=OK)
    mine, theirs = outputs(gpu, device), outputs(cpu, "cpu")
    goals.check("W4A8 as FP8: relative error to the CPU", np.linalg.norm(mine - theirs) / np.linalg.norm(theirs), 1e-2)
