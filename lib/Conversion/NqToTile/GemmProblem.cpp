// Reads a kernel function as one product, or several that share A.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmProblem.h"
#include "FusedPlan.h"

#include "nibble/Dialect/Tile/TileOps.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;
using cpu::Tensor;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static LogicalResult no(std::string &why, const Twine &reason) {
  why = reason.str();
  return failure();
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// Formats that the matrix units of all targets multiply.
static Type getMatrixElement(RankedTensorType type) {
  Type element = type.getElementType();
  if (nq::ScaledType scaled = nq::getScaledElement(type))
    element = scaled.getStorage();
  if (element.isF16() || element.isBF16() ||
      isa<Float8E4M3FNType, Float8E5M2Type>(element))
    return element;
  return {};
}

/// Elements from row to row if storage is row after row, the last of `order`
/// contiguous, with gaps only behind a row; 0 if it is not. `order` lists the
/// dimensions from slowest to fastest.
static int64_t getPitch(RankedTensorType type, ArrayRef<int64_t> order) {
  nq::LayoutAttr layout = nq::getLayout(type);
  int64_t k = type.getDimSize(order.back());
  if (!layout)
    return llvm::is_sorted(order) ? k : 0;
  if (!layout.getSwizzle().empty())
    return 0;
  int64_t stored = layout.getStorageSize(type.getShape()),
          rows = type.getNumElements() / k;
  // Digits of a dimension in their order are that dimension.
  SmallVector<int64_t> digits, firsts;
  int64_t next = 0;
  for (DenseI64ArrayAttr tiles : layout.getTiles()) {
    firsts.push_back(next);
    next += tiles.size() + 1;
  }
  for (int64_t dim : order)
    for (int64_t i = 0; i <= layout.getTiles()[dim].size(); ++i)
      digits.push_back(firsts[dim] + i);
  bool hasGaps = llvm::any_of(order.drop_back(), [&](int64_t dim) {
    return !layout.getTiles()[dim].empty();
  });
  if (!llvm::equal(digits, layout.getOrder()) ||
      (hasGaps && stored != type.getNumElements()))
    return 0;
  return stored / rows;
}

/// One scale in all, or one per row: it is the same for all of k.
static bool isScaledByRows(RankedTensorType type, int64_t kDim) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled)
    return true;
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  return !scaled.getZeroPoint() && block[kDim] >= type.getDimSize(kDim);
}

/// FP8 with f32 scales per 128 k, of a row or of 128 rows.
static LogicalResult readBlocks(RankedTensorType type, unsigned argument,
                                MatrixDims dims, bool isWeight,
                                MatrixOperand &operand, std::string &why) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  int64_t rows = block[dims.row];
  if (operand.element.getIntOrFloatBitWidth() != 8 || type.getRank() != 2 ||
      block[dims.k] != 128 || (rows != 1 && (rows != 128 || !isWeight)))
    return no(why, "scales along k are others than of FP8 matrices in blocks "
                   "of 128 k");
  if (!scaled.getScale().isF32() || scaled.getGlobal() || scaled.getZeroPoint())
    return no(why, "scales of blocks are not f32, or there are others");
  nq::LayoutAttr layout = nq::getLayout(type);
  nq::LayoutAttr wanted = isWeight ? getKMajorScalesLayout(type, dims)
                                   : getKMajorLayout(type, dims);
  if (layout != wanted)
    return no(why, "scales of blocks are not stored for it");
  operand.scaledRows = rows;
  operand.scales = {argument, nq::getStorageRegions(type).scales};
  return success();
}

/// Formats whose scales the matrix unit of Blackwell multiplies: NVFP4, and the
/// MX formats.
static int64_t getScaleBlock(RankedTensorType type, int64_t kDim) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled || scaled.getZeroPoint())
    return 0;
  Type storage = scaled.getStorage(), scale = scaled.getScale();
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  for (auto [d, extent] : llvm::enumerate(block))
    if (int64_t(d) != kDim && extent != 1)
      return 0;
  bool isFp4 = isa<Float4E2M1FNType>(storage);
  if (isFp4 && isa<Float8E4M3FNType>(scale) && block[kDim] == 16)
    return 16;
  bool isMx = isFp4 || isa<Float8E4M3FNType, Float8E5M2Type>(storage);
  return isMx && isa<Float8E8M0FNUType>(scale) && block[kDim] == 32 ? 32 : 0;
}

