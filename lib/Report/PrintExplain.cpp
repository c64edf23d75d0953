// The document of `explain` as text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "llvm/Support/FormatVariadic.h"

using namespace nibble;
namespace json = llvm::json;

static llvm::StringRef text(const json::Object &object, llvm::StringRef key) {
  return object.getString(key).value_or("");
}

static std::string bytes(double count) {
  if (count < 1024)
    return llvm::formatv("{0} B", int64_t(count));
  if (count < (1 << 20))
    return llvm::formatv("{0:f1} KiB", count / 1024);
  return llvm::formatv("{0:f1} MiB", count / (1 << 20));
}

static void printLayer(const json::Object &layer, llvm::raw_ostream &os) {
  os << llvm::formatv(
      "{0,3}  {1,-11} {2,-26} {3,-18} {4,-5} {5,10} {6,10:f1} {7,9:f1} {8,-10} "
      "{9}\n",
      layer.getInteger("region").value_or(0), text(layer, "op"),
      text(layer, "kernel"), text(layer, "requested"), text(layer, "chosen"),
      bytes(layer.getNumber("bytes").value_or(0)),
      double(layer.getInteger("flops").value_or(0)) / 1e6,
      layer.getNumber("reached_us").value_or(0), text(layer, "bound"),
      text(layer, "name"));
  auto note = [&](llvm::StringRef what, llvm::StringRef value) {
    if (!value.empty())
      os << "       " << what << ": " << value << "\n";
  };
  note("fused", text(layer, "fused"));
  note("why", text(layer, "reason"));
  if (layer.getBoolean("as_requested").value_or(true))
    return;
  if (const json::Array *rejected = layer.getArray("rejected"))
    for (const json::Value &value : *rejected) {
      const json::Object &r = *value.getAsObject();
      os << "       not " << text(r, "kernel") << ": " << text(r, "reason")
         << "\n";
    }
  note("fix", text(layer, "suggestion"));
}

void nibble::printExplanation(const json::Value &report, llvm::StringRef glob,
                              llvm::raw_ostream &os) {
  json::Value filtered = filterExplanation(report, glob);
  const json::Object &document = *filtered.getAsObject();
  os << text(document, "model") << " for " << text(document, "target");
  if (const json::Object *machine = document.getObject("machine"))
    os << " (" << text(*machine, "device") << "; rates "
       << text(*machine, "reached_source") << ")";
  os << "\n"
     << llvm::formatv("{0,3}  {1,-11} {2,-26} {3,-18} {4,-5} {5,10} {6,10} "
                      "{7,9} {8,-10} {9}\n",
                      "#", "op", "kernel", "requested", "math", "bytes",
                      "MFLOP", "pred. us", "bound", "layer");
  for (const json::Value &layer : *document.getArray("layers"))
    printLayer(*layer.getAsObject(), os);
  os << summarize(report) << "\n";
}

void nibble::printMemory(const json::Value &report, llvm::raw_ostream &os) {
  const json::Object *memory = report.getAsObject()->getObject("memory");
  if (!memory) {
    os << "no memory plan: it follows stage lower\n";
    return;
  }
  os << llvm::formatv("arena {0}, at least {1} are alive at once\n",
                      bytes(memory->getNumber("arena").value_or(0)),
                      bytes(memory->getNumber("bound").value_or(0)));
  const json::Array *buffers = memory->getArray("buffers");
  if (!buffers)
    return;
  os << llvm::formatv("{0,12} {1,12} {2,6} {3,6}  {4}\n", "offset", "bytes",
                      "first", "last", "layer");
  for (const json::Value &value : *buffers) {
    const json::Object &b = *value.getAsObject();
    os << llvm::formatv(
        "{0,12} {1,12} {2,6} {3,6}  {4}\n", b.getInteger("offset").value_or(0),
        b.getInteger("size").value_or(0), b.getInteger("first").value_or(0),
        b.getInteger("last").value_or(0), text(b, "layer"));
  }
}
