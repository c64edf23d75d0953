// The object that carries the precompiled header.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