/// Codes K-major, scales in tiles of 128 x 4.
static LogicalResult readBlockScaled(RankedTensorType type, unsigned argument,
                                     MatrixDims dims, int64_t block,
                                     MatrixOperand &operand, std::string &why) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  nq::LayoutAttr layout = nq::getLayout(type);
  if (layout != getBlockScaledLayout(type, dims) &&
      layout != getSpreadLayout(type, dims))
    return no(why, "scales of blocks are not stored in tiles of 128 x 4");
  if (type.getNumElements() !=
      type.getDimSize(dims.row) * type.getDimSize(dims.k))
    return no(why, "several matrices with block scales in one operand");
  operand.element = scaled.getStorage();
  operand.scaleBlock = block;
  operand.scaleElement = scaled.getScale();
  operand.scales = {argument, nq::getStorageRegions(type).scales};
  return success();
}

static LogicalResult readOperand(Value value, StringRef name, bool kLast,
                                 bool tensorMemory, MatrixOperand &operand,
                                 std::string &why) {
  RankedTensorType type = typeOf(value);
  auto argument = dyn_cast<BlockArgument>(value);
  if (!argument)
    return no(why, name + " is computed in the same kernel");
  int64_t rank = type.getRank(), kDim = kLast ? rank - 1 : rank - 2;
  operand.element = getMatrixElement(type);
  MatrixDims dims{kLast ? rank - 2 : rank - 1, kDim};
  int64_t block = tensorMemory ? getScaleBlock(type, kDim) : 0;
  if (!operand.element && !block)
    return no(why, name + " has a format that the matrix unit does not take");
  bool isWeight = name == "B";
  if (block) {
    if (failed(readBlockScaled(type, argument.getArgNumber(), dims, block,
                               operand, why)))
      return no(why, name + ": " + why);
  } else if (!isScaledByRows(type, kDim)) {
    if (failed(readBlocks(type, argument.getArgNumber(), dims, isWeight,
                          operand, why)))
      return no(why, name + " has scales along k: " + why);
  }
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(rank));
  if (!kLast)
    std::swap(order[rank - 1], order[rank - 2]);
  operand.pitch = getPitch(type, order);
  if (!operand.pitch)
    return no(why, name + " is not stored K-major");
  operand.k = type.getDimSize(kDim);
  operand.rows = type.getNumElements() / operand.k;
  operand.place = {argument.getArgNumber(), nq::getStorageRegions(type).codes};
  int64_t bits = operand.element.getIntOrFloatBitWidth();
  if (operand.pitch * bits % 128)
    return no(why, "rows of " + name + " are " +
                       Twine(operand.pitch * bits / 8) +
                       " bytes; the copy engine wants multiples of 16");
  return success();
}

int64_t ExpandedWeight::getStageBytes() const {
  int64_t bytes = format.stageK * format.bits / 8;
  if (scale)
    bytes += format.stageBlocks() * scale.getIntOrFloatBitWidth() / 8;
  return bytes;
}

