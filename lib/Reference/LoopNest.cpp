// Runs lane programs over iteration spaces, a block of lanes at a time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lanes run over the parallel loops, and the reduction loops run inside of each
// block. Where there are few parallel points (a sum over everything) lanes run
// over the reduction loops instead: what does not depend on the accumulator is
// computed for a block, then the rest lane by lane. Anything irregular (results
// indexed by a reduction loop) runs one point at a time.
#include "LoopNest.h"

#include "Eval.h"
#include "Threads.h"

#include <mutex>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

AffineMap nibble::ref::getBroadcastMap(ArrayRef<int64_t> shape, int64_t rank,
                                       MLIRContext *context) {
  SmallVector<AffineExpr> results;
  int64_t skip = rank - shape.size();
  for (auto [i, extent] : llvm::enumerate(shape))
    results.push_back(extent == 1 ? getAffineConstantExpr(0, context)
                                  : getAffineDimExpr(skip + i, context));
  return AffineMap::get(rank, 0, results, context);
}

namespace {

SmallVector<int64_t> getStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t d = static_cast<int64_t>(shape.size()) - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}

/// Adds `factor * expr` to linear coefficients; false if it is not linear.
bool addLinear(AffineExpr expr, int64_t factor, MutableArrayRef<int64_t> coef,
               int64_t &constant) {
  if (auto number = dyn_cast<AffineConstantExpr>(expr)) {
    constant += factor * number.getValue();
    return true;
  }
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    coef[dim.getPosition()] += factor;
    return true;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return false;
  if (expr.getKind() == AffineExprKind::Add)
    return addLinear(binary.getLHS(), factor, coef, constant) &&
           addLinear(binary.getRHS(), factor, coef, constant);
  if (expr.getKind() != AffineExprKind::Mul)
    return false;
  if (auto scale = dyn_cast<AffineConstantExpr>(binary.getRHS()))
    return addLinear(binary.getLHS(), factor * scale.getValue(), coef,
                     constant);
  if (auto scale = dyn_cast<AffineConstantExpr>(binary.getLHS()))
    return addLinear(binary.getRHS(), factor * scale.getValue(), coef,
                     constant);
  return false;
}

/// Value of an affine expression; division and mod as MLIR defines them, by
/// positive numbers.
int64_t evaluate(AffineExpr expr, ArrayRef<int64_t> dims) {
  if (auto number = dyn_cast<AffineConstantExpr>(expr))
    return number.getValue();
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return -1;
  int64_t x = evaluate(binary.getLHS(), dims),
          y = evaluate(binary.getRHS(), dims);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return x + y;
  case AffineExprKind::Mul:
    return x * y;
  case AffineExprKind::Mod:
    return y > 0 ? ((x % y) + y) % y : -1;
  case AffineExprKind::FloorDiv:
    return y > 0 ? (x - (((x % y) + y) % y)) / y : -1;
  case AffineExprKind::CeilDiv:
    return y > 0 ? -((-x - (((-x % y) + y) % y)) / y) : -1;
  default:
    return -1;
  }
}

/// How an operand is reached from the loops.
struct Access {
  const RefTensor *tensor = nullptr;
  AffineMap map;
  bool isLinear = true;
  int64_t base = 0;
  SmallVector<int64_t> coef; ///< per loop, in elements
};

/// Some of the loops, flattened: the last one fastest.
struct Space {
  SmallVector<int64_t> sizes;
  SmallVector<int64_t> loops;              ///< original loop of each; -1 merged
  SmallVector<SmallVector<int64_t>> coefs; ///< [access][loop of this space]
  int64_t points = 1;

  /// Splits a point into indices.
  void unflatten(int64_t point, MutableArrayRef<int64_t> index) const {
    for (int64_t d = static_cast<int64_t>(sizes.size()) - 1; d >= 0; --d) {
      index[d] = point % sizes[d];
      point /= sizes[d];
    }
  }
  int64_t offset(unsigned access, ArrayRef<int64_t> index) const {
    int64_t sum = 0;
    for (auto [i, c] : llvm::zip(index, coefs[access]))
      sum += i * c;
    return sum;
  }
  int64_t innerStride(unsigned access) const {
    return sizes.empty() ? 0 : coefs[access].back();
  }
};

