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

/// Reads one multiplicand through its descriptor.
class SharedMatrix {
public:
  SharedMatrix(Warp &w, uint64_t bits, const char *name) : w(w), name(name) {
    if (std::string error = MatrixDescriptor::parse(bits, descriptor);
        !error.empty())
      w.fault("matrix descriptor of " + std::string(name) + ": " + error);
  }

  /// Rows `first` and following of the matrix, all K.
  void read(Factor &factor, unsigned first, bool mnMajor, double sign) {
    unsigned per = kChunk / tensor::bytesOf(factor.element);
    if (mnMajor)
      readMnMajor(factor, first, per);
    else
      readKMajor(factor, first, per);
    double *values = factor.row(0);
    for (size_t i = 0; sign < 0 && i < size_t(factor.rows) * factor.k; ++i)
      values[i] = -values[i];
    factor.seal();
    w.cta.cluster.counters.sharedRead +=
        size_t(factor.rows) * factor.k * tensor::bytesOf(factor.element);
  }

private:
  void readKMajor(Factor &factor, unsigned first, unsigned per) {
    for (unsigned r = 0; r < factor.rows; ++r)
      for (unsigned chunk = 0; chunk < factor.k / per; ++chunk)
        tensor::decodeChunk(factor.element,
                            at(descriptor.chunkKMajor(first + r, chunk)),
                            factor.row(r) + chunk * per);
  }
  void readMnMajor(Factor &factor, unsigned first, unsigned per) {
    double values[kChunk];
    for (unsigned chunk = 0; chunk < factor.rows / per; ++chunk)
      for (unsigned k = 0; k < factor.k; ++k) {
        tensor::decodeChunk(factor.element,
                            at(descriptor.chunkMnMajor(first / per + chunk, k)),
                            values);
        for (unsigned i = 0; i < per; ++i)
          factor.row(chunk * per + i)[k] = values[i];
      }
  }
  const uint8_t *at(uint32_t address) {
    if (uint64_t(address) + kChunk > w.cta.shared.size())
      w.fault("matrix descriptor of " + std::string(name) +
              " leads to shared address " + std::to_string(address) +
              ", but this CTA has " + std::to_string(w.cta.shared.size()) +
              " bytes of shared memory");
    return w.cta.shared.data() + address;
  }

  Warp &w;
  const char *name;
  MatrixDescriptor descriptor;
};

Factor readA(const WgmmaOperation &op) {
  const WgmmaForm &form = op.form;
  Factor a(form.a, kRows, form.k);
  double sign = form.has(WgmmaForm::NegateA) ? -1 : 1;
  if (op.registersA()) {
    readFragmentA(*op.warp, op.registersA(), a, sign);
    return a;
  }
  SharedMatrix matrix(*op.warp, op.descriptorA, "A");
  matrix.read(a, op.warp->index % kWarps * kRows, form.has(WgmmaForm::TransA),
              sign);
  return a;
}

Factor readB(const WgmmaOperation &op) {
  const WgmmaForm &form = op.form;
  Factor b(form.b, form.n, form.k);
  SharedMatrix matrix(*op.warp, op.descriptorB, "B");
  matrix.read(b, 0, form.has(WgmmaForm::TransB),
              form.has(WgmmaForm::NegateB) ? -1 : 1);
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

void multiply(const WgmmaOperation &op, tensor::Precision precision) {
  Factor a = readA(op), b = readB(op);
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

void nibble::emu::executeWgmma(const WgmmaOperation &operation,
                               tensor::Precision precision) {
  Warp &w = *operation.warp;
  const Inst *running = w.inst; // a fault is one of the operation
  w.inst = operation.inst;
  multiply(operation, precision);
  w.inst = running;
}

void nibble::emu::submitWgmma(const WgmmaOperation &operation) {
  executeWgmma(operation);
}

void nibble::emu::orderWgmma(Warp &, WgmmaOrder, uint32_t) {}
