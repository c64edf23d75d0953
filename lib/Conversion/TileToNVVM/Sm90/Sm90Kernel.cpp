// Kernels for Hopper: roles on registers and wgmma.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Sm90Kernel.h"

#include "Role.h"

using namespace mlir;
using namespace nibble;

namespace {
class Sm90Kernel : public tilecode::Kernel {
public:
  using Kernel::Kernel;

private:
  LogicalResult writeRole(tile::RoleOp role) override {
    return sm90::Role(*this, role).write();
  }
};
} // namespace

std::unique_ptr<tilecode::Kernel> sm90::createKernel(tile::KernelOp op) {
  return std::make_unique<Sm90Kernel>(op);
}