/// Consecutive lanes within one run of the innermost loop.
struct Segment {
  unsigned lane, count;
  SmallVector<int64_t> index; ///< of the first lane
};

class Runner {
public:
  Runner(LoopNest &nest, Operation *op, unsigned threads)
      : nest(nest), op(op), threads(threads), program(nest.program) {}

  FailureOr<SmallVector<RefTensor>> run();

private:
  LogicalResult analyze();
  LogicalResult analyzeAccess(const RefTensor &tensor, AffineMap map);
  Space makeSpace(bool reduction) const;
  void decodeWhereSlow(const Space &lanes, bool lanesAreParallel);
  void makeResults();
  SmallVector<RefTensor> takeResults();

  void splitLanes(const Space &space, int64_t begin, unsigned count,
                  SmallVectorImpl<Segment> &segments) const;
  void load(LaneFrame &frame, unsigned access, const Space &space,
            ArrayRef<Segment> segments, int64_t delta, unsigned count);
  void loadIrregular(LaneFrame &frame, unsigned access, const Space &space,
                     ArrayRef<Segment> segments, ArrayRef<int64_t> fixed);
  void setLaneIndices(LaneFrame &frame, const Space &space,
                      ArrayRef<Segment> segments);
  void setFixedIndices(LaneFrame &frame, const Space &space,
                       ArrayRef<int64_t> index, unsigned count);
  void store(LaneFrame &frame, unsigned result, LaneReg from,
             const Space &space, ArrayRef<Segment> segments, int64_t delta);

  void runParallelBlock(LaneFrame &frame, const Space &parallel,
                        const Space &reduction, int64_t begin, unsigned count);
  void runReductionPoint(LaneFrame &frame, const Space &parallel,
                         const Space &reduction, int64_t point);
  void foldLanes(LaneFrame &frame, ArrayRef<LaneInstr> tail, unsigned count);
  void runSequential();
  void moveYields(LaneFrame &frame, unsigned count);
  void note(const LaneFrame &frame);
  void noteBounds();

  unsigned numInputs() const { return nest.inputs.size(); }
  unsigned numResults() const { return nest.inits.size(); }
  /// Loops whose index the program or an irregular access needs.
  bool needsLoops() const { return irregular || !program.indices.empty(); }

  LoopNest &nest;
  Operation *op;
  unsigned threads;
  LaneProgram &program;

  SmallVector<Access> accesses;
  bool irregular = false; ///< an input is not linear
  bool sequential = false;
  bool readsResults = false;
  SmallVector<Buffer<double>> floatResults;
  SmallVector<Buffer<int64_t>> intResults;
  /// Instructions before and after the accumulator comes in.
  std::vector<LaneInstr> head, tail;
  std::mutex mutex;
  std::string error;
};

//===----------------------------------------------------------------------===//
// Analysis
//===----------------------------------------------------------------------===//

LogicalResult Runner::analyzeAccess(const RefTensor &tensor, AffineMap map) {
  if (map.getNumResults() != unsigned(tensor.getRank()) ||
      map.getNumDims() != nest.sizes.size() || map.getNumSymbols() != 0)
    return emitRefError(op) << "indexing map " << AffineMapAttr::get(map)
                            << " does not fit operand " << tensor.getType();
  Access access;
  access.tensor = &tensor;
  access.map = map;
  access.coef.assign(nest.sizes.size(), 0);
  SmallVector<int64_t> strides = getStrides(tensor.getShape());
  for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
    SmallVector<int64_t> coef(nest.sizes.size(), 0);
    int64_t low = 0;
    if (!addLinear(expr, 1, coef, low)) {
      access.isLinear = false;
      break;
    }
    access.base += low * strides[dim];
    int64_t high = low;
    for (auto [loop, c] : llvm::enumerate(coef)) {
      (c < 0 ? low : high) += c * (nest.sizes[loop] - 1);
      access.coef[loop] += c * strides[dim];
    }
    if (low < 0 || high >= tensor.getShape()[dim])
      return emitRefError(op)
             << "accesses index " << (low < 0 ? low : high) << " of dimension "
             << dim << " of " << tensor.getType();
  }
  accesses.push_back(std::move(access));
  return success();
}

