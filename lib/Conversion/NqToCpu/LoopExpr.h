// What a loop computes: index arithmetic that is linear in the loop dimensions,
// and a graph of scalar computations on top of it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A `Dag` describes the body of one nest of loops before the order, the
// vectorization and the bounds of the loops are chosen. Its nodes have scalar
// types; the emitter gives them lanes.
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_LOOPEXPR_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_LOOPEXPR_H

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"

#include <deque>
#include <functional>
#include <optional>

namespace nibble {
namespace cpu {

struct Node;
struct Tensor;

/// constant + sum of factor * loop dimension + sum of factor * index node.
/// Dimensions are sorted by number, no factor is zero.
struct Lin {
  int64_t constant = 0;
  llvm::SmallVector<std::pair<unsigned, int64_t>, 4> dims;
  llvm::SmallVector<std::pair<Node *, int64_t>, 1> terms;

  Lin() = default;
  /*implicit*/ Lin(int64_t constant) : constant(constant) {}
  static Lin dim(unsigned d, int64_t factor = 1);
  static Lin term(Node *node, int64_t factor = 1);

  int64_t factorOf(unsigned d) const;
  bool isConstant() const { return dims.empty() && terms.empty(); }
  Lin &operator+=(const Lin &other);
  friend Lin operator+(Lin a, const Lin &b) { return a += b; }
  friend Lin operator*(Lin a, int64_t factor);
  friend Lin operator-(Lin a, const Lin &b) { return a += b * -1; }
  friend bool operator==(const Lin &a, const Lin &b) {
    return a.constant == b.constant && a.dims == b.dims && a.terms == b.terms;
  }
};

/// A flat run of elements in memory: `memref` is one-dimensional. Elements of
/// 4 bits stand two per byte; i1 is a byte; 8-bit floats are bytes.
struct Buffer {
  mlir::Value memref;
  mlir::Type element; ///< semantic element type
};

/// The type that computations on an element type are done in: f32 for all
/// floats below f64.
mlir::Type computeType(mlir::Type element);
/// The scalar type that holds the bits of an element: i8 for floats of at most
/// 8 bits, for i1, and for packed 4-bit codes once unpacked; i16 for bf16.
mlir::Type storageType(mlir::Type element);
bool isPacked(mlir::Type element); ///< two elements per byte

/// Builds the value of a node from the values of its operands, which are all
/// scalars or all vectors of one length; `result` is shaped like them.
using BuildFn = std::function<mlir::Value(
    mlir::ImplicitLocOpBuilder &, llvm::ArrayRef<mlir::Value>, mlir::Type)>;

struct Node {
  enum class Kind {
    Constant,    ///< `attr`
    Index,       ///< `lin`, as an index or an integer
    Load,        ///< element `lin` of `buffer`, its bits
    Compute,     ///< `build` applied to `operands`
    Accumulator, ///< set by the emitter
  };
  Kind kind;
  unsigned id = 0; ///< order of creation
  mlir::Type type;
  uint64_t deps = 0; ///< loop dimensions the value depends on, one bit each
  mlir::TypedAttr attr;
  Lin lin;
  const Buffer *buffer = nullptr;
  int64_t prefetch = 0; ///< elements ahead that a Load asks the cache for
  llvm::SmallVector<Node *, 3> operands;
  BuildFn build;
  /// Range of an index.
  int64_t low = INT64_MIN / 4, high = INT64_MAX / 4;
  /// The bits this value was decoded from, as an element of `rawType`.
  Node *raw = nullptr;
  mlir::Type rawType;
};

/// A loop dimension: 0 .. extent-1, or less: if `total` is set, it counts the
/// elements of block `blockDim`, so that the last block may be partial:
/// bound = min(extent, total - extent * blockDim).
struct Dim {
  int64_t extent = 1;
  std::optional<int64_t> total = std::nullopt;
  unsigned blockDim = 0;
  /// Dimension of the domain this is a digit of, and its weight there.
  int origin = -1;
  int64_t weight = 1;
};

/// Part of the index space (row, column) of a matrix product that a nest runs
/// over: dimension 0 of its dag is the row, dimension 1 the block of columns
/// [start + dim(1) * block, + block).
struct ColumnBlocks {
  int64_t rows = 1, start = 0, blocks = 1, block = 1;
  bool isLast = true; ///< no column is behind the last block

