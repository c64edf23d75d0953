// Where the values of a fused kernel lie in the index space (row, column) of
// its matrix products.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ProductSpace.h"
#include "nibble/Conversion/NqToCpu/AttentionKernel.h"
#include "nibble/Conversion/NqToCpu/MatmulKernel.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

#include <numeric>

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

using Digit = Placement::Digit;

ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

class SpaceReader {
public:
  SpaceReader(std::string &why, bool forCpu) : why(why), forCpu(forCpu) {}

  LogicalResult read(Block &body) {
    for (Operation &op : body.without_terminator())
      if (failed(readOp(op)))
        return failure();
    return success();
  }

  /// Groups in the order of their first products.
  ProductSpace finish() {
    ProductSpace space;
    DenseMap<unsigned, unsigned> numbers;
    for (unsigned i = 0; i < sets.size(); ++i) {
      unsigned root = rootOf(i);
      auto [it, isNew] = numbers.try_emplace(root, space.groups.size());
      if (isNew) {
        ProductGroup &group = space.groups.emplace_back();
        group.rows = sets[root].rows;
        group.columns = sets[root].columns;
        group.run = sets[root].run;
        group.split = sets[root].split;
      }
      ProductGroup &group = space.groups[it->second];
      if (sets[i].attention)
        group.attention = sets[i].attention;
      else
        group.products.push_back(sets[i].product);
    }
    for (auto &[value, member] : members) {
      ProductSpace::Member copy = member;
      copy.group = numbers.lookup(rootOf(member.group));
      space.members.insert({value, copy});
    }
    return space;
  }

private:
  using Member = ProductSpace::Member;

  /// One product; sets that meet are united.
  struct Set {
    nq::MatmulOp product;
    unsigned parent;
    int64_t rows, columns, run = 1, split = 1;
    nq::AttentionOp attention = {};
  };

  unsigned rootOf(unsigned i) const {
    while (sets[i].parent != i)
      i = sets[i].parent;
    return i;
  }

  LogicalResult no(Operation *op, const Twine &reason) {
    why = ("'" + op->getName().getStringRef() + "' " + reason).str();
    return failure();
  }

  const Member *find(Value value) const {
    auto it = members.find(value);
    return it == members.end() ? nullptr : &it->second;
  }

  LogicalResult unite(Operation *op, unsigned a, unsigned b) {
    Set &x = sets[rootOf(a)], &y = sets[rootOf(b)];
    if (x.rows != y.rows || x.columns != y.columns)
      return no(op, "joins products of different shapes");
    if (&x == &y)
      return success();
    if (x.attention || y.attention)
      return no(op, "joins attention and another product");
    x.run = std::lcm(x.run, y.run);
    x.split = std::lcm(x.split, y.split);
    y.parent = x.parent;
    return success();
  }

  void keepTogether(const Member &member, int64_t columns) {
    Set &set = sets[rootOf(member.group)];
    set.run = std::lcm(set.run, columns);
  }

  void noteSplit(const Member &member, int64_t columns) {
    Set &set = sets[rootOf(member.group)];
    set.split = std::lcm(set.split, columns);
  }

