// A libcuda.so.1 of long ago: it has next to nothing.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
int cuInit(unsigned flags) { return flags ? 1 : 0; }

int cuDriverGetVersion(int *version) {
  *version = 11040;
  return 0;
}
