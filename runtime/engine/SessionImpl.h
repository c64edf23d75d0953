// What Session and Context share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ENGINE_SESSIONIMPL_H
#define NIBBLE_RT_ENGINE_SESSIONIMPL_H

#include "nibble/rt/session.h"

namespace nibble {
namespace rt {

struct Session::Impl {
  std::shared_ptr<const Engine> engine;
  std::shared_ptr<Device> device;
  std::vector<std::unique_ptr<Module>> modules; ///< by code index
  std::vector<void *> kernels;                  ///< by kernel index
  std::vector<void *> constants;                ///< by constant index

  Status loadCode();
  Result<std::unique_ptr<Module>> loadBlob(uint32_t index);
  Status importConstants();
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_SESSIONIMPL_H