  Lin row() const { return rows == 1 ? Lin() : Lin::dim(0); }
  Lin column() const {
    return blocks == 1 ? Lin(start) : Lin::dim(1, block) + Lin(start);
  }
};

using Index = llvm::SmallVector<Lin, 4>;
using IndexRef = llvm::ArrayRef<Lin>;

/// Strides of a row-major tensor, in elements.
llvm::SmallVector<int64_t> stridesOf(llvm::ArrayRef<int64_t> shape);
/// Row-major offset of `index`.
Lin linearize(IndexRef index, llvm::ArrayRef<int64_t> shape);

class Dag {
public:
  explicit Dag(mlir::MLIRContext *context) : context(context) {}

  unsigned addDim(Dim dim);
  llvm::ArrayRef<Dim> getDims() const { return dims; }
  std::deque<Node> &getNodes() { return nodes; }
  /// After merging: a dimension that walks others as well is longer.
  void setExtents(llvm::ArrayRef<int64_t> extents) {
    for (auto [dim, extent] : llvm::zip(dims, extents))
      dim.extent = extent;
  }

  Node *constant(mlir::TypedAttr value);
  Node *constant(mlir::Type type, double value);
  Node *index(const Lin &lin, mlir::Type type = {});
  Node *load(const Buffer &buffer, const Lin &offset);
  Node *compute(mlir::Type type, llvm::ArrayRef<Node *> operands,
                BuildFn build);
  Node *accumulator(mlir::Type type, uint64_t deps);

  /// Value of an element type from its bits, and back. The value remembers its
  /// bits, so that copies neither decode nor encode.
  Node *decode(mlir::Type element, Node *bits);
  Node *encode(mlir::Type element, Node *value, bool saturate = true,
               llvm::StringRef roundMode = "up");
  /// `value` rounded to `element`: decode(encode(value)).
  Node *roundTo(mlir::Type element, Node *value, bool saturate = true,
                llvm::StringRef roundMode = "up");

  /// lin / divisor, rounded down.
  Lin floorDiv(const Lin &lin, int64_t divisor);
  Lin mod(const Lin &lin, int64_t divisor) {
    return lin - floorDiv(lin, divisor) * divisor;
  }
  /// The index of a row-major tensor at a flat offset.
  Index delinearize(const Lin &offset, llvm::ArrayRef<int64_t> shape);
  /// The same index, forced into [0, size): no operation if it is there.
  Lin clamp(const Lin &lin, int64_t size);
  /// 1 if 0 <= lin < size; null if that is always true.
  Node *inside(const Lin &lin, int64_t size);
  Lin fromNode(Node *node);
  std::pair<int64_t, int64_t> rangeOf(const Lin &lin) const;
  uint64_t depsOf(const Lin &lin) const;

  /// The element of `tensor` at `index`: loaded if the tensor is in memory,
  /// computed here otherwise.
  Node *pull(Tensor &tensor, IndexRef index);

  /// Stage that is built; tensors of later or the same stage are computed.
  int stage = 0;
  /// Number of leading dimensions that are fixed in a row of the kernel.
  unsigned rowDims = 0;
  /// Or what the nest covers of the index space of a product.
  std::optional<ColumnBlocks> columns;
  /// Set if an element of another row was asked for.
  bool crossesRows = false;
  /// Divisions of loop dimensions that would vanish if dimension `first` of
  /// the domain were split by `second`.
  llvm::SmallVector<std::pair<int, int64_t>> wishes;

  mlir::MLIRContext *context;

private:
  Node *make(Node::Kind kind, mlir::Type type);
  Node *divNode(const Lin &lin, int64_t divisor);
  bool isInOtherRow(const Tensor &tensor, IndexRef index) const;
  void wishFor(const Lin &lin, int64_t divisor);

  std::deque<Node> nodes;
  llvm::SmallVector<Dim> dims;
  struct Division {
    Lin lin;
    int64_t divisor;
    Node *node;
  };
  llvm::SmallVector<Division> divisions;
  struct Pulled {
    Index index;
    Node *node;
  };
  llvm::DenseMap<Tensor *, llvm::SmallVector<Pulled, 2>> pulled;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_LOOPEXPR_H