LogicalResult Runner::analyze() {
  for (auto [i, map] : llvm::enumerate(nest.maps)) {
    bool isInput = i < numInputs();
    if (failed(analyzeAccess(
            isInput ? nest.inputs[i] : nest.inits[i - numInputs()], map)))
      return failure();
    const Access &access = accesses.back();
    if (isInput) {
      irregular |= !access.isLinear;
      continue;
    }
    sequential |= !access.isLinear;
    for (auto [loop, c] : llvm::enumerate(access.coef))
      sequential |= nest.isReduction[loop] && c != 0 && nest.sizes[loop] > 1;
  }
  ArrayRef<LaneReg> accumulators =
      ArrayRef<LaneReg>(program.args).drop_front(numInputs());
  std::vector<bool> depends = program.dependsOn(accumulators);
  for (auto [instr, late] : llvm::zip(program.instrs, depends))
    (late ? tail : head).push_back(instr);
  readsResults =
      !tail.empty() || llvm::any_of(program.yields, [&](const LaneReg &reg) {
        return llvm::is_contained(accumulators, reg);
      });
  return success();
}

/// The parallel loops (in the storage order of the first result, so that stores
/// are contiguous) or the reduction loops, neighbors merged where every operand
/// allows it.
Space Runner::makeSpace(bool reduction) const {
  SmallVector<int64_t> loops;
  for (auto [loop, isReduction] : llvm::enumerate(nest.isReduction))
    if (isReduction == reduction && nest.sizes[loop] != 1)
      loops.push_back(loop);
  if (!reduction && numResults() > 0)
    llvm::sort(loops, [&](int64_t x, int64_t y) {
      const auto &coef = accesses[numInputs()].coef;
      return coef[x] != coef[y] ? coef[x] > coef[y] : x < y;
    });
  Space space;
  space.coefs.resize(accesses.size());
  for (int64_t loop : loops) {
    int64_t size = nest.sizes[loop];
    space.points *= size;
    bool merge = !space.sizes.empty() && !needsLoops();
    for (auto [a, access] : llvm::enumerate(accesses))
      merge = merge && space.coefs[a].back() == access.coef[loop] * size;
    if (!merge) {
      space.sizes.push_back(1);
      space.loops.push_back(loop);
      for (auto &coef : space.coefs)
        coef.push_back(0);
    }
    space.sizes.back() *= size;
    for (auto [a, access] : llvm::enumerate(accesses))
      space.coefs[a].back() = access.coef[loop];
  }
  return space;
}

/// Lazy inputs that would be decoded more than once, or an element at a time,
/// are decoded now.
void Runner::decodeWhereSlow(const Space &lanes, bool lanesAreParallel) {
  int64_t points = 1;
  for (int64_t size : nest.sizes)
    points *= size;
  for (unsigned a = 0; a < numInputs(); ++a) {
    RefTensor &tensor = nest.inputs[a];
    if (!tensor.isLazy())
      continue;
    bool contiguous = accesses[a].isLinear && lanes.innerStride(a) <= 1 &&
                      lanes.innerStride(a) >= 0 && lanesAreParallel;
    if (!contiguous || points >= tensor.size() * 2)
      tensor = tensor.decoded(threads);
  }
}

/// Results start as their inits where the loops may not write, or read, every
/// element.
void Runner::makeResults() {
  for (auto [r, init] : llvm::enumerate(nest.inits)) {
    bool isInteger = init.isInteger();
    floatResults.push_back(isInteger ? nullptr : allocate<double>(init.size()));
    intResults.push_back(isInteger ? allocate<int64_t>(init.size()) : nullptr);
    int64_t written = 1;
    for (auto [loop, size] : llvm::enumerate(nest.sizes))
      written *= nest.isReduction[loop] ? 1 : size;
    bool empty = llvm::is_contained(nest.sizes, 0);
    if (!sequential && !readsResults && !empty && written == init.size())
      continue;
    if (isInteger)
      init.read(0, init.size(), intResults[r].get());
    else
      init.read(0, init.size(), floatResults[r].get());
  }
}