/// A weight of 4 or 8 bits, next to activations of 16.
static LogicalResult readExpanded(nq::MatmulOp op, bool tensorMemory,
                                  Type element, MatrixOperand &b,
                                  ExpandedWeight &weight, std::string &why) {
  RankedTensorType type = typeOf(op.getB());
  auto argument = dyn_cast<BlockArgument>(op.getB());
  if (!argument)
    return no(why, "B is computed in the same kernel");
  MatrixDims dims = op.getTransposeB() ? MatrixDims{0, 1} : MatrixDims{1, 0};
  auto format = getFragmentFormat(type, dims, element, why);
  if (!format)
    return failure();
  if (nq::getLayout(type) != (tensorMemory
                                  ? getLaneLayout(type, dims, element)
                                  : getFragmentLayout(type, dims, element)))
    return no(why, "the weight is not stored for it");
  nq::ScaledType scaled = nq::getScaledElement(type);
  nq::StorageRegions regions = nq::getStorageRegions(type);
  weight.format = *format;
  weight.storage = scaled.getStorage();
  weight.scale = format->block ? scaled.getScale() : Type();
  weight.scales = {argument.getArgNumber(), regions.scales};
  auto exponent = tile::ExpandOp::getExactExponent(
      weight.storage, format->scalesSums ? Type() : weight.scale, element);
  if (!exponent)
    return no(why, "codes and scales are not exact in 16 bits");
  weight.exponent = *exponent;
  b.element = element;
  b.rows = type.getDimSize(dims.row);
  b.k = type.getDimSize(dims.k);
  b.place = {argument.getArgNumber(), regions.codes};
  return success();
}

static bool isNarrow(RankedTensorType type) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  return scaled && scaled.getStorageBits() <= 8;
}

static LogicalResult readProduct(nq::MatmulOp op, bool tensorMemory,
                                 MatrixOperand &a, MatrixOperand &b,
                                 std::optional<ExpandedWeight> &expanded,
                                 std::string &why) {
  if (!op.getEpilogue().empty())
    return no(why, "the matmul has an epilogue of its own");
  if (typeOf(op.getB()).getRank() != 2)
    return no(why, "B is batched");
  if (failed(readOperand(op.getA(), "A", true, tensorMemory, a, why)))
    return failure();
  if (isNarrow(typeOf(op.getB())) && a.element.getIntOrFloatBitWidth() == 16)
    return readExpanded(op, tensorMemory, a.element, b, expanded.emplace(),
                        why);
  if (failed(readOperand(op.getB(), "B", op.getTransposeB(), tensorMemory, b,
                         why)))
    return failure();
  if (a.scaleBlock != b.scaleBlock || a.scaleElement != b.scaleElement)
    return no(why, "A and B have scales of different blocks");
  for (MatrixOperand *operand : {&a, &b}) {
    operand->spread = operand->element.getIntOrFloatBitWidth() == 4 &&
                      (a.element.getIntOrFloatBitWidth() == 8 ||
                       b.element.getIntOrFloatBitWidth() == 8);
    // CUDA driver API, cuTensorMapEncodeTiled: 16U4_ALIGN16B.
    if (operand->spread && operand->pitch % 128)
      return no(why, "rows of " + Twine(operand->pitch) +
                         " elements are no multiple of 128: the copy engine "
                         "spreads whole boxes of codes of 4 bits");
  }
  if ((a.scaledRows > 0) != (b.scaledRows > 0))
    return no(why, "one operand alone has scales along k");
  bool areBytes = a.element.getIntOrFloatBitWidth() == 8;
  if (a.element != b.element && !a.spread && !b.spread &&
      !(areBytes && b.element.getIntOrFloatBitWidth() == 8))
    return no(why, "A and B have different formats");
  return success();
}

