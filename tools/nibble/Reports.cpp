// Where verbs that read reports get them from.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Reports.h"

#include "Commands.h"

#include "nibble/KernelSelect/Machine.h"
#include "nibble/Report/Explain.h"
#include "nibble/rt/engine.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace nibble;

static int fail(const llvm::Twine &message, int code) {
  llvm::errs() << "error: " << message << "\n";
  return code;
}

static int parseReport(llvm::StringRef path, llvm::StringRef text,
                       llvm::json::Value &report) {
  auto parsed = llvm::json::parse(text);
  if (!parsed)
    return fail("the report in '" + path +
                    "' is damaged: " + llvm::toString(parsed.takeError()),
                kExitUnsupported);
  if (llvm::Error error = checkExplanation(*parsed))
    return fail("the report in '" + path +
                    "' cannot be read: " + llvm::toString(std::move(error)),
                kExitUnsupported);
  report = std::move(*parsed);
  return kExitOk;
}

static int readEngine(llvm::StringRef path, llvm::json::Value &report) {
  auto engine = rt::Engine::load(path.str());
  if (!engine.ok())
    return fail(engine.status().str(), rt::exitCode(engine.status().code()));
  std::string_view text = (*engine)->info().report;
  if (text.empty())
    return fail("'" + path +
                    "' carries no report: it was made by an older build; "
                    "compile it again with: " +
                    std::string((*engine)->info().command),
                kExitUnsupported);
  return parseReport(path, llvm::StringRef(text.data(), text.size()), report);
}

static int readFile(llvm::StringRef path, llvm::json::Value &report) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return fail("cannot read '" + path + "': " + buffer.getError().message(),
                kExitUnsupported);
  return parseReport(path, (*buffer)->getBuffer(), report);
}

static int compileModel(llvm::StringRef path, CompileOptions options,
                        llvm::json::Value &report) {
  if (!getMachine(options.target))
    return fail("--target '" + options.target + "' is not known; there are " +
                    llvm::join(getTargetNames(), ", "),
                kExitUsage);
  options.input = path.str();
  options.stopAfter = Stage::Lower;
  options.emitCode = false;
  auto context = createContext();
  DiagnosticPrinter diagnostics(*context);
  Compiler compiler(*context, options);
  int code = failed(compiler.run()) ? diagnostics.getExitCode() : kExitOk;
  report = compiler.getReport();
  return code;
}

int getReport(llvm::StringRef path, CompileOptions options,
              llvm::json::Value &report) {
  if (path.ends_with(".nbl"))
    return readEngine(path, report);
  if (path.ends_with(".json"))
    return readFile(path, report);
  return compileModel(path, std::move(options), report);
}