SmallVector<RefTensor> Runner::takeResults() {
  SmallVector<RefTensor> results;
  for (auto [r, init] : llvm::enumerate(nest.inits))
    results.push_back(init.isInteger()
                          ? RefTensor::ints(init.getType(), intResults[r])
                          : RefTensor::floats(init.getType(), floatResults[r]));
  return results;
}

//===----------------------------------------------------------------------===//
// Lanes
//===----------------------------------------------------------------------===//

void Runner::splitLanes(const Space &space, int64_t begin, unsigned count,
                        SmallVectorImpl<Segment> &segments) const {
  segments.clear();
  SmallVector<int64_t> index(space.sizes.size());
  space.unflatten(begin, index);
  if (space.sizes.empty()) {
    segments.push_back({0, 1, {}});
    return;
  }
  for (unsigned lane = 0; lane < count;) {
    int64_t left = space.sizes.back() - index.back();
    unsigned n = std::min<int64_t>(left, count - lane);
    segments.push_back({lane, n, index});
    lane += n;
    index.back() += n;
    for (size_t d = index.size() - 1; d > 0 && index[d] == space.sizes[d];
         --d) {
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

template <typename T>
static void loadSegment(const RefTensor &tensor, const T *dense, int64_t from,
                        int64_t stride, unsigned count, T *to) {
  if (!dense && stride <= 1 && stride >= 0) {
    tensor.read(from, stride == 1 ? count : 1, to);
    if (stride == 0)
      std::fill_n(to + 1, count - 1, to[0]);
    return;
  }
  if (dense && stride == 1) {
    std::copy_n(dense + from, count, to);
    return;
  }
  for (unsigned i = 0; i < count; ++i, from += stride)
    if (dense)
      to[i] = dense[from];
    else
      tensor.read(from, 1, to + i);
}

void Runner::load(LaneFrame &frame, unsigned access, const Space &space,
                  ArrayRef<Segment> segments, int64_t delta, unsigned count) {
  const RefTensor &tensor = *accesses[access].tensor;
  LaneReg reg = program.args[access];
  int64_t stride = space.innerStride(access);
  int64_t base = accesses[access].base + delta;
  bool inPlace = access < numInputs() && segments.size() == 1 &&
                 (stride == 1 || count == 1);
  auto loadAs = [&](auto *dense, auto *&where, auto *own) {
    if (inPlace && dense) {
      // Inputs are never written: no other register shares theirs.
      where = const_cast<
          std::remove_const_t<std::remove_pointer_t<decltype(dense)>> *>(
          dense + base + space.offset(access, segments[0].index));
      return;
    }
    where = own;
    for (const Segment &segment : segments)
      loadSegment(tensor, dense, base + space.offset(access, segment.index),
                  stride, segment.count, own + segment.lane);
  };
  if (reg.isFloat)
    loadAs(access < numInputs() ? tensor.denseFloats()
                                : const_cast<const double *>(
                                      floatResults[access - numInputs()].get()),
           frame.f[reg.index], frame.ownFloats(reg.index));
  else
    loadAs(access < numInputs() ? tensor.denseInts()
                                : const_cast<const int64_t *>(
                                      intResults[access - numInputs()].get()),
           frame.i[reg.index], frame.ownInts(reg.index));
}

/// Evaluates the map for each lane. `fixed` has all loop indices that are not
/// lanes.
void Runner::loadIrregular(LaneFrame &frame, unsigned access,
                           const Space &space, ArrayRef<Segment> segments,
                           ArrayRef<int64_t> fixed) {
  const RefTensor &tensor = *accesses[access].tensor;
  LaneReg reg = program.args[access];
  SmallVector<int64_t> dims(fixed);
  for (const Segment &segment : segments) {
    for (auto [loop, index] : llvm::zip(space.loops, segment.index))
      dims[loop] = index;
    for (unsigned i = 0; i < segment.count; ++i) {
      int64_t offset = 0;
      for (auto [expr, extent] :
           llvm::zip(accesses[access].map.getResults(), tensor.getShape())) {
        int64_t at = evaluate(expr, dims);
        if (at < 0 || at >= extent)
          return noteBounds();
        offset = offset * extent + at;
      }
      if (reg.isFloat)
        frame.f[reg.index][segment.lane + i] = tensor.floatAt(offset);
      else
        frame.i[reg.index][segment.lane + i] = tensor.intAt(offset);
      if (!space.loops.empty())
        ++dims[space.loops.back()];
    }
  }
}

/// linalg.index of the loops of the lanes.
void Runner::setLaneIndices(LaneFrame &frame, const Space &space,
                            ArrayRef<Segment> segments) {
  for (const LaneProgram::LoopIndex &index : program.indices) {
    auto *found = llvm::find(space.loops, index.dim);
    if (found == space.loops.end())
      continue;
    size_t d = found - space.loops.begin();
    bool inner = d + 1 == space.loops.size();
    for (const Segment &segment : segments)
      for (unsigned i = 0; i < segment.count; ++i)
        frame.i[index.reg][segment.lane + i] =
            segment.index[d] + (inner ? i : 0);
  }
}

/// linalg.index of the loops that are the same for all lanes.
void Runner::setFixedIndices(LaneFrame &frame, const Space &space,
                             ArrayRef<int64_t> index, unsigned count) {
  for (const LaneProgram::LoopIndex &loop : program.indices) {
    auto *found = llvm::find(space.loops, loop.dim);
    if (found != space.loops.end())
      std::fill_n(frame.i[loop.reg], count, index[found - space.loops.begin()]);
    else if (nest.sizes[loop.dim] == 1)
      std::fill_n(frame.i[loop.reg], count, int64_t(0));
  }
}

template <typename T>
static void storeSegment(T *to, int64_t stride, const T *from, unsigned count) {
  for (unsigned i = 0; i < count; ++i)
    to[i * stride] = from[i];
}

void Runner::store(LaneFrame &frame, unsigned result, LaneReg from,
                   const Space &space, ArrayRef<Segment> segments,
                   int64_t delta) {
  unsigned access = numInputs() + result;
  int64_t base = accesses[access].base + delta;
  int64_t stride = space.innerStride(access);
  for (const Segment &segment : segments) {
    int64_t to = base + space.offset(access, segment.index);
    if (from.isFloat)
      storeSegment(floatResults[result].get() + to, stride,
                   frame.f[from.index] + segment.lane, segment.count);
    else
      storeSegment(intResults[result].get() + to, stride,
                   frame.i[from.index] + segment.lane, segment.count);
  }
}

/// The accumulators take the yielded values. All are read before any is
/// written: one may be yielded in place of another.
void Runner::moveYields(LaneFrame &frame, unsigned count) {
  if (numResults() == 1) {
    LaneReg from = program.yields[0], to = program.args[numInputs()];
    if (from == to)
      return;
    if (from.isFloat)
      std::copy_n(frame.f[from.index], count, frame.f[to.index]);
    else
      std::copy_n(frame.i[from.index], count, frame.i[to.index]);
    return;
  }
  SmallVector<std::vector<double>> floats(numResults());
  SmallVector<std::vector<int64_t>> ints(numResults());
  for (auto [r, from] : llvm::enumerate(program.yields))
    if (from.isFloat)
      floats[r].assign(frame.f[from.index], frame.f[from.index] + count);
    else
      ints[r].assign(frame.i[from.index], frame.i[from.index] + count);
  for (unsigned r = 0; r < numResults(); ++r) {
    LaneReg to = program.args[numInputs() + r];
    if (to.isFloat)
      std::copy_n(floats[r].data(), count, frame.f[to.index]);
    else
      std::copy_n(ints[r].data(), count, frame.i[to.index]);
  }
}

//===----------------------------------------------------------------------===//
// Lanes over parallel loops
//===----------------------------------------------------------------------===//

static bool isFixed(const Space &space, unsigned access) {
  return llvm::all_of(space.coefs[access], [](int64_t c) { return c == 0; });
}

void Runner::runParallelBlock(LaneFrame &frame, const Space &parallel,
                              const Space &reduction, int64_t begin,
                              unsigned count) {
  SmallVector<Segment> segments;
  splitLanes(parallel, begin, count, segments);
  setLaneIndices(frame, parallel, segments);
  for (unsigned a = 0; a < accesses.size(); ++a) {
    bool isInput = a < numInputs();
    if (isInput ? accesses[a].isLinear && isFixed(reduction, a) : readsResults)
      load(frame, a, parallel, segments, 0, count);
  }
  SmallVector<int64_t> index(reduction.sizes.size()), fixed(nest.sizes.size());
  for (int64_t point = 0; point < reduction.points; ++point) {
    reduction.unflatten(point, index);
    for (auto [loop, i] : llvm::zip(reduction.loops, index))
      fixed[loop] = i;
    setFixedIndices(frame, reduction, index, count);
    for (unsigned a = 0; a < numInputs(); ++a)
      if (!accesses[a].isLinear)
        loadIrregular(frame, a, parallel, segments, fixed);
      else if (!isFixed(reduction, a))
        load(frame, a, parallel, segments, reduction.offset(a, index), count);
    frame.run(0, count);
    if (readsResults && reduction.points > 1)
      moveYields(frame, count);
  }
  for (unsigned r = 0; r < numResults(); ++r) {
    bool moved = readsResults && reduction.points > 1;
    store(frame, r, moved ? program.args[numInputs() + r] : program.yields[r],
          parallel, segments, 0);
  }
}

//===----------------------------------------------------------------------===//
// Lanes over reduction loops
//===----------------------------------------------------------------------===//

/// The common case: one result. `to` and `from` may be the same register.
template <typename T>
static void foldOne(LaneFrame &frame, ArrayRef<LaneInstr> tail, const T *from,
                    T *to, unsigned count) {
  for (unsigned lane = 0; lane < count; ++lane) {
    frame.run(tail, lane, lane + 1);
    to[lane + 1 == count ? 0 : lane + 1] = from[lane];
  }
}

/// Runs the instructions that need the accumulators for one lane after the
/// other; lane 0 of the accumulators holds their value before and after.
void Runner::foldLanes(LaneFrame &frame, ArrayRef<LaneInstr> tail,
                       unsigned count) {
  if (numResults() == 1) {
    LaneReg from = program.yields[0], to = program.args[numInputs()];
    if (from.isFloat)
      foldOne(frame, tail, frame.f[from.index], frame.f[to.index], count);
    else
      foldOne(frame, tail, frame.i[from.index], frame.i[to.index], count);
    return;
  }
  for (unsigned lane = 0; lane < count; ++lane) {
    frame.run(tail, lane, lane + 1);
    bool last = lane + 1 == count;
    SmallVector<double, 4> floats;
    SmallVector<int64_t, 4> ints;
    for (LaneReg from : program.yields)
      if (from.isFloat)
        floats.push_back(frame.f[from.index][lane]);
      else
        ints.push_back(frame.i[from.index][lane]);
    unsigned f = 0, i = 0, to = last ? 0 : lane + 1;
    for (unsigned r = 0; r < numResults(); ++r) {
      LaneReg reg = program.args[numInputs() + r];
      if (reg.isFloat)
        frame.f[reg.index][to] = floats[f++];
      else
        frame.i[reg.index][to] = ints[i++];
    }
  }
}

void Runner::runReductionPoint(LaneFrame &frame, const Space &parallel,
                               const Space &reduction, int64_t point) {
  SmallVector<int64_t> index(parallel.sizes.size()), fixed(nest.sizes.size());
  parallel.unflatten(point, index);
  for (auto [loop, i] : llvm::zip(parallel.loops, index))
    fixed[loop] = i;
  setFixedIndices(frame, parallel, index, laneCount);
  SmallVector<Segment> one = {
      {0, 1, SmallVector<int64_t>(reduction.sizes.size(), 0)}};
  for (unsigned a = numInputs(); a < accesses.size(); ++a)
    load(frame, a, reduction, one, parallel.offset(a, index), 1);
  SmallVector<Segment> segments;
  for (int64_t begin = 0; begin < reduction.points; begin += laneCount) {
    unsigned count = std::min<int64_t>(laneCount, reduction.points - begin);
    splitLanes(reduction, begin, count, segments);
    setLaneIndices(frame, reduction, segments);
    for (unsigned a = 0; a < numInputs(); ++a)
      if (accesses[a].isLinear)
        load(frame, a, reduction, segments, parallel.offset(a, index), count);
      else
        loadIrregular(frame, a, reduction, segments, fixed);
    frame.run(head, 0, count);
    foldLanes(frame, tail, count);
  }
  for (unsigned r = 0; r < numResults(); ++r)
    store(frame, r, program.args[numInputs() + r], reduction, one,
          parallel.offset(numInputs() + r, index));
}

//===----------------------------------------------------------------------===//
// One point at a time
//===----------------------------------------------------------------------===//

void Runner::runSequential() {
  LaneFrame frame(program);
  SmallVector<int64_t> index(nest.sizes.size(), 0);
  Space none;
  none.coefs.resize(accesses.size());
  SmallVector<Segment> one = {{0, 1, {}}};
  int64_t points = 1;
  for (int64_t size : nest.sizes)
    points *= size;
  auto offsetOf = [&](unsigned a) {
    int64_t offset = 0;
    for (auto [expr, extent] : llvm::zip(accesses[a].map.getResults(),
                                         accesses[a].tensor->getShape())) {
      int64_t at = evaluate(expr, index);
      if (at < 0 || at >= extent) {
        noteBounds();
        return int64_t(0);
      }
      offset = offset * extent + at;
    }
    return offset - accesses[a].base;
  };
  for (int64_t point = 0; point < points && error.empty(); ++point) {
    for (const LaneProgram::LoopIndex &loop : program.indices)
      frame.i[loop.reg][0] = index[loop.dim];
    SmallVector<int64_t> offsets;
    for (unsigned a = 0; a < accesses.size(); ++a) {
      offsets.push_back(offsetOf(a));
      load(frame, a, none, one, offsets[a], 1);
    }
    frame.run(0, 1);
    for (unsigned r = 0; r < numResults(); ++r)
      store(frame, r, program.yields[r], none, one, offsets[numInputs() + r]);
    for (int64_t d = index.size() - 1; d >= 0 && ++index[d] == nest.sizes[d];
         --d)
      index[d] = 0;
  }
  note(frame);
}

//===----------------------------------------------------------------------===//
// Driver
//===----------------------------------------------------------------------===//

void Runner::note(const LaneFrame &frame) {
  if (!frame.bad)
    return;
  std::lock_guard<std::mutex> lock(mutex);
  llvm::raw_string_ostream stream(error);
  error.clear();
  stream << "gathers index " << frame.badIndex << " of dimension "
         << frame.badDim << " of " << frame.bad->tensor.getType();
}

void Runner::noteBounds() {
  std::lock_guard<std::mutex> lock(mutex);
  error = "an indexing map leaves its operand";
}

FailureOr<SmallVector<RefTensor>> Runner::run() {
  if (failed(analyze()))
    return failure();
  Space parallel = makeSpace(false), reduction = makeSpace(true);
  bool overReduction =
      !sequential && parallel.points < 128 && reduction.points >= 32;
  if (!sequential)
    decodeWhereSlow(overReduction ? reduction : parallel, !overReduction);
  makeResults();
  if (llvm::is_contained(nest.sizes, 0))
    return takeResults();
  // Threads do not pay for little work.
  if (double(parallel.points) * reduction.points < (1 << 15))
    threads = 1;
  if (sequential) {
    runSequential();
  } else if (overReduction) {
    parallelFor(threads, parallel.points, 1, [&](int64_t begin, int64_t end) {
      LaneFrame frame(program);
      for (int64_t point = begin; point < end; ++point)
        runReductionPoint(frame, parallel, reduction, point);
      note(frame);
    });
  } else {
    int64_t grain = reduction.points > 64 ? laneCount : 64 * laneCount;
    parallelFor(threads, parallel.points, grain,
                [&](int64_t begin, int64_t end) {
                  LaneFrame frame(program);
                  for (; begin < end; begin += laneCount)
                    runParallelBlock(frame, parallel, reduction, begin,
                                     std::min<int64_t>(laneCount, end - begin));
                  note(frame);
                });
  }
  if (!error.empty())
    return emitRefError(op) << error;
  return takeResults();
}

} // namespace

FailureOr<SmallVector<RefTensor>> LoopNest::run(Operation *op,
                                                unsigned threads) {
  return Runner(*this, op, threads).run();
}