  bool reads(Operation &op) const {
    bool found = false;
    op.walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        found |= members.contains(operand);
    });
    return found;
  }

  LogicalResult readOp(Operation &op) {
    if (auto matmul = dyn_cast<nq::MatmulOp>(op))
      return readProduct(matmul);
    if (auto attention = dyn_cast<nq::AttentionOp>(op))
      return readAttention(attention);
    if (!reads(op))
      return success();
    return llvm::TypeSwitch<Operation *, LogicalResult>(&op)
        .Case<linalg::SoftmaxOp, nq::NormOp>(
            [&](auto o) { return no(o, "needs whole rows of a product"); })
        .Case<linalg::LinalgOp>([&](auto o) { return readLinalg(o); })
        .Case<tensor::ExpandShapeOp>([&](auto o) { return readExpand(o); })
        .Case<tensor::CollapseShapeOp>([&](auto o) { return readCollapse(o); })
        .Case<nq::QuantizeOp>([&](auto o) { return readQuantize(o); })
        .Case<nq::DequantizeOp, nq::CastOp, nq::WidenOp>([&](auto o) {
          members.insert({o.getResult(), {*find(o.getInput())}});
          members.find(o.getResult())->second.scales.reset();
          return success();
        })
        .Case<nq::ReformatOp>([&](auto o) { return readReformat(o); })
        .Case<nq::StatisticsOp>([&](auto o) { return readStatistics(o); })
        .Case<nq::RopeOp>([&](auto o) { return readRope(o); })
        .Default([&](Operation *other) {
          return no(other, "cannot follow a product in its kernel");
        });
  }

  /// GPU kernels take reshapes of operands, which move nothing.
  bool isOperand(Operation *op, Value value) const {
    while (Operation *from = forCpu ? nullptr : value.getDefiningOp()) {
      if (!isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(from))
        return false;
      value = from->getOperand(0);
    }
    auto argument = dyn_cast<BlockArgument>(value);
    return argument && argument.getOwner() == op->getBlock();
  }

  LogicalResult readAttention(nq::AttentionOp op) {
    for (Value operand : op->getOperands())
      if (!isOperand(op, operand))
        return no(op, "has an operand that is computed in the kernel");
    if (std::string reason = whyNoAttention(op); !reason.empty())
      return no(op, "has no kernel: " + reason);
    ArrayRef<int64_t> shape = shapeOf(op.getResult());
    int64_t queries = shape[2], width = shape[3];
    unsigned number = sets.size();
    sets.push_back({{}, number, shape[0] * queries, shape[1] * width});
    sets.back().attention = op;
    Digit digits[] = {{false, queries}, {true, width}, {false, 1}, {true, 1}};
    Placement place;
    for (auto [extent, digit] : llvm::zip(shape, digits))
      place.digits.push_back(extent == 1 ? Digit() : digit);
    members.insert({op.getResult(), {number, place, std::nullopt}});
    return success();
  }

  LogicalResult readProduct(nq::MatmulOp op) {
    if (!isOperand(op, op.getA()) || !isOperand(op, op.getB()))
      return no(op, "has an operand that is computed in the kernel");
    if (!op.getEpilogue().empty())
      return no(op, "has an epilogue of its own");
    if (std::string reason = forCpu ? whyNoGemm(op) : ""; !reason.empty())
      return no(op, "has no GEMM: " + reason);
    if (cast<RankedTensorType>(op.getB().getType()).getRank() != 2)
      return no(op, "is a batch of products");
    ArrayRef<int64_t> shape = shapeOf(op.getResult());
    unsigned number = sets.size();
    int64_t columns = shape.back(),
            rows = ShapedType::getNumElements(shape.drop_back());
    sets.push_back({op, number, rows, columns});
    Placement place;
    SmallVector<int64_t> strides = stridesOf(shape.drop_back());
    for (auto [extent, stride] : llvm::zip(shape.drop_back(), strides))
      place.digits.push_back({false, extent == 1 ? 0 : stride});
    place.digits.push_back(columns == 1 ? Digit() : Digit{true, 1});
    members.insert({op.getResult(), {number, place, std::nullopt}});
    return success();
  }

  //===--------------------------------------------------------------------===//
  // linalg
  //===--------------------------------------------------------------------===//

  LogicalResult readLinalg(linalg::LinalgOp op) {
    if (op.getNumReductionLoops())
      return no(op, "reduces over elements of a product");
    bool gathers = false;
    op->walk([&](tensor::ExtractOp extract) {
      gathers |= members.contains(extract.getTensor());
    });
    if (gathers)
      return no(op, "reads elements of a product at computed indices");
    SmallVector<std::optional<Digit>> loops(op.getNumLoops());
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    for (auto [loop, range] : llvm::zip(loops, ranges))
      if (range == 1)
        loop = Digit();
    std::optional<unsigned> group;
    for (OpOperand &operand : op->getOpOperands())
      if (const Member *member = find(operand.get()))
        if (failed(noteOperand(op, operand, *member, loops, group)))
          return failure();
    for (Value result : op->getResults())
      if (failed(placeResult(op, cast<OpResult>(result), loops, *group)))
        return failure();
    return success();
  }

  LogicalResult noteOperand(linalg::LinalgOp op, OpOperand &operand,
                            const Member &member,
                            MutableArrayRef<std::optional<Digit>> loops,
                            std::optional<unsigned> &group) {
    if (group && failed(unite(op, *group, member.group)))
      return failure();
    group = member.group;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [expr, digit] :
         llvm::zip(map.getResults(), member.place.digits)) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (!dim && digit.stride)
        return no(op, "reads a product other than element by element");
      if (!dim)
        continue;
      std::optional<Digit> &loop = loops[dim.getPosition()];
      if (loop && !(*loop == digit))
        return no(op, "joins elements from different places of products");
      loop = digit;
    }
    return success();
  }

  LogicalResult placeResult(linalg::LinalgOp op, OpResult result,
                            ArrayRef<std::optional<Digit>> loops,
                            unsigned group) {
    Placement place;
    for (AffineExpr expr :
         op.getIndexingMapMatchingResult(result).getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (dim && !loops[dim.getPosition()])
        return no(op, "repeats elements of a product");
      place.digits.push_back(dim ? *loops[dim.getPosition()] : Digit());
    }
    members.insert({result, {group, place, std::nullopt}});
    return success();
  }

  //===--------------------------------------------------------------------===//
  // Shapes
  //===--------------------------------------------------------------------===//

  LogicalResult readExpand(tensor::ExpandShapeOp op) {
    const Member source = *find(op.getSrc());
    ArrayRef<int64_t> shape = shapeOf(op.getResult());
    Placement place;
    place.digits.resize(shape.size());
    for (auto [digit, group] :
         llvm::zip(source.place.digits, op.getReassociationIndices())) {
      int64_t stride = digit.stride;
      for (int64_t d : llvm::reverse(group)) {
        if (shape[d] != 1)
          place.digits[d] = {digit.column, stride};
        if (digit.column && shape[d] != 1)
          noteSplit(source, stride);
        stride *= shape[d];
      }
    }
    members.insert({op.getResult(), {source.group, place, std::nullopt}});
    return success();
  }

  LogicalResult readCollapse(tensor::CollapseShapeOp op) {
    const Member source = *find(op.getSrc());
    ArrayRef<int64_t> shape = shapeOf(op.getSrc());
    Placement place;
    for (ReassociationIndices group : op.getReassociationIndices()) {
      Digit merged;
      int64_t next = 0;
      for (int64_t d : llvm::reverse(group)) {
        Digit digit = source.place.digits[d];
        if (digit.stride == 0)
          continue;
        if (merged.stride &&
            (digit.column != merged.column || digit.stride != next))
          return no(op, "merges rows and columns of a product");
        if (!merged.stride)
          merged = digit;
        next = digit.stride * shape[d];
      }
      place.digits.push_back(merged);
    }
    members.insert({op.getResult(), {source.group, place, std::nullopt}});
    return success();
  }

  //===--------------------------------------------------------------------===//
  // nq
  //===--------------------------------------------------------------------===//

  LogicalResult readQuantize(nq::QuantizeOp op) {
    const Member *input = find(op.getInput());
    if (!input)
      return no(op, "has scales that depend on a product");
    for (Value other : op->getOperands())
      if (other != op.getInput() && members.contains(other))
        return no(op, "has scales that depend on a product");
    if (nq::getLayout(op.getResult().getType()))
      return no(op, "has a result with a layout");
    Member member = *input;
    member.scales.reset();
    if (!op.getScale() && failed(placeScales(op, member)))
      return failure();
    members.insert({op.getResult(), member});
    return success();
  }

  LogicalResult placeScales(nq::QuantizeOp op, Member &member) {
    ArrayRef<int64_t> shape = shapeOf(op.getInput());
    nq::ScaledType type = nq::getScaledElement(op.getResult().getType());
    auto place = placeBlocks(op, member, shape, type.getBlockFor(shape));
    if (failed(place))
      return failure();
    member.scales = *place;
    return success();
  }

  /// Where values lie that are computed from whole blocks of `member`.
  FailureOr<Placement> placeBlocks(Operation *op, const Member &member,
                                   ArrayRef<int64_t> shape,
                                   ArrayRef<int64_t> block) {
    int64_t columns = sets[rootOf(member.group)].columns;
    Placement place = member.place;
    for (auto [digit, extent, whole] : llvm::zip(place.digits, shape, block)) {
      if (whole == 1 || extent == 1)
        continue;
      if (!digit.column)
        return no(op, "has blocks that cover several rows");
      int64_t size = std::min(whole, extent);
      bool fits = extent % size == 0 || digit.stride * extent == columns;
      if (!fits)
        return no(op, "has blocks that do not fit its dimensions");
      keepTogether(member, digit.stride * size);
      digit.stride = size == extent ? 0 : digit.stride * size;
    }
    return place;
  }

  /// Another order in memory: kernels say which they store.
  LogicalResult readReformat(nq::ReformatOp op) {
    if (forCpu)
      return no(op, "cannot follow a product in its kernel");
    const Member member = *find(op.getInput());
    members.insert({op.getResult(), member});
    return success();
  }

  LogicalResult readStatistics(nq::StatisticsOp op) {
    const Member member = *find(op.getInput());
    ArrayRef<int64_t> shape = shapeOf(op.getInput());
    SmallVector<int64_t> block(shape.size(), 1);
    block.back() = op.getTile();
    auto place = placeBlocks(op, member, shape, block);
    if (failed(place))
      return failure();
    for (Value sums : op.getSums())
      members.insert({sums, {member.group, *place, std::nullopt}});
    return success();
  }

  LogicalResult readRope(nq::RopeOp op) {
    const Member *input = find(op.getInput());
    if (!input || members.contains(op.getCos()) ||
        members.contains(op.getSin()))
      return no(op, "has angles that depend on a product");
    const Digit &last = input->place.digits.back();
    if (!last.column && last.stride)
      return no(op, "rotates along rows of a product");
    keepTogether(*input, last.stride * shapeOf(op.getInput()).back());
    Member member = *input;
    members.insert({op.getResult(), member});
    return success();
  }

  std::string &why;
  const bool forCpu;
  SmallVector<Set> sets;
  DenseMap<Value, Member> members;
};

} // namespace

FailureOr<ProductSpace> mapProducts(Block &body, std::string &why,
                                    bool forCpu) {
  SpaceReader reader(why, forCpu);
  if (failed(reader.read(body)))
    return failure();
  return reader.finish();
}

} // namespace cpu
} // namespace nibble
