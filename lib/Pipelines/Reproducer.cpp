// Reproducer bundle: a folder with all that is needed to see a failure again.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Reproducer.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/IR/AsmState.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/xxhash.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using namespace nibble;

/// Bytes of all constants, each counted once.
static int64_t countConstants(ModuleOp module) {
  llvm::DenseSet<Attribute> seen;
  int64_t bytes = 0;
  module.walk([&](Operation *op) {
    for (NamedAttribute named : op->getAttrs()) {
      auto data = dyn_cast<ElementsAttr>(named.getValue());
      if (data && !data.isSplat() && seen.insert(data).second)
        bytes += nq::getPlainBytes(data.getElementType(), data.size());
    }
  });
  return bytes;
}

static OpPrintingFlags getFlags(bool elide) {
  OpPrintingFlags flags;
  flags.enableDebugInfo(true, false);
  if (elide)
    flags.elideLargeElementsAttrs(64).elideLargeResourceString(256);
  return flags;
}

/// IR that `nibble-opt --run-reproducer` runs.
static void printIr(const Reproducer &reproducer, bool elide,
                    llvm::raw_ostream &os) {
  AsmState state(reproducer.before, getFlags(elide));
  state.attachResourcePrinter(
      "mlir_reproducer", [&](Operation *, AsmResourceBuilder &builder) {
        builder.buildString("pipeline", reproducer.pipeline);
        builder.buildBool("disable_threading", true);
        builder.buildBool("verify_each", true);
      });
  reproducer.before->print(os, state);
}

static std::string getName(const Reproducer &reproducer) {
  std::string text = reproducer.pipeline.str();
  llvm::raw_string_ostream os(text);
  printIr(reproducer, true, os);
  os << *reproducer.report.getAsObject()->get("problems");
  return llvm::formatv("nibble-repro-{0}",
                       llvm::format_hex_no_prefix(llvm::xxh3_64bits(text), 16));
}

static void printReadme(const Reproducer &reproducer, bool elide,
                        llvm::raw_ostream &os) {
  std::string file = ("before-" + reproducer.stage + ".mlir").str();
  os << "Stage '" << reproducer.stage << "' of nibble failed. "
     << "Attach this folder to the report of the bug.\n\n"
     << "command:  " << reproducer.command << "\n"
     << "version:  nibble 0.1.0, LLVM " << LLVM_VERSION_STRING << ", "
     << llvm::sys::getDefaultTargetTriple() << ", "
     << llvm::sys::getHostCPUName() << "\n\n"
     << file << "   the graph in front of the stage; to see the failure:\n"
     << "    nibble-opt --run-reproducer " << file << "\n"
     << "report.json   the errors, and every decision before them "
        "(nibble explain report.json)\n\n"
     << (elide ? "Constants were too large to write and are left out: if the "
                 "failure depends on\ntheir data, attach the model as well.\n"
               : "The constants of the model are in the file: do not attach "
                 "it if they are secret.\n");
}

/// Creates FOLDER/NAME with what `print` prints.
static llvm::Error
writeFile(StringRef folder, StringRef name,
          llvm::function_ref<void(llvm::raw_ostream &)> print) {
  SmallString<128> path(folder);
  llvm::sys::path::append(path, name);
  std::error_code error;
  llvm::ToolOutputFile file(path, error, llvm::sys::fs::OF_None);
  if (error)
    return llvm::createStringError(error, "cannot write '" + path.str().str() +
                                              "': " + error.message());
  print(file.os());
  file.keep();
  return llvm::Error::success();
}

llvm::Expected<std::string>
nibble::writeReproducer(const Reproducer &reproducer, StringRef folder) {
  bool elide = countConstants(reproducer.before) > kReproducerConstants;
  SmallString<128> path(folder.empty() ? "." : folder);
  llvm::sys::path::append(path, getName(reproducer));
  if (std::error_code error = llvm::sys::fs::create_directories(path))
    return llvm::createStringError(error, "cannot create folder '" +
                                              path.str().str() +
                                              "': " + error.message());
  auto write = [&](const Twine &name, auto print) {
    return writeFile(path, name.str(), print);
  };
  if (llvm::Error error =
          write("before-" + reproducer.stage + ".mlir",
                [&](llvm::raw_ostream &os) { printIr(reproducer, elide, os); }))
    return std::move(error);
  if (llvm::Error error = write("report.json", [&](llvm::raw_ostream &os) {
        os << llvm::formatv("{0:2}\n", reproducer.report);
      }))
    return std::move(error);
  if (llvm::Error error = write("README.txt", [&](llvm::raw_ostream &os) {
        printReadme(reproducer, elide, os);
      }))
    return std::move(error);
  return path.str().str();
}
