// Random GEMM problems, compiled and run, against a reference in double.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GEMMHARNESS_H
#define NIBBLE_TEST_UNIT_TARGET_GEMMHARNESS_H

#include "KernelHarness.h"

#include "nibble/Conversion/NqToCpu/Gemm.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

namespace nibble {
namespace test {

using Elem = rt::StorageFormat;

/// Memory that ends at a page that cannot be touched and begins after poison.
class GuardedBuffer {
public:
  explicit GuardedBuffer(size_t bytes, int fill = 0xff) : bytes(bytes) {
    size_t page = 4096;
    mapped = (bytes + 2 * page - 1) / page * page + page;
    base = static_cast<uint8_t *>(mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base + mapped - page, page, PROT_NONE);
    start = base + mapped - page - bytes;
    std::memset(base, 0xff, start - base);
    std::memset(start, fill, bytes);
  }
  GuardedBuffer(const GuardedBuffer &) = delete;
  ~GuardedBuffer() { munmap(base, mapped); }
  uint8_t *data() const { return start; }
  size_t size() const { return bytes; }
  /// Nobody has written before the start.
  bool intact() const {
    for (const uint8_t *p = base; p < start; ++p)
      if (*p != 0xff)
        return false;
    return true;
  }

private:
  uint8_t *base = nullptr, *start = nullptr;
  size_t bytes, mapped;
};

/// A weight in linear storage with its values in double.
struct RandomWeight {
  cpu::GemmWeight type;
  std::vector<uint8_t> codes, scales, global, zeroPoints;
  std::vector<double> values; ///< [n][k]; empty if not wanted

  RandomWeight(const cpu::GemmWeight &type, unsigned seed, bool wantValues)
      : type(type) {
    std::mt19937 random(seed);
    fillCodes(random);
    if (type.scaled())
      fillScales(random);
    if (wantValues)
      computeValues();
  }

  cpu::GemmWeightData data() const {
    return {codes.data(),  codes.size(),  scales.data(),     scales.size(),
            global.data(), global.size(), zeroPoints.data(), zeroPoints.size()};
  }

private:
  void fillCodes(std::mt19937 &random) {
    size_t count = size_t(type.n) * type.k;
    codes.resize(rt::formatBytes(type.code, count));
    std::normal_distribution<float> normal;
    bool dense = !type.scaled();
    if (dense) {
      for (size_t i = 0; i < count; ++i)
        rt::storeCode(type.code, codes.data(), i,
                      rt::encode(type.code, normal(random)));
      return;
    }
    for (uint8_t &byte : codes) {
      byte = random();
      bool nan = type.code == Elem::E4M3   ? (byte & 0x7f) == 0x7f
                 : type.code == Elem::E5M2 ? (byte & 0x7c) == 0x7c
                                           : false;
      if (nan)
        byte &= 0x3f;
    }
    if (count % 2 && type.fourBit())
      codes.back() &= 15;
  }

  void fillScales(std::mt19937 &random) {
    size_t grid = size_t(type.gridN()) * type.gridK();
    scales.resize(rt::formatBytes(type.scale, grid));
    std::uniform_real_distribution<double> uniform(-3, 2);
    for (size_t i = 0; i < grid; ++i)
      rt::storeCode(type.scale, scales.data(), i,
                    rt::encode(type.scale, std::exp2(uniform(random))));
    if (type.global != Elem::None) {
      global.resize(rt::formatBytes(type.global, 1));
      rt::storeCode(type.global, global.data(), 0,
                    rt::encode(type.global, 0.01317));
    }
    if (type.zeroPoint) {
      zeroPoints.resize(grid);
      bool isSigned = type.code == Elem::I4 || type.code == Elem::I8;
      for (uint8_t &zero : zeroPoints)
        zero = type.fourBit() ? (random() & 15) - (isSigned ? 8 : 0) : random();
    }
  }

