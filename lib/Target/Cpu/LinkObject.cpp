// Links objects to a shared object with the LLD library.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "EmitObject.h"

#include "lld/Common/Driver.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;

namespace nibble {
namespace cpu {
namespace {

/// Names with or without a definition in an object.
Expected<StringSet<>> symbols(ArrayRef<char> bytes, bool undefined) {
  MemoryBufferRef buffer(StringRef(bytes.data(), bytes.size()), "object");
  auto object = object::ObjectFile::createObjectFile(buffer);
  if (!object)
    return object.takeError();
  StringSet<> names;
  for (const object::SymbolRef &symbol : (*object)->symbols()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags || !name)
      return joinErrors(flags.takeError(), name.takeError());
    bool isUndefined = *flags & object::SymbolRef::SF_Undefined;
    if (isUndefined == undefined && !name->empty())
      names.insert(*name);
  }
  return names;
}

Error undefinedError(ArrayRef<std::string> names) {
  return createStringError(
      "kernel code calls '" + join(names, "', '") +
      "', which nothing defines: CPU code must be free of library calls; "
      "expand the operation that leads to the call before lowering");
}

/// The builtins that `object` needs; empty if it calls nothing.
Expected<Bytes> neededBuiltins(ArrayRef<char> object, TargetMachine &machine) {
  auto wanted = symbols(object, /*undefined=*/true);
  if (!wanted)
    return wanted.takeError();
  if (wanted->empty())
    return Bytes();
  auto builtins = emitBuiltins(machine);
  if (!builtins)
    return builtins.takeError();
  auto have = symbols(*builtins, /*undefined=*/false);
  if (!have)
    return have.takeError();
  SmallVector<std::string> missing;
  for (const auto &entry : *wanted)
    if (!have->contains(entry.getKey()))
      missing.push_back(entry.getKey().str());
  llvm::sort(missing);
  if (!missing.empty())
    return undefinedError(missing);
  return builtins;
}

Error writeFile(StringRef path, ArrayRef<char> bytes) {
  return writeToOutput(path, [&](raw_ostream &os) {
    os.write(bytes.data(), bytes.size());
    return Error::success();
  });
}

/// LLD keeps its state in globals.
std::mutex lldMutex;

Error runLld(ArrayRef<const char *> args) {
  std::lock_guard<std::mutex> lock(lldMutex);
  std::string out, err;
  raw_string_ostream outStream(out), errStream(err);
  lld::Result result =
      lld::lldMain(args, outStream, errStream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0)
    return createStringError("linking CPU code failed: " + err);
  return Error::success();
}

Error linkFiles(ArrayRef<std::string> inputs, const std::string &output) {
  SmallVector<const char *> args = {"ld.lld",          "-shared",
                                    "-nostdlib",       "--no-undefined",
                                    "--gc-sections",   "--strip-all",
                                    "--build-id=none", "--hash-style=gnu",
                                    "-Bsymbolic",      "-znoexecstack",
                                    "-zrelro",         "-znow",
                                    "--threads=1",     "-o",
                                    output.c_str()};
  for (const std::string &input : inputs)
    args.push_back(input.c_str());
  return runLld(args);
}

} // namespace

Expected<std::string> linkSharedObject(ArrayRef<char> object,
                                       TargetMachine &machine) {
  auto builtins = neededBuiltins(object, machine);
  if (!builtins)
    return builtins.takeError();
  SmallString<128> directory;
  if (std::error_code code =
          sys::fs::createUniqueDirectory("nibble", directory))
    return createStringError(code, "cannot create a temporary directory");
  scope_exit cleanup([&] { sys::fs::remove_directories(directory); });
  SmallVector<std::string> inputs;
  auto path = [&](const char *name) {
    SmallString<128> result(directory);
    sys::path::append(result, name);
    return std::string(result);
  };
  auto addInput = [&](const char *name, ArrayRef<char> bytes) {
    inputs.push_back(path(name));
    return writeFile(inputs.back(), bytes);
  };
  if (Error error = addInput("kernels.o", object))
    return error;
  if (!builtins->empty())
    if (Error error = addInput("builtins.o", *builtins))
      return error;
  std::string output = path("kernels.so");
  if (Error error = linkFiles(inputs, output))
    return error;
  auto buffer = MemoryBuffer::getFile(output);
  if (!buffer)
    return createStringError(buffer.getError(), "cannot read " + output);
  return (*buffer)->getBuffer().str();
}

} // namespace cpu
} // namespace nibble
