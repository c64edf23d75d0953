// Values of the reference interpreter: exact tensors, decoded as late as
// possible. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_REFERENCE_REFTENSOR_H
#define NIBBLE_REFERENCE_REFTENSOR_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/rt/formats.h"

#include <memory>
#include <vector>

namespace nibble::ref {

using EmitError = llvm::function_ref<mlir::InFlightDiagnostic()>;

/// Memory of a dense value; not initialized by `allocate`.
template <typename T> using Buffer = std::shared_ptr<T[]>;
template <typename T> Buffer<T> allocate(int64_t count) {
  return Buffer<T>(new T[count > 0 ? count : 1]);
}

/// One rounding applied to each element on the way out of lazy storage.
struct Rounding {
  rt::StorageFormat format;
  rt::Overflow overflow = rt::Overflow::Saturate;
  rt::E8M0Round e8m0 = rt::E8M0Round::Up;

  double apply(double x) const;
  void apply(double *values, int64_t count) const;
  /// True if no element changes: None, F32 and F64, which stay double.
  bool isIdentity() const;
};

/// Storage format of an element type: floats, i1, i4 to i64, index (as I64).
/// Signless integers are signed. None for anything else.
rt::StorageFormat getFormat(mlir::Type element);
/// The rounding that a result of this element type gets.
Rounding getRounding(mlir::Type element);

/// An immutable tensor in row-major order; copies share memory.
///
/// Floats are doubles: f32 and f64 unrounded, narrower formats always on a
/// value of the format. Integers are int64, sign-extended from their width (i1:
/// 0 or 1; 64-bit unsigned numbers as their bits). Scaled tensors keep codes,
/// block scales, global scale and zero points as stored; reading them as floats
/// gives the exact real number code * RNE_T(block_scale * global).
///
/// Constants stay raw bytes and are decoded run by run when read. A scalar is a
/// tensor of rank 0.
class RefTensor {
public:
  /// The null tensor.
  RefTensor() = default;

  static RefTensor floats(mlir::RankedTensorType type, Buffer<double> values);
  static RefTensor ints(mlir::RankedTensorType type, Buffer<int64_t> values);
  /// Rounds the values to the element type first.
  static RefTensor floats(mlir::RankedTensorType type,
                          llvm::ArrayRef<double> values);
  static RefTensor ints(mlir::RankedTensorType type,
                        llvm::ArrayRef<int64_t> values);
  static RefTensor splat(mlir::RankedTensorType type, double value);
  static RefTensor splat(mlir::RankedTensorType type, int64_t value);
  /// Contents of tensor.empty: NaN, or the integer 0x5A5A..., so that a read of
  /// memory nobody wrote shows.
  static RefTensor undefined(mlir::RankedTensorType type);

  /// Linear codes and scales of a scaled type (see nq.constant), zero points
  /// one byte per scale. The bytes are not copied: `owner` keeps them alive
  /// (null if something else does).
  struct ScaledParts {
    llvm::ArrayRef<char> codes, scales, zeroPoints;
    double global = 1;
  };
  static mlir::FailureOr<RefTensor> scaled(mlir::RankedTensorType type,
                                           const ScaledParts &parts,
                                           std::shared_ptr<const void> owner,
                                           EmitError emitError);
  /// A plain tensor over packed row-major bytes (4-bit: two per byte; i1: one
  /// byte each); not copied, as above.
  static mlir::FailureOr<RefTensor> raw(mlir::RankedTensorType type,
                                        llvm::ArrayRef<char> bytes,
                                        std::shared_ptr<const void> owner,
                                        EmitError emitError);
  /// The value of an attribute of plain element type. Resources are read in
  /// place, and must outlive the tensor, as must the context.
  static mlir::FailureOr<RefTensor> fromAttr(mlir::ElementsAttr attr,
                                             EmitError emitError);
  /// The value of a constant op.
  static mlir::FailureOr<RefTensor> fromConstant(nq::ConstantOp op);

  /// A value in run-time storage (one buffer, regions as in
  /// nq::getStorageRegions, layout of the type honored). Copies the bytes.
  static mlir::FailureOr<RefTensor> fromStorage(mlir::RankedTensorType type,
                                                llvm::ArrayRef<char> bytes,
                                                EmitError emitError);
  /// The inverse: floats are rounded to their type (f32, too), padding is zero.
  /// The layout is that of `type`, which must agree in all else.
  std::vector<char> toStorage(mlir::RankedTensorType type) const;
  std::vector<char> toStorage() const { return toStorage(type); }
  /// The same in row-major order, whatever the layout of the type.
  std::vector<char> toLinearStorage() const {
    return toStorage(getLinearType());
  }
  /// A dense attribute of a plain tensor, row-major and without layout.
  mlir::ElementsAttr toAttr() const;

  explicit operator bool() const { return storage != nullptr; }
  mlir::RankedTensorType getType() const { return type; }
  /// The type without layout.
  mlir::RankedTensorType getLinearType() const {
    return mlir::RankedTensorType::get(type.getShape(), type.getElementType());
  }
  mlir::Type getElementType() const { return type.getElementType(); }
  llvm::ArrayRef<int64_t> getShape() const { return type.getShape(); }
  int64_t getRank() const { return type.getRank(); }
  int64_t size() const { return type.getNumElements(); }
  bool isScaled() const { return bool(nq::getScaledElement(type)); }
  bool isInteger() const { return type.getElementType().isIntOrIndex(); }

  /// Elements [begin, begin + count), row-major; floats and scaled tensors.
  void read(int64_t begin, int64_t count, double *out) const;
  /// Elements [begin, begin + count) of an integer tensor.
  void read(int64_t begin, int64_t count, int64_t *out) const;
  double floatAt(int64_t index) const;
  int64_t intAt(int64_t index) const;
  std::vector<double> toFloats() const;
  std::vector<int64_t> toInts() const;

  /// All elements, where they already lie decoded in memory; else null.
  const double *denseFloats() const;
  const int64_t *denseInts() const;
  /// Row-major packed bytes of a plain tensor, where it still is what was given
  /// to `raw`; else null.
  llvm::ArrayRef<char> rawBytes() const;
  /// True if reading decodes (constants, dequantized constants).
  bool isLazy() const;
  /// The value if all elements are known to be equal without looking.
  bool isSplat() const;
  /// The same tensor, decoded; a scaled one becomes its exact real values of
  /// type f64.
  RefTensor decoded(unsigned threads) const;

  /// The same elements under another type of as many elements. For a scaled
  /// tensor the bytes of codes and scales are reinterpreted.
  RefTensor withType(mlir::RankedTensorType newType) const;
  /// The values of a scaled tensor or of floats, rounded to the elements of
  /// `newType`; nothing is decoded yet if reading is lazy.
  RefTensor rounded(mlir::RankedTensorType newType, Rounding rounding,
                    unsigned threads) const;

  /// Parts of a scaled tensor.
  ScaledParts getScaledParts() const;
  /// Block scales without the global one, over the grid.
  std::vector<double> getBlockScales() const;
  /// Scale of each block, the global one included.
  llvm::ArrayRef<double> getEffectiveScales() const;

private:
  struct Storage;
  RefTensor(mlir::RankedTensorType type, std::shared_ptr<const Storage> storage)
      : type(type), storage(std::move(storage)) {}

  mlir::RankedTensorType type;
  std::shared_ptr<const Storage> storage;
  /// Only over lazy storage.
  llvm::SmallVector<Rounding, 1> roundings;
};

} // namespace nibble::ref

#endif // NIBBLE_REFERENCE_REFTENSOR_H
