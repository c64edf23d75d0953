// Runs of a tile kernel on the emulated driver, against f64.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileKernel.h"

#include "device/cuda/DriverTable.h"
#include "nibble/rt/formats.h"

#include <cmath>
#include <cstring>
#include <map>
#include <random>

using namespace nibble;
using namespace nibble::test;
using namespace nibble::cuda;
using rt::StorageFormat;

namespace {

StorageFormat formatOf(const std::string &name) {
  static const std::map<std::string, StorageFormat> formats = {
      {"f32", StorageFormat::F32},
      {"f16", StorageFormat::F16},
      {"bf16", StorageFormat::BF16},
      {"f8E4M3FN", StorageFormat::E4M3FN},
      {"f8E5M2", StorageFormat::E5M2}};
  return formats.at(name);
}

/// Rows x columns of a format, on the host and as numbers.
struct Matrix {
  Matrix(const std::string &type, int64_t rows, int64_t columns)
      : format(formatOf(type)), columns(columns), numbers(rows * columns),
        bytes(rt::formatBytes(format, rows * columns), char(0xa5)) {}

  /// Small integers over 4, some large.
  void fill(std::mt19937 &random, int outlier) {
    for (size_t i = 0; i < numbers.size(); ++i) {
      double x = int(random() % 15) - 7;
      if (outlier && random() % 97 == 0)
        x *= outlier;
      rt::storeCode(format, bytes.data(), i, rt::encode(format, x / 4));
      numbers[i] = rt::decode(format, rt::loadCode(format, bytes.data(), i));
    }
  }
  double at(int64_t row, int64_t column) const {
    return numbers[row * columns + column];
  }

  StorageFormat format;
  int64_t columns;
  std::vector<double> numbers;
  std::vector<char> bytes;
};

/// The driver, with a context that is current: one for each run, as a fault
/// ends it.
std::shared_ptr<const DriverTable> openDriver(std::string &error) {
  auto opened = DriverTable::openEmulated();
  if (!opened.ok()) {
    error = opened.status().str();
    return nullptr;
  }
  CUcontext context = nullptr;
  if ((*opened)->cuInit(0) ||
      (*opened)->cuDevicePrimaryCtxRetain(&context, 0) ||
      (*opened)->cuCtxSetCurrent(context))
    error = "the emulated driver gives no context";
  return *opened;
}

/// A product and the numbers around it.
class Run {
public:
  Run(const TileKernel &kernel, unsigned seed)
      : kernel(kernel), c(kernel.config), random(seed), a(c.a, c.m, c.k),
        b(c.b, c.n, c.k), b2(c.b, c.n, c.k), rows("f32", 1, c.m),
        columns("f32", 1, c.n), elements("bf16", c.m, c.n), scale("f32", 1, 1),
        out(c.out, c.rowsOut(), c.columnsOut()), copy("f32", 1, 1) {
    for (Matrix *matrix : {&a, &b, &b2})
      matrix->fill(random, 20);
    for (Matrix *matrix : {&rows, &columns, &elements})
      matrix->fill(random, 0);
    scale.numbers[0] = 0.0625f;
    rt::storeCode(scale.format, scale.bytes.data(), 0,
                  rt::encode(scale.format, scale.numbers[0]));
  }

  std::string run(unsigned runs) {
    std::string error;
    driver = openDriver(error);
    if (!error.empty())
      return error;
    if (!(error = check(driver->cuModuleLoadData(&module, kernel.ptx.c_str()),
                        "PTX"))
             .empty())
      return error;
    for (unsigned i = 0; i < runs && error.empty(); ++i)
      error = runOnce();
    driver->cuModuleUnload(module);
    driver->cuDevicePrimaryCtxReset_v2(0);
    driver->cuDevicePrimaryCtxRelease_v2(0);
    return error;
  }

private:
  std::string check(CUresult result, const std::string &what) {
    rt::Status status = driver->check(result, what);
    return status.ok() ? "" : status.str();
  }

