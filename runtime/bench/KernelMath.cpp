// Which units of a GPU multiply in a kernel, found in its PTX.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelMath.h"

#include <algorithm>

using namespace nibble::rt;

namespace {

/// From slow to fast.
constexpr const char *kOrder[] = {"tf32", "f16", "f8", "i8", "f4"};

struct Spelling {
  std::string_view text;
  const char *math;
};
/// Suffixes of instructions. The first that is found counts, so those that are
/// part of others come later.
constexpr Spelling kSpellings[] = {
    {"kind::mxf4", "f4"}, {"kind::mxf8f6f4", "f8"}, {"kind::f8f6f4", "f8"},
    {"kind::i8", "i8"},   {"kind::tf32", "tf32"},   {"kind::f16", "f16"},
    {".e2m1.", "f4"},     {".e4m3.", "f8"},         {".e5m2.", "f8"},
    {".e2m3.", "f8"},     {".e3m2.", "f8"},         {".s8.", "i8"},
    {".u8.", "i8"},       {".tf32.", "tf32"},       {".bf16.", "f16"},
    {".f16.", "f16"},
};

} // namespace

static bool isNameEnd(std::string_view text, size_t at) {
  return at >= text.size() || text[at] == '(' || text[at] == ' ' ||
         text[at] == '\n' || text[at] == '\t' || text[at] == '\r';
}

/// From the name of the kernel to the one after it.
static std::string_view bodyOf(std::string_view ptx, std::string_view symbol) {
  for (size_t at = ptx.find(".entry "); at != std::string_view::npos;
       at = ptx.find(".entry ", at + 1)) {
    size_t name = at + 7;
    if (ptx.substr(name, symbol.size()) != symbol ||
        !isNameEnd(ptx, name + symbol.size()))
      continue;
    size_t end = ptx.find(".entry ", name);
    return ptx.substr(name, end == std::string_view::npos ? end : end - name);
  }
  return {};
}

static std::string_view mathOfInstruction(std::string_view instruction) {
  std::string text(instruction);
  text += '.'; // the last suffix, too, is followed by one
  for (const Spelling &spelling : kSpellings)
    if (text.find(spelling.text) != std::string::npos)
      return spelling.math;
  return "";
}

std::string nibble::rt::mathOfKernel(std::string_view ptx,
                                     std::string_view symbol) {
  std::string_view body = bodyOf(ptx, symbol);
  if (body.empty())
    return "";
  auto found = std::end(kOrder);
  for (std::string_view opcode :
       {"wgmma.mma_async.", "mma.sync.", "tcgen05.mma."})
    for (size_t at = body.find(opcode); at != std::string_view::npos;
         at = body.find(opcode, at + 1)) {
      size_t end = body.find_first_of(" \t\n", at);
      std::string_view math = mathOfInstruction(body.substr(at, end - at));
      found = std::min(found,
                       std::find(std::begin(kOrder), std::end(kOrder), math));
    }
  return found == std::end(kOrder) ? "f32" : *found;
}

static std::string_view ptxOf(const Engine &engine, uint32_t code) {
  const EngineInfo &info = engine.info();
  for (uint32_t i : {code, info.code[code].alternative})
    if (i != kNoCode && info.code[i].kind == CodeKind::Ptx)
      return {static_cast<const char *>(engine.codeData(i)), info.code[i].size};
  return {};
}

std::vector<std::string> nibble::rt::mathOfKernels(const Engine &engine) {
  std::vector<std::string> found;
  for (const KernelInfo &kernel : engine.info().kernels)
    found.push_back(mathOfKernel(ptxOf(engine, kernel.code), kernel.symbol));
  return found;
}
