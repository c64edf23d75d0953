// How matrix products and the ops behind them run as one kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "FusedPlan.h"
#include "nibble/Conversion/NqToCpu/KernelToLoops.h"
#include "nibble/Conversion/NqToCpu/MatmulKernel.h"

#include "llvm/Support/Threading.h"

#include <numeric>

using namespace mlir;

namespace nibble {
namespace cpu {

/// Columns of a block: long enough for the vectors of the tail, few enough to
/// stay in the L1 cache with all that is computed from them.
constexpr int64_t kGoodBlock = 256;
/// More columns that belong together would need too large strips.
constexpr int64_t kLargestBlock = 2048;
/// Strips share the L2 cache with the packed A, and one packing of A.
constexpr int64_t kStripBytes = 256 << 10;
constexpr int64_t kStripColumns = 1024;
constexpr int64_t kUnitsPerThread = 4;
constexpr int64_t kRowsOfSegment = 168;

LogicalResult FusedPlan::make(Block &body, std::string &why) {
  FailureOr<ProductSpace> space = mapProducts(body, why);
  if (failed(space) || failed(readQuietly(graph, body, true, why)))
    return failure();
  placeTensors(*space);
  stages.choose(body.getTerminator()->getOperands());
  groups.resize(space->groups.size());
  if (failed(sortStages(why)))
    return failure();
  for (auto [from, group] : llvm::zip(space->groups, groups))
    if (failed(planGroup(from, group, why)))
      return failure();
  return success();
}

LogicalResult readQuietly(KernelGraph &graph, Block &body, bool products,
                          std::string &why) {
  // Other threads report to their own users.
  uint64_t thread = llvm::get_threadid();
  ScopedDiagnosticHandler handler(
      body.getParentOp()->getContext(), [&](Diagnostic &diagnostic) {
        if (llvm::get_threadid() != thread ||
            diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return failure();
        if (why.empty())
          why = diagnostic.str();
        return success();
      });
  return graph.read(body, products);
}

void FusedPlan::placeTensors(const ProductSpace &space) {
  for (const auto &[value, member] : space.members) {
    auto place = [&, number = member.group](Tensor &tensor,
                                            const Placement &placement) {
      tensor.product = number;
      tensor.place = placement;
    };
    if (!graph.isScaled(value)) {
      place(graph.plainOf(value), member.place);
      continue;
    }
    ScaledTensor &scaled = graph.scaledOf(value);
    place(*scaled.codes, member.place);
    if (member.scales)
      place(*scaled.scales, *member.scales);
  }
  for (Tensor &tensor : graph.tensors)
    if (tensor.alike && tensor.alike->place) {
      tensor.product = tensor.alike->product;
      tensor.place = tensor.alike->place;
    }
}

static bool dependsOnProduct(const Tensor &tensor) {
  return tensor.product >= 0 ||
         llvm::any_of(tensor.sources, [](const Tensor *source) {
           return dependsOnProduct(*source);
         });
}

/// Stages of a group read each other and nothing else that is computed.
LogicalResult FusedPlan::sortStages(std::string &why) {
  for (auto [i, stage] : llvm::enumerate(stages.stages)) {
    int product = stage.tensors.front()->product;
    for (Tensor *tensor : stage.tensors)
      if (product < 0 && dependsOnProduct(*tensor)) {
        why = "a value that depends on a product has no place in its columns";
        return failure();
      }
    for (int other : stages.getReads(i))
      if (product < 0 ||
          stages.stages[other].tensors.front()->product != product) {
        why = "the kernel computes an operand of its own";
        return failure();
      }
    if (product >= 0) {
      groups[product].stages.push_back(i);
      continue;
    }
    auto nests = buildNests(stage, i, 0, context);
    CpuKernelOptions options;
    for (auto &nest : *nests)
      planNest(*nest, {options.vectorBits, options.grainElements});
    independent.push_back(std::move(*nests));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

/// A multiple of `unit` columns; if possible one that divides all of them, and
/// gives all threads some blocks.
static int64_t chooseBlock(const FusedGroup &group, int64_t unit,
                           int64_t split) {
  int64_t segments = ceilDiv(group.rows, kRowsOfSegment);
  int64_t wanted = kUnitsPerThread * GemmSpec().threads;
  int64_t best = unit;
  for (int64_t block = unit; block <= kGoodBlock; block += unit)
    if (segments * ceilDiv(group.columns, block) >= wanted &&
        (block % split == 0 || split % block == 0))
      best = block;
  for (int64_t block = best; 2 * block > best; block -= unit)
    if (group.columns % block == 0 &&
        (block % split == 0 || split % block == 0))
      return block;
  return best;
}

static std::string whyLongRuns(const ProductGroup &group) {
  return "runs of " + std::to_string(group.run) +
         " columns that belong together are longer than a block";
}

LogicalResult FusedPlan::planGroup(const ProductGroup &from, FusedGroup &group,
                                   std::string &why) {
  group.rows = from.rows;
  group.columns = from.columns;
  if (from.attention)
    return planAttention(from, group, why);
  int64_t unit = std::lcm(kPanelColumns, from.run);
  // Whole heads, unless they are too long.
  if (int64_t whole = std::lcm(unit, from.split); whole <= kLargestBlock)
    unit = whole;
  if (unit > kLargestBlock) {
    why = whyLongRuns(from);
    return failure();
  }
  group.block = chooseBlock(group, unit, from.split);
  group.blocks = ceilDiv(group.columns, group.block);
  int64_t rows = std::min(group.rows, kRowsOfSegment);
  int64_t columns =
      std::min(kStripColumns, kStripBytes / (2 * rows)) / from.products.size();
  group.stripBlocks =
      std::clamp<int64_t>(columns / group.block, 1, group.blocks);
  for (nq::MatmulOp op : from.products)
    group.products.push_back({op, &graph.plainOf(op.getResult()), {}, {}});
  if (failed(planProducts(group, why)))
    return failure();
  keepBlocks(group);
  return planTails(group, why);
}

/// A block is the heads of a stack, or as many as scale blocks ask for.
LogicalResult FusedPlan::planAttention(const ProductGroup &from,
                                       FusedGroup &group, std::string &why) {
  nq::AttentionOp op = from.attention;
  group.attention.emplace(op);
  group.attentionTensor = &graph.plainOf(op.getResult());
  int64_t stack = group.attention->stack * group.attention->width;
  group.block = std::lcm(stack, from.run);
  if (group.block > std::max(stack, kLargestBlock) ||
      group.columns % group.block) {
    why = whyLongRuns(from);
    return failure();
  }
  group.blocks = group.columns / group.block;
  group.stripBlocks = 1;
  keepBlocks(group);
  return planTails(group, why);
}

LogicalResult FusedPlan::planProducts(FusedGroup &group, std::string &why) {
  for (FusedProduct &product : group.products) {
    product.spec = describeGemm(product.op);
    product.spec.strideC = group.stripColumns();
    // A unit is a block of columns, not a panel.
    product.spec.threads *= group.block / kPanelColumns;
    product.launch = planGemm(product.spec);
    FusedProduct &first = group.products.front();
    if (product.op.getA() != first.op.getA()) {
      why = "products that meet multiply different left operands";
      return failure();
    }
    if (product.launch.rowBlocks != first.launch.rowBlocks ||
        product.launch.rows != first.launch.rows ||
        product.spec.weight.octets != first.spec.weight.octets) {
      why = "products that meet have kernels with different blocks of rows "
            "or copies of the left operand";
      return failure();
    }
  }
  return success();
}

/// Buffers in the scratch hold one block of columns of one row.
void FusedPlan::keepBlocks(FusedGroup &group) {
  auto keep = [&](Tensor &tensor) {
    tensor.blockElements = ceilDiv(group.block, tensor.place->columnStep());
  };
  for (FusedProduct &product : group.products)
    keep(*product.tensor);
  if (group.attention)
    keep(*group.attentionTensor);
  for (unsigned i : group.stages)
    for (Tensor *tensor : stages.stages[i].tensors)
      if (tensor->place && !stages.isResult(tensor))
        keep(*tensor);
}

static std::string whyNoNests(const Stage &stage) {
  for (const Tensor *tensor : stage.tensors)
    if (isPacked(tensor->element) && tensor->shape.back() % 2)
      return "rows of an odd number of 4-bit codes share bytes";
  return "an op behind a product needs more than a block of its columns";
}

LogicalResult FusedPlan::planTails(FusedGroup &group, std::string &why) {
  int64_t whole = group.columns / group.block,
          rest = group.columns % group.block;
  if (whole)
    group.tails.push_back(
        {{group.rows, 0, whole, group.block, /*isLast=*/rest == 0}, {}});
  if (rest)
    group.tails.push_back({{group.rows, whole * group.block, 1, rest}, {}});
  CpuKernelOptions options;
  for (FusedTail &tail : group.tails)
    for (unsigned i : group.stages) {
      auto nests = buildNests(stages.stages[i], i, tail.columns, context);
      if (!nests) {
        why = whyNoNests(stages.stages[i]);
        return failure();
      }
      for (auto &nest : *nests)
        planNest(*nest, {options.vectorBits, options.grainElements});
      tail.nests.push_back(std::move(*nests));
    }
  return success();
}

} // namespace cpu
} // namespace nibble