  std::string runOnce() {
    Matrix *matrices[] = {&a,        &b,     &b2,  &rows, &columns,
                          &elements, &scale, &out, &copy};
    out.bytes.assign(out.bytes.size(), char(0xa5));
    std::vector<CUdeviceptr> buffers;
    for (Matrix *matrix : matrices) {
      CUdeviceptr address = 0;
      size_t size = matrix->bytes.size();
      if (driver->cuMemAlloc_v2(&address, size + 256) ||
          driver->cuMemsetD8_v2(address, 0xa5, size + 256) ||
          driver->cuMemcpyHtoD_v2(address, matrix->bytes.data(), size))
        return "no memory";
      buffers.push_back(address);
    }
    std::string error = launch(buffers);
    std::vector<char> bytes(out.bytes.size() + 256);
    driver->cuMemcpyDtoH_v2(bytes.data(), buffers[7], bytes.size());
    driver->cuMemcpyDtoH_v2(copy.bytes.data(), buffers[8], 4);
    for (CUdeviceptr buffer : buffers)
      driver->cuMemFree_v2(buffer);
    for (size_t i = out.bytes.size(); i < bytes.size() && error.empty(); ++i)
      if (bytes[i] != char(0xa5))
        error = "written behind the end of the result";
    std::memcpy(out.bytes.data(), bytes.data(), out.bytes.size());
    if (error.empty() && copy.bytes != scale.bytes)
      error = "the scale was not passed on";
    return error.empty() ? compare() : error;
  }

  CUtensorMap encode(const gpu::KernelArg &arg, CUdeviceptr address) {
    CUtensorMap map;
    std::vector<uint64_t> sizes(arg.map.sizes.begin(), arg.map.sizes.end()),
        strides(arg.map.strides.begin(), arg.map.strides.end());
    std::vector<uint32_t> box(arg.map.box.begin(), arg.map.box.end()),
        ones(box.size(), 1);
    failed +=
        check(driver->cuTensorMapEncodeTiled(
                  &map, CUtensorMapDataType(arg.map.type),
                  uint32_t(sizes.size()), reinterpret_cast<void *>(address),
                  sizes.data(), strides.data(), box.data(), ones.data(),
                  CUtensorMapInterleave(0), CUtensorMapSwizzle(arg.map.swizzle),
                  CUtensorMapL2promotion(arg.map.l2Promotion),
                  CUtensorMapFloatOOBfill(0)),
              "tensor map");
    return map;
  }

  std::string launch(std::vector<CUdeviceptr> &buffers) {
    const gpu::KernelLaunch &l = kernel.launch;
    std::vector<CUtensorMap> maps(l.args.size());
    std::vector<void *> params;
    for (size_t i = 0; i < l.args.size(); ++i) {
      const gpu::KernelArg &arg = l.args[i];
      if (arg.kind == gpu::KernelArg::Map)
        maps[i] = encode(arg, buffers[arg.value]);
      params.push_back(arg.kind == gpu::KernelArg::Map
                           ? static_cast<void *>(&maps[i])
                           : &buffers[arg.value]);
    }
    CUfunction function = nullptr;
    if (!failed.empty() ||
        driver->cuModuleGetFunction(&function, module, l.symbol.c_str()))
      return failed + " no kernel " + l.symbol;
    driver->cuFuncSetAttribute(function,
                               CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                               int(l.sharedBytes));
    CUlaunchAttribute attribute = {};
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim = {unsigned(l.cluster[0]), 1, 1};
    CUlaunchConfig config = {};
    config.gridDimX = unsigned(l.grid[0]);
    config.gridDimY = config.gridDimZ = config.blockDimY = config.blockDimZ = 1;
    config.blockDimX = unsigned(l.block[0]);
    config.sharedMemBytes = unsigned(l.sharedBytes);
    config.attrs = &attribute;
    config.numAttrs = l.cluster[0] > 1;
    std::string error = check(
        driver->cuLaunchKernelEx(&config, function, params.data(), nullptr),
        "launch");
    return error.empty() ? check(driver->cuCtxSynchronize(), "kernel") : error;
  }

