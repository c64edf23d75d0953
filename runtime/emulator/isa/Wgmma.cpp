// wgmma: execution (PTX ISA 9.7.15).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Wgmma.h"

#include "tensor/Descriptor.h"

using namespace nibble::emu;
using tensor::Element;
using tensor::Factor;
using tensor::MatrixDescriptor;

namespace {
constexpr unsigned kRows = 16; ///< of a warp
constexpr unsigned kWarps = 4;
constexpr unsigned kChunk = 16; ///< bytes

/// One multiplicand in shared memory, read through its descriptor.
class SharedMatrix {
public:
  /// `first`: the row of the matrix that the warp begins with.
  SharedMatrix(Warp &w, uint64_t bits, const char *name, unsigned first,
               bool mnMajor)
      : w(w), name(name), first(first), mnMajor(mnMajor) {
    if (std::string error = MatrixDescriptor::parse(bits, descriptor);
        !error.empty())
      w.fault("matrix descriptor of " + std::string(name) + ": " + error);
  }

  void read(Factor &factor, double sign) const {
    unsigned per = kChunk / tensor::bytesOf(factor.element);
    forChunks(factor.rows, factor.k, per,
              [&](uint32_t offset, unsigned r, unsigned k) {
                decode(factor, w.cta.shared.data() + offset, r, k, per);
              });
    double *values = factor.row(0);
    for (size_t i = 0; sign < 0 && i < size_t(factor.rows) * factor.k; ++i)
      values[i] = -values[i];
    factor.seal();
  }

  /// Calls f(offset, row, k) for all chunks, with the row and k of the first of
  /// their `per` elements.
  template <typename F>
  void forChunks(unsigned rows, unsigned depth, unsigned per, F f) const {
    unsigned stepRow = mnMajor ? per : 1, stepK = mnMajor ? 1 : per;
    for (unsigned r = 0; r < rows; r += stepRow)
      for (unsigned k = 0; k < depth; k += stepK) {
        uint32_t offset = mnMajor
                              ? descriptor.chunkMnMajor((first + r) / per, k)
                              : descriptor.chunkKMajor(first + r, k / per);
        checkBounds(offset);
        f(offset, r, k);
      }
  }

private:
  void decode(Factor &factor, const uint8_t *bytes, unsigned r, unsigned k,
              unsigned per) const {
    if (!mnMajor)
      return tensor::decodeChunk(factor.element, bytes, factor.row(r) + k);
    double values[kChunk];
    tensor::decodeChunk(factor.element, bytes, values);
    for (unsigned i = 0; i < per; ++i)
      factor.row(r + i)[k] = values[i];
  }

  void checkBounds(uint32_t offset) const {
    if (uint64_t(offset) + kChunk > w.cta.shared.size())
      w.fault("matrix descriptor of " + std::string(name) +
              " leads to shared address " + std::to_string(offset) +
              ", but this CTA has " + std::to_string(w.cta.shared.size()) +
              " bytes of shared memory");
  }

  Warp &w;
  const char *name;
  unsigned first;
  bool mnMajor;
  MatrixDescriptor descriptor;
};

SharedMatrix matrixA(const WgmmaOperation &op) {
  return {*op.warp, op.descriptorA, "A", op.warp->index % kWarps * kRows,
          op.form.has(WgmmaForm::TransA)};
}

SharedMatrix matrixB(const WgmmaOperation &op) {
  return {*op.warp, op.descriptorB, "B", 0, op.form.has(WgmmaForm::TransB)};
}

Factor readA(const WgmmaOperation &op) {
  Factor a(op.form.a, kRows, op.form.k);
  double sign = op.form.has(WgmmaForm::NegateA) ? -1 : 1;
  if (op.registersA())
    readFragmentA(*op.warp, op.registersA(), a, sign);
  else
    matrixA(op).read(a, sign);
  return a;
}

Factor readB(const WgmmaOperation &op) {
  Factor b(op.form.b, op.form.n, op.form.k);
  matrixB(op).read(b, op.form.has(WgmmaForm::NegateB) ? -1 : 1);
  return b;
}

template <typename Value, typename Multiply>
void accumulate(const WgmmaOperation &op, Multiply multiply) {
  std::vector<Value> tile(size_t(kRows) * op.form.n);
  if (op.accumulate)
    readAccumulators(*op.warp, op.accumulators(), op.form.n, tile.data());
  multiply(tile.data());
  writeAccumulators(*op.warp, op.accumulators(), op.form.n, tile.data());
}

void multiply(const WgmmaOperation &op, const Factor &b,
              tensor::Precision precision) {
  Factor a = readA(op);
  const WgmmaForm &form = op.form;
  if (form.d == Accumulator::F32)
    accumulate<float>(
        op, [&](float *tile) { multiplyAdd(a, b, tile, form.n, precision); });
  else if (form.d == Accumulator::F16)
    accumulate<uint16_t>(op, [&](uint16_t *tile) {
      multiplyAddHalf(a, b, tile, form.n, precision);
    });
  else
    accumulate<int32_t>(op, [&](int32_t *tile) {
      multiplyAddInteger(a, b, tile, form.n, form.has(WgmmaForm::Saturate));
    });
}
} // namespace

/// Faults name the instruction of the operation, whatever the warp runs now.
template <typename F> static void asIssued(const WgmmaOperation &op, F f) {
  Warp &w = *op.warp;
  const Inst *running = w.inst;
  w.inst = op.inst;
  f();
  w.inst = running;
}

void nibble::emu::executeWgmma(const std::vector<WgmmaOperation> &operations,
                               bool hopperSums) {
  const WgmmaOperation &first = operations[0];
  tensor::Precision precision = hopperSums
                                    ? tensor::Precision::hopper(first.form.a)
                                    : tensor::Precision::exact();
  // All four warps read the same B.
  asIssued(first, [&] {
    Factor b = readB(first);
    for (const WgmmaOperation &op : operations)
      asIssued(op, [&] { multiply(op, b, precision); });
  });
}

void nibble::emu::forSharedReads(const WgmmaOperation &operation, bool alsoB,
                                 const std::function<void(uint32_t)> &f) {
  const WgmmaForm &form = operation.form;
  unsigned per = kChunk / tensor::bytesOf(form.a); // as wide in B
  auto report = [&](uint32_t offset, unsigned, unsigned) { f(offset); };
  asIssued(operation, [&] {
    if (!operation.registersA())
      matrixA(operation).forChunks(kRows, form.k, per, report);
    if (alsoB)
      matrixB(operation).forChunks(form.n, form.k, per, report);
  });
}
