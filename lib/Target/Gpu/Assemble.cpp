// Runs ptxas, and reads what it says about kernels.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Target/Gpu/GpuTarget.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace nibble {
namespace gpu {
namespace {

Error fail(const Twine &what) { return createStringError(what.str()); }

/// A file that goes when this does.
class TemporaryFile {
public:
  explicit TemporaryFile(StringRef suffix) {
    error = sys::fs::createTemporaryFile("nibble", suffix, path);
    if (!error)
      remover.setFile(path);
  }
  std::error_code error;
  SmallString<128> path;

private:
  FileRemover remover;
};

Error write(StringRef path, StringRef text) {
  std::error_code error;
  raw_fd_ostream os(path, error);
  os << text;
  os.close();
  if (error || os.has_error())
    return fail("cannot write '" + path + "'");
  return Error::success();
}

/// Everything that ptxas printed.
std::string read(StringRef path) {
  auto buffer = MemoryBuffer::getFile(path);
  return buffer ? (*buffer)->getBuffer().str() : std::string();
}

int64_t getNumber(StringRef text, StringRef pattern) {
  SmallVector<StringRef> groups;
  int64_t number = 0;
  if (Regex(pattern).match(text, &groups))
    (void)groups[1].getAsInteger(10, number);
  return number;
}

/// "Compiling entry function 'k' for ..." begins what concerns k.
void parse(StringRef log, Assembled &result) {
  SmallVector<StringRef> lines, groups;
  log.split(lines, '\n');
  for (StringRef line : lines) {
    if (line.contains("warning") || Regex("C75[0-9]+").match(line))
      result.warnings.push_back(line.trim().str());
    if (Regex("Compiling entry function '([^']*)'").match(line, &groups)) {
      result.kernels.emplace_back();
      result.kernels.back().symbol = groups[1].str();
    }
    if (result.kernels.empty())
      continue;
    KernelResources &kernel = result.kernels.back();
    if (line.contains("bytes stack frame")) {
      kernel.stackBytes = getNumber(line, "([0-9]+) bytes stack frame");
      kernel.spillBytes = getNumber(line, "([0-9]+) bytes spill stores") +
                          getNumber(line, "([0-9]+) bytes spill loads");
    } else if (line.contains("Used ")) {
      kernel.registers = getNumber(line, "Used ([0-9]+) registers");
      kernel.sharedBytes = getNumber(line, "([0-9]+) bytes smem");
    }
  }
}

} // namespace

std::string findPtxas() {
  // Set, but empty: none.
  if (const char *path = std::getenv("NIBBLE_PTXAS"))
    return path;
  SmallVector<std::string> folders;
  if (const char *home = std::getenv("CUDA_HOME"))
    folders.push_back(std::string(home) + "/bin");
  if (const char *path = std::getenv("PATH")) {
    SmallVector<StringRef> parts;
    StringRef(path).split(parts, ':', -1, false);
    for (StringRef part : parts)
      folders.push_back(part.str());
  }
  folders.push_back("/usr/local/cuda/bin");
  for (const std::string &folder : folders)
    if (sys::fs::can_execute(folder + "/ptxas"))
      return folder + "/ptxas";
  return "";
}

Expected<Assembled> assemble(StringRef ptx, StringRef chip, StringRef ptxas) {
  TemporaryFile source("ptx"), object("cubin"), log("log");
  for (const TemporaryFile *file : {&source, &object, &log})
    if (file->error)
      return fail("cannot create a temporary file: " + file->error.message());
  if (Error error = write(source.path, ptx))
    return error;
  std::string arch = ("-arch=" + chip).str();
  StringRef args[] = {ptxas, "-v", arch, source.path, "-o", object.path};
  std::optional<StringRef> redirects[] = {std::nullopt, StringRef(log.path),
                                          StringRef(log.path)};
  std::string message;
  int rc =
      sys::ExecuteAndWait(ptxas, args, std::nullopt, redirects, 0, 0, &message);
  std::string said = read(log.path);
  if (rc != 0)
    return fail("'" + ptxas + "' failed with code " + Twine(rc) +
                (message.empty() ? "" : " (" + message + ")") + ": " + said);
  Assembled result;
  parse(said, result);
  result.cubin = read(object.path);
  if (result.cubin.empty())
    return fail("'" + ptxas + "' wrote no cubin: " + said);
  return result;
}

} // namespace gpu
} // namespace nibble