  double scaleAt(int64_t n, int64_t k, double &zero) const {
    int64_t nb = n / type.scaleBlockN(), kb = k / type.scaleBlockK();
    size_t i = type.kn ? kb * type.gridN() + nb : nb * type.gridK() + kb;
    double scale =
        rt::decode(type.scale, rt::loadCode(type.scale, scales.data(), i));
    if (type.global != Elem::None)
      scale = rt::roundTo(
          type.global,
          scale * rt::decode(type.global,
                             rt::loadCode(type.global, global.data(), 0)));
    if (type.zeroPoint)
      zero = type.code == Elem::I4 || type.code == Elem::I8
                 ? double(int8_t(zeroPoints[i]))
                 : double(zeroPoints[i]);
    return scale;
  }

  void computeValues() {
    values.resize(size_t(type.n) * type.k);
    for (int64_t n = 0; n < type.n; ++n)
      for (int64_t k = 0; k < type.k; ++k) {
        size_t i = type.kn ? k * type.n + n : n * type.k + k;
        double code =
            rt::decode(type.code, rt::loadCode(type.code, codes.data(), i));
        double zero = 0, scale = type.scaled() ? scaleAt(n, k, zero) : 1;
        values[n * type.k + k] = (code - zero) * scale;
      }
  }
};

/// Where the parts of a scaled A of `count` elements lie: codes | pad to 64 |
/// scales | pad to 64 | global, as nq::getStorageRegions says.
inline void placeScales(cpu::GemmScaledA &a, Elem code, int64_t count) {
  auto alignUp = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
  a.scalesAt = alignUp(rt::formatBytes(code, count));
  int64_t grid = a.run ? count / a.run : 1;
  a.bytes = a.globalAt = a.scalesAt + rt::formatBytes(a.scale, grid);
  if (a.global == Elem::None)
    return;
  a.globalAt = alignUp(a.bytes);
  a.bytes = a.globalAt + rt::formatBytes(a.global, 1);
}

/// A scaled activation as a kernel reads it, with its values in double: random
/// numbers, some of them outliers, quantized block by block.
struct RandomActivation {
  std::vector<uint8_t> bytes;
  std::vector<double> values;

  RandomActivation(Elem code, const cpu::GemmScaledA &type, int64_t count,
                   std::mt19937 &random, bool outliers)
      : bytes(type.bytes, 0xff), values(count), code(code), type(type) {
    std::normal_distribution<double> normal;
    for (double &x : values)
      x = normal(random) * (outliers && random() % 50 == 0 ? 1000 : 1);
    if (type.global != Elem::None)
      rt::storeCode(type.global, &bytes[type.globalAt], 0,
                    rt::encode(type.global, 0.0217));
    int64_t run = type.run ? type.run : count;
    for (int64_t first = 0; first < count; first += run)
      quantize(first, run);
  }

private:
  void quantize(int64_t first, int64_t run) {
    double amax = 0;
    for (int64_t i = first; i < first + run; ++i)
      amax = std::max(amax, std::fabs(values[i]));
    double scale =
        storeScale(first / run, amax / rt::formatInfo(code).maxFinite);
    for (int64_t i = first; i < first + run; ++i) {
      rt::storeCode(code, bytes.data(), i, rt::encode(code, values[i] / scale));
      values[i] = rt::decode(code, rt::loadCode(code, bytes.data(), i)) * scale;
    }
  }

  /// Stores about `wanted` and returns the effective scale.
  double storeScale(int64_t index, double wanted) {
    double global = 1;
    if (type.global != Elem::None)
      global = rt::decode(type.global,
                          rt::loadCode(type.global, &bytes[type.globalAt], 0));
    double scale = wanted / global;
    if (type.scale == Elem::E8M0)
      scale = std::exp2(std::ceil(std::log2(scale)));
    uint64_t bits = rt::encode(type.scale, std::max(scale, 0x1p-9));
    rt::storeCode(type.scale, &bytes[type.scalesAt], index, bits);
    scale = rt::decode(type.scale, bits);
    return type.global == Elem::None ? scale
                                     : rt::roundTo(type.global, scale * global);
  }