LogicalResult GemmProblem::readProducts(const cpu::ProductSpace &space,
                                        std::string &why) {
  if (space.groups.size() != 1)
    return no(why,
              Twine(space.groups.size()) + " groups of products in one kernel");
  const cpu::ProductGroup &group = space.groups.front();
  if (group.attention)
    return no(why, "it is attention");
  m = group.rows;
  n = group.columns;
  for (nq::MatmulOp op : group.products) {
    MatrixOperand left, right;
    std::optional<ExpandedWeight> expanded;
    if (failed(readProduct(op, tensorMemory, left, right, expanded, why)))
      return failure();
    if (!factors.empty() && !(left.place == a.place))
      return no(why, "products have different A");
    if (!factors.empty() && right.element != factors[0].b.element)
      return no(why, "products have B of different formats");
    if (!factors.empty() &&
        (expanded.has_value() != factors[0].expanded.has_value() ||
         right.scaledRows != factors[0].b.scaledRows ||
         (expanded &&
          (expanded->storage != factors[0].expanded->storage ||
           expanded->scale != factors[0].expanded->scale ||
           expanded->format.block != factors[0].expanded->format.block))))
      return no(why, "products have B of different formats");
    a = left;
    factors.push_back({op, right, &graph.plainOf(op.getResult()), expanded});
  }
  k = a.k;
  if (factors.size() > 2)
    return no(why, Twine(factors.size()) + " products in one kernel");
  return success();
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

void GemmProblem::placeTensors(const cpu::ProductSpace &space) {
  for (const auto &[value, member] : space.members) {
    Tensor &tensor = graph.isScaled(value) ? *graph.scaledOf(value).codes
                                           : graph.plainOf(value);
    tensor.place = member.place;
    tensor.product = member.group;
    if (member.scales)
      graph.scaledOf(value).scales->place = member.scales;
  }
}

/// Offsets of the parts of a value, in the order of KernelGraph::partsOf.
static SmallVector<int64_t> getPartOffsets(RankedTensorType type) {
  nq::StorageRegions regions = nq::getStorageRegions(type);
  nq::ScaledType scaled = nq::getScaledElement(type);
  SmallVector<int64_t> offsets{regions.codes};
  if (!scaled)
    return offsets;
  offsets.push_back(regions.scales);
  if (scaled.getGlobal())
    offsets.push_back(regions.global);
  if (scaled.getZeroPoint())
    offsets.push_back(regions.zeroPoints);
  return offsets;
}

void GemmProblem::bindArguments(Block &body) {
  for (BlockArgument argument : body.getArguments())
    for (auto [part, offset] :
         llvm::zip(graph.partsOf(argument), getPartOffsets(typeOf(argument)))) {
      part->stored = true;
      part->buffer.element = part->element;
      places[part] = {argument.getArgNumber(), offset};
    }
}

/// Columns that share an element of a result.
static int64_t getBlock(const GemmProblem &problem, const Tensor &tensor) {
  int64_t all = problem.m * problem.n;
  return tensor.size() && all % tensor.size() == 0 ? all / tensor.size() : 1;
}

/// Dense, row after row of the product, an element for each `block` columns.
static bool isDense(const GemmProblem &problem, const Tensor &tensor,
                    int64_t block) {
  int64_t stride = 1;
  for (size_t d = tensor.shape.size(); d-- > 0;) {
    const cpu::Placement::Digit &digit = tensor.place->digits[d];
    int64_t step = digit.stride * (digit.column ? 1 : problem.n);
    if (digit.stride && step != stride * block)
      return false;
    stride *= tensor.shape[d];
  }
  return tensor.size() * block == problem.m * problem.n;
}

/// Of rows of the last dimension; 0 if they do not lie one behind the other.
static int64_t getPitch(RankedTensorType type) {
  if (!type.getRank())
    return 0;
  return getPitch(type, llvm::to_vector(llvm::seq<int64_t>(type.getRank())));
}

/// The same where there are gaps behind rows; 0 where there are none.
static int64_t getPitchWithGaps(RankedTensorType type) {
  int64_t pitch = getPitch(type);
  return pitch && pitch != type.getShape().back() ? pitch : 0;
}

/// Stored as block-scaled products of Blackwell read their operands, the codes
/// row after row.
static bool isBlockScaled(RankedTensorType type) {
  int64_t rank = type.getRank();
  if (rank < 2 || !nq::getScaledElement(type))
    return false;
  int64_t rows = type.getDimSize(rank - 2), k = type.getDimSize(rank - 1);
  return type.getNumElements() == rows * k &&
         nq::getLayout(type) ==
             getBlockScaledLayout(type, {rank - 2, rank - 1}) &&
         getPitch(type);
}

LogicalResult GemmProblem::addResult(GemmResult result, std::string &why) {
  Tensor &tensor = *result.tensor;
  result.block = getBlock(*this, tensor);
  if (!isDense(*this, tensor, result.block))
    return no(why, "a result does not lie as the product does");
  int64_t bits = result.isPacked()
                     ? 4
                     : cpu::storageType(tensor.element).getIntOrFloatBitWidth();
  if (!result.pitch)
    result.pitch = n;
  if (result.block == 1 && result.pitch * bits % 128)
    return no(why, "rows of a result are " + Twine(result.pitch * bits / 8) +
                       " bytes; the copy engine wants multiples of 16");
  if (result.block > 1 && (result.isPacked() || result.block % 8))
    return no(why, "a result has an element for each " + Twine(result.block) +
                       " columns");
  results.push_back(result);
  return success();
}

LogicalResult GemmProblem::readResults(Block &body, std::string &why) {
  for (auto [i, value] : llvm::enumerate(body.getTerminator()->getOperands())) {
    unsigned number = body.getNumArguments() + i;
    RankedTensorType type = typeOf(value);
    if (isa<BlockArgument>(value))
      return no(why, "a result is an operand");
    for (auto [part, offset] :
         llvm::zip(graph.partsOf(value), getPartOffsets(type))) {
      Place place{number, offset};
      if (!part->place && part->size() > 16)
        return no(why, "a result of " + Twine(part->size()) +
                           " elements depends on no product");
      if (!part->place) {
        passed.push_back({place, part});
        continue;
      }
      bool inTiles = tensorMemory && isBlockScaled(type);
      bool areCodes = part == graph.partsOf(value).front();
      bool lies = !part->layout || part->layout.isRowMajor() || inTiles;
      int64_t pitch = areCodes ? getPitchWithGaps(type) : 0;
      if (pitch ? part->shape.back() != n : !lies)
        return no(why, "a result does not lie as the product does");
      if (failed(addResult(
              {place, part, /*block=*/1, pitch, inTiles && !areCodes}, why)))
        return failure();
    }
  }
  if (results.empty())
    return no(why, "no result depends on the product");
  return success();
}

GemmShape GemmProblem::getShape() const {
  GemmShape shape{m, n, k};
  shape.operandBits = a.spread ? 8 : a.element.getIntOrFloatBitWidth();
  shape.products = factors.size();
  shape.tensorMemory = tensorMemory;
  shape.scaleBlock = a.scaleBlock;
  if (const auto &expanded = factors[0].expanded) {
    shape.tileK = expanded->format.stageK;
    shape.expandedBytes = expanded->getStageBytes();
    shape.expandedBits = expanded->format.bits;
    shape.promotes = expanded->format.scalesSums;
    // In stages of their own, of a whole block.
    if (shape.promotes && tensorMemory) {
      shape.promotedK = expanded->format.block;
      shape.promotedBytes = expanded->scale.getIntOrFloatBitWidth() / 8;
      shape.expandedBytes = shape.tileK * shape.expandedBits / 8;
    }
  }
  if (a.scaledRows) {
    shape.promotes = true;
    shape.promotedK = tensorMemory ? shape.getTileK() : 0;
    shape.scaledColumns = factors[0].b.scaledRows;
  }
  shape.results.clear();
  for (const GemmResult &result : results)
    if (result.isPacked())
      ++shape.packedResults;
    else if (result.block == 1)
      shape.results.push_back(
          cpu::storageType(result.tensor->element).getIntOrFloatBitWidth() / 8);
  return shape;
}

LogicalResult GemmProblem::read(Block &body, std::string &why) {
  auto space = cpu::mapProducts(body, why, /*forCpu=*/false);
  if (failed(space) ||
      failed(cpu::readQuietly(graph, body, /*products=*/true, why)))
    return failure();
  placeTensors(*space);
  bindArguments(body);
  if (!graph.constants.empty())
    return no(why, "the kernel has a constant array of its own");
  if (failed(readProducts(*space, why)))
    return failure();
  return readResults(body, why);
}
