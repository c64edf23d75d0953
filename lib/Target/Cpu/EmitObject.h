// LLVM IR to object code to a shared object.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TARGET_CPU_EMITOBJECT_H
#define NIBBLE_LIB_TARGET_CPU_EMITOBJECT_H

#include "nibble/Target/Cpu/CpuTarget.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

namespace nibble {
namespace cpu {

using Bytes = llvm::SmallVector<char, 0>;

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const CpuTargetOptions &options);

/// Optimizes `module` for the machine and emits an ELF object.
llvm::Expected<Bytes> emitObject(llvm::Module &module,
                                 llvm::TargetMachine &machine,
                                 const CpuTargetOptions &options);

/// The object that defines memcpy and friends, hidden: what the code generator
/// calls on its own initiative.
llvm::Expected<Bytes> emitBuiltins(llvm::TargetMachine &machine);

/// Links to a shared object that exports the global symbols of `object`, with
/// the builtins if it calls some. Fails, naming the symbols, if something is
/// undefined.
llvm::Expected<std::string> linkSharedObject(llvm::ArrayRef<char> object,
                                             llvm::TargetMachine &machine);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_TARGET_CPU_EMITOBJECT_H