  Elem code;
  const cpu::GemmScaledA &type;
};

inline std::vector<uint8_t> packToVector(const RandomWeight &weight,
                                         std::string &error) {
  std::vector<uint8_t> packed;
  auto status = cpu::packGemmWeight(
      weight.type, weight.data(), [&](const void *data, uint64_t size) {
        auto bytes = static_cast<const uint8_t *>(data);
        packed.insert(packed.end(), bytes, bytes + size);
        return true;
      });
  if (!status.ok())
    error = status.str();
  return packed;
}

/// Hook of the tests: relu, then plus the residual.
inline mlir::Value reluPlusResidual(mlir::OpBuilder &b, mlir::Location loc,
                                    cpu::GemmTile tile) {
  auto type = mlir::cast<mlir::VectorType>(tile.value.getType());
  mlir::Value zero = mlir::arith::ConstantOp::create(
      b, loc, mlir::DenseElementsAttr::get(type, b.getF32FloatAttr(0)));
  mlir::Value relu = mlir::arith::MaximumFOp::create(b, loc, tile.value, zero);
  mlir::Value residual =
      mlir::vector::LoadOp::create(b, loc, type, tile.extra[0], tile.offsetC);
  return mlir::arith::AddFOp::create(b, loc, relu, residual);
}

/// A compiled kernel with its launch.
struct CompiledGemm {
  std::string error, assembly, llvm;
  cpu::GemmKernel launch;
  std::unique_ptr<LoadedCode> code;
  Kernel kernel = nullptr;

  /// `residual` elements of f32 become the extra argument, if not 0.
  CompiledGemm(cpu::GemmSpec spec, cpu::GemmEpilogue epilogue = nullptr,
               bool texts = false, int64_t residual = 0,
               unsigned optLevel = 3) {
    auto context = makeContext();
    mlir::DialectRegistry registry;
    cpu::registerGemmDialects(registry);
    context->appendDialectRegistry(registry);
    context->loadAllAvailableDialects();
    auto loc = mlir::UnknownLoc::get(context.get());
    mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(loc);
    if (residual)
      spec.extra = {
          mlir::MemRefType::get({residual}, mlir::Float32Type::get(&*context))};
    auto emitted = cpu::emitGemm(*module, loc, spec, epilogue);
    if (mlir::failed(emitted)) {
      error = cpu::whyUnsupported(spec);
      return;
    }
    launch = *emitted;
    cpu::CpuTargetOptions options;
    options.optLevel = optLevel;
    if (texts) {
      options.asmText = &assembly;
      options.llvmText = &llvm;
    }
    auto bytes = cpu::compileToSharedObject(*module, options);
    if (!bytes) {
      error = llvm::toString(bytes.takeError());
      return;
    }
    code = std::make_unique<LoadedCode>(*bytes);
    kernel = code->kernel(spec.symbol.c_str());
  }

  /// Splits the extent over threads in multiples of the grain.
  void run(void *const *args, unsigned threads,
           std::vector<std::unique_ptr<GuardedBuffer>> &scratch) const {
    int64_t grains = (launch.extent + launch.grain - 1) / launch.grain;
    std::vector<std::thread> pool;
    auto work = [&](unsigned t) {
      int64_t lo = grains * t / threads * launch.grain;
      int64_t hi = std::min(launch.extent,
                            grains * int64_t(t + 1) / threads * launch.grain);
      if (lo < hi)
        kernel(args, lo, hi, scratch[t]->data());
    };
    for (unsigned t = 1; t < threads; ++t)
      pool.emplace_back(work, t);
    work(0);
    for (std::thread &thread : pool)
      thread.join();
  }
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GEMMHARNESS_H
