// Building fusion regions: the common part of all passes of stage `fuse`.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_FUSE_REGIONS_H
#define NIBBLE_TRANSFORMS_FUSE_REGIONS_H

#include "nibble/Dialect/Quant/NqOps.h"

#include <string>

namespace nibble::fuse {

/// Name of the kernel class that covers an op of its own: "gemm",
/// "attention", "rowwise" (norm without statistics, softmax), "quantize",
/// "reduce", "gather", "elementwise", or the name of the op without its
/// dialect.
std::string getKernelClass(mlir::Operation *op);

/// Ops that are never a kernel by themselves: constants, initial values
/// (tensor.empty, linalg.fill of a constant, scalars), reshapes that move no
/// byte, states' declarations and terminators.
bool isKernelOp(mlir::Operation *op);

/// Producers that a region repeats inside instead of reading: scalars and
/// initial values.
bool isRepeated(mlir::Operation *op);

/// tensor.expand_shape or collapse_shape: the same bytes under another shape.
bool isReshape(mlir::Operation *op);

/// True for ops on tensors without effects: what a region may hold.
bool isEffectFree(mlir::Operation *op);

/// A matmul, alone or as the product of a region of class "gemm".
bool isProduct(mlir::Operation *op);

/// An op that computes each element of its one result from one element (or a
/// broadcast one) of its operands: linalg.generic and map-like named ops,
/// nq.cast.
bool isElementwise(mlir::Operation *op);

/// True if the elementwise op `user` reads `value` at just the index of the
/// result it computes.
bool readsSameIndex(mlir::Operation *user, mlir::Value value);

/// "" if the kernel of the producer can quantize what it computes, or why not.
/// Blocks along the last dimension lie within a row of what it has at hand.
std::string whyNotQuantizedByProducer(nq::QuantizeOp op);

/// The op that alone uses `value`; null if there are several.
mlir::Operation *getOnlyUser(mlir::Value value);

/// What a value is outside of its region: the input of a block argument of a
/// region, else the value itself.
mlir::Value getSource(mlir::Value value);

/// Location of what several ops became together, each a layer of its own: none
/// of their names is lost to permissions.
mlir::Location getSiblingsLocation(llvm::ArrayRef<mlir::Operation *> ops);
/// Names of the layers of getSiblingsLocation, or the one name of `loc`.
llvm::SmallVector<llvm::StringRef> getSiblingNames(mlir::Location loc);

/// "" if the ops (of one block, regions allowed) can become one region, or why
/// not: the value of one leaves the set and comes back into it.
std::string whyNotOneRegion(llvm::ArrayRef<mlir::Operation *> ops);

/// Puts `ops` into one new region of class `kind`; regions among them are
/// dissolved into it. `pass` is added to the list of fusions. Producers that
/// are repeated (isRepeated) are cloned into it. Users of its results that
/// stood between the ops move behind the region. Requires
/// whyNotOneRegion(ops).empty() and at least one op with results in use.
nq::RegionOp makeRegion(mlir::RewriterBase &rewriter,
                        llvm::ArrayRef<mlir::Operation *> ops,
                        llvm::StringRef kind, llvm::StringRef pass);

/// A copy of `region` with more results, `values` of its body, in its place.
/// The old one is gone.
nq::RegionOp addResults(mlir::RewriterBase &rewriter, nq::RegionOp region,
                        mlir::ValueRange values);

/// Adds `pass` to the list of fusions of a region.
void noteFusion(nq::RegionOp region, llvm::StringRef pass);

/// Undoes a region: its ops stand in its place again.
void dissolveRegion(mlir::RewriterBase &rewriter, nq::RegionOp region);

} // namespace nibble::fuse

#endif // NIBBLE_TRANSFORMS_FUSE_REGIONS_H