  /// A sum and how far from it an accumulator may be: one rounding of a sum of
  /// at most `size` per instruction.
  struct Sum {
    double value = 0, error = 0;
  };
  Sum multiply(const Matrix &right, int64_t i, int64_t j) {
    Sum sum;
    double size = 0;
    for (int64_t k = 0; k < c.k; ++k) {
      double product = a.at(i, k) * right.at(j, k);
      sum.value += product;
      size += std::fabs(product);
    }
    double steps =
        double(c.k * rt::formatBits(a.format) / 8) / 32 + 3 + c.splits;
    sum.error = steps * size * 0x1p-24;
    return sum;
  }

  static Sum times(const Sum &x, const Sum &y) {
    return {x.value * y.value,
            std::fabs(x.value) * y.error + std::fabs(y.value) * x.error +
                x.error * y.error + 0x1p-22 * std::fabs(x.value * y.value)};
  }

  Sum expected(int64_t i, int64_t j) {
    Sum alpha = {scale.numbers[0], 0};
    if (c.kind == TileConfig::Gated)
      return times(times(alpha, multiply(b, i, 2 * j)),
                   multiply(b, i, 2 * j + 1));
    Sum sum = multiply(b, i, j);
    if (c.kind == TileConfig::Scaled)
      return times(alpha, sum);
    if (c.kind == TileConfig::Tanh) {
      Sum x = times(alpha, sum);
      return {std::tanh(x.value), x.error + 0x1p-21};
    }
    if (c.kind == TileConfig::Both)
      return times(times(alpha, sum), multiply(b2, i, j));
    double factor = rows.at(0, i) * columns.at(0, j), e = elements.at(i, j);
    Sum scaled = times({factor, 0}, sum);
    return {scaled.value + e, scaled.error + 0x1p-22 * std::fabs(e) +
                                  0x1p-22 * std::fabs(scaled.value)};
  }

  std::string compareOne(int64_t i, int64_t j) {
    Sum want = expected(i, j);
    size_t place = c.transposed ? j * c.m + i : i * out.columns + j;
    double got = rt::decode(out.format,
                            rt::loadCode(out.format, out.bytes.data(), place));
    double low = rt::roundTo(out.format, want.value - want.error,
                             rt::Overflow::NonFinite),
           high = rt::roundTo(out.format, want.value + want.error,
                              rt::Overflow::NonFinite);
    bool overflows = !std::isfinite(low) || !std::isfinite(high);
    if (overflows
            ? !std::isfinite(got) || std::isfinite(low) || std::isfinite(high)
            : low <= got && got <= high)
      return "";
    char text[160];
    std::snprintf(text, sizeof text, "[%lld, %lld] is %g, not %g +- %g",
                  (long long)i, (long long)j, got, want.value, want.error);
    return text;
  }

  std::string compare() {
    std::string first;
    int64_t wrong = 0;
    for (int64_t i = 0; i < c.m; ++i)
      for (int64_t j = 0; j < (c.transposed ? c.n : out.columns); ++j) {
        std::string error = compareOne(i, j);
        wrong += !error.empty();
        if (first.empty())
          first = error;
      }
    if (first.empty())
      return "";
    return std::to_string(wrong) + " results are wrong; " + first;
  }

  const TileKernel &kernel;
  const TileConfig &c;
  std::mt19937 random;
  Matrix a, b, b2, rows, columns, elements, scale, out, copy;
  std::shared_ptr<const DriverTable> driver;
  CUmodule module = nullptr;
  std::string failed;
};

} // namespace

std::string nibble::test::runTileKernel(const TileKernel &kernel, unsigned seed,
                                        unsigned runs) {
  return Run(kernel, seed).run(runs);
}
