// Quantization, its inverse, and casts as tensors of a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelGraph.h"
#include "PackedHalves.h"
#include "QuantizeRecipes.h"

using namespace mlir;

namespace nibble {
namespace cpu {

using BitsFn = std::function<Lanes(ArrayRef<Lanes>)>;

/// A node computed by lane arithmetic.
static Node *laneNode(Dag &dag, Type type, ArrayRef<Node *> operands,
                      BitsFn fn) {
  return dag.compute(
      type, operands,
      [fn](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) {
        SmallVector<Lanes> operandLanes;
        for (Value value : values)
          operandLanes.push_back({&b, value});
        return fn(operandLanes).v;
      });
}

static Type f32(Dag &dag) { return Float32Type::get(dag.context); }
static Type i8(Dag &dag) { return IntegerType::get(dag.context, 8); }

/// f64 inputs are rounded to f32 first: recipes are defined there.
static Node *asF32(Dag &dag, Node *node) {
  if (node->type.isF32())
    return node;
  return laneNode(dag, f32(dag), {node}, [](ArrayRef<Lanes> x) {
    return x[0].truncate(x[0].b->getF32Type());
  });
}

/// The one element of a tensor, or the one at `grid` if it has several.
static Node *pullGrid(Dag &dag, Tensor &tensor, const Index &grid) {
  return tensor.size() == 1 ? dag.pull(tensor, Index(tensor.shape.size()))
                            : dag.pull(tensor, grid);
}

static void setCompute(Tensor &tensor, ArrayRef<Tensor *> sources,
                       ElementFn compute) {
  tensor.sources.assign(sources.begin(), sources.end());
  tensor.compute = std::move(compute);
}

/// A copy of an operand into a part of a scaled tensor, which may have another
/// rank. `sameBits`: integers that hold the bits of the part's element type.
static void copyPart(Tensor &to, Tensor *from, bool sameBits = false) {
  Type element = to.element;
  setCompute(to, {from}, [=](Dag &dag, IndexRef index) {
    Node *node = pullGrid(dag, *from, Index(index.begin(), index.end()));
    if (sameBits)
      return dag.decode(element, dag.encode(from->element, node));
    return dag.roundTo(element, node);
  });
}

//===----------------------------------------------------------------------===//
// Static
//===----------------------------------------------------------------------===//

LogicalResult KernelGraph::readQuantize(nq::QuantizeOp op) {
  ScaledTensor &result = addScaled(op);
  if (result.global)
    copyPart(*result.global, &plainOf(op.getGlobal()));
  return op.getScale() ? readStatic(op, result) : readDynamic(op, result);
}

/// A zero point as i32, by the signedness of the storage type.
static Node *pullZeroPoint(Dag &dag, Tensor &tensor, const Index &grid,
                           IntegerType storage) {
  return laneNode(dag, IntegerType::get(dag.context, 32),
                  {pullGrid(dag, tensor, grid)}, [=](ArrayRef<Lanes> x) {
                    Lanes code = x[0].resize(storage.getWidth());
                    Type wide = code.intType(32);
                    ImplicitLocOpBuilder &b = *code.b;
                    if (storage.isSigned())
                      return code.wrap(arith::ExtSIOp::create(b, wide, code.v));
                    return code.wrap(arith::ExtUIOp::create(b, wide, code.v));
                  });
}

LogicalResult KernelGraph::readStatic(nq::QuantizeOp op, ScaledTensor &result) {
  Tensor *input = &plainOf(op.getInput());
  // The scales as they come in, not as they are stored, to keep codes and
  // scales independent of each other.
  ScaledTensor given = result;
  Tensor *scale = &plainOf(op.getScale());
  given.scales = &add(result.type.getScale(), result.scales->shape, {}, {});
  copyPart(*given.scales, scale);
  given.global = op.getGlobal() ? &plainOf(op.getGlobal()) : nullptr;
  given.zeroPoints = op.getZeroPoint() ? &plainOf(op.getZeroPoint()) : nullptr;
  copyPart(*result.scales, scale);
  if (result.zeroPoints) {
    Tensor *from = given.zeroPoints;
    setCompute(*result.zeroPoints, {from}, [from](Dag &dag, IndexRef index) {
      Node *node = pullGrid(dag, *from, Index(index.begin(), index.end()));
      return dag.encode(from->element, node);
    });
  }
  SmallVector<Tensor *> sources{input, given.scales};
  for (Tensor *part : {given.global, given.zeroPoints})
    if (part)
      sources.push_back(part);
  Type element = result.codes->element, storage = result.type.getStorage();
  bool saturate = op.getSaturate();
  setCompute(*result.codes, sources, [=](Dag &dag, IndexRef index) {
    SmallVector<Node *> operands{asF32(dag, dag.pull(*input, index)),
                                 asF32(dag, given.effectiveScale(dag, index))};
    if (given.zeroPoints)
      operands.push_back(pullZeroPoint(dag, *given.zeroPoints,
                                       given.gridIndex(dag, index),
                                       cast<IntegerType>(storage)));
    Node *code = laneNode(dag, i8(dag), operands, [=](ArrayRef<Lanes> x) {
      return staticCode(x[0], x[1], x.size() > 2 ? x[2].v : Value(), storage,
                        saturate);
    });
    return dag.decode(element, code);
  });
  result.codes->expensive = true;
  return success();
}

//===----------------------------------------------------------------------===//
// Dynamic
//===----------------------------------------------------------------------===//

/// Maximum of |x| over each block, as the unsigned maximum of bits: a NaN wins.
Tensor &KernelGraph::blockAmax(Tensor &input, const ScaledTensor &result) {
  SmallVector<int64_t> block = result.type.getBlockFor(result.shape);
  SmallVector<int64_t> extents;
  SmallVector<unsigned> dims;
  for (auto [d, extent] : llvm::enumerate(block))
    if (extent > 1) {
      extents.push_back(std::min(extent, result.shape[d]));
      dims.push_back(d);
    }
  Tensor *source = &input;
  Type i32 = IntegerType::get(context, 32);
  Tensor &amax =
      fold(i32, result.scales->shape, extents, vector::CombiningKind::MAXUI,
           {source}, [=](Dag &dag, IndexRef index, IndexRef folded) {
             Index at;
             for (auto [d, extent] : llvm::enumerate(block))
               at.push_back(index[d] * extent);
             for (auto [i, d] : llvm::enumerate(dims))
               at[d] += folded[i];
             return laneNode(
                 dag, i32, {asF32(dag, dag.pull(*source, at))},
                 [](ArrayRef<Lanes> x) { return x[0].asInt() & 0x7fffffff; });
           });
  for (auto [i, d] : llvm::enumerate(dims))
    if (result.shape[d] % extents[i] != 0)
      amax.reduction->bounds[i] = Reduction::Bound{d, result.shape[d]};
  return amax;
}

namespace {
/// The three formulas of a dynamic recipe. Operands: amax and global scale;
/// amax, scale code and global scale; element and factor.
struct Recipe {
  BitsFn scale, factor, code;
};
} // namespace

/// The operand is what dequantizing multiplies by; two recipes divide by their
/// global scale.
static Lanes ownGlobal(Lanes global, rt::Nvfp4Recipe recipe) {
  bool divides = recipe == rt::Nvfp4Recipe::CompressedTensors ||
                 recipe == rt::Nvfp4Recipe::TransformerEngine;
  return divides ? 1.0 / global : global;
}

static Recipe nvfp4Recipe(rt::Nvfp4Recipe recipe) {
  return {[=](ArrayRef<Lanes> x) {
            return nvfp4ScaleCode(x[0], ownGlobal(x[1], recipe), recipe);
          },
          [=](ArrayRef<Lanes> x) {
            return nvfp4Factor(x[0], x[1], ownGlobal(x[2], recipe), recipe);
          },
          [=](ArrayRef<Lanes> x) { return nvfp4Code(x[0], x[1], recipe); }};
}

static Recipe mxRecipe(rt::MxRecipe recipe, Type storage) {
  return {
      [=](ArrayRef<Lanes> x) { return mxScaleCode(x[0], storage, recipe); },
      [=](ArrayRef<Lanes> x) { return mxFactor(x[1]); },
      [=](ArrayRef<Lanes> x) { return mxCode(x[0], x[1], storage, recipe); }};
}

static Recipe floatRecipe(Type scale, Type storage) {
  return {[=](ArrayRef<Lanes> x) {
            Lanes value = symmetricScale(x[0], storage);
            return value.wrap(encodeBits(*value.b, scale, value.v));
          },
          [=](ArrayRef<Lanes> x) {
            if (scale.isF32())
              return x[1];
            return x[1].wrap(decodeBits(*x[1].b, scale, x[1].v));
          },
          [=](ArrayRef<Lanes> x) {
            return staticCode(x[0], x[1], Value(), storage, true);
          }};
}

static FailureOr<Recipe> findRecipe(nq::QuantizeOp op, nq::ScaledType type) {
  StringRef name = *op.getRecipe();
  std::string_view text(name.data(), name.size());
  Type storage = type.getStorage();
  if (isa<Float8E8M0FNUType>(type.getScale()) && isa<FloatType>(storage)) {
    if (auto recipe = rt::parseMxRecipe(text))
      return mxRecipe(*recipe, storage);
    return op.emitError() << "recipe '" << name << "' is not one of "
                          << rt::mxRecipeNames();
  }
  if (isa<Float8E4M3FNType>(type.getScale()) &&
      isa<Float4E2M1FNType>(storage)) {
    if (auto recipe = rt::parseNvfp4Recipe(text))
      return nvfp4Recipe(*recipe);
    return op.emitError() << "recipe '" << name << "' is not one of "
                          << rt::nvfp4RecipeNames();
  }
  if (type.getScale().isIntOrFloat() &&
      type.getScale().getIntOrFloatBitWidth() >= 16 && !type.getGlobal() &&
      !type.getZeroPoint())
    return floatRecipe(type.getScale(), storage);
  return op.emitError() << "no dynamic recipe makes " << type;
}

LogicalResult KernelGraph::readDynamic(nq::QuantizeOp op,
                                       ScaledTensor &result) {
  FailureOr<Recipe> recipe = findRecipe(op, result.type);
  if (failed(recipe))
    return failure();
  Tensor *input = &kept(plainOf(op.getInput()));
  Tensor *global = op.getGlobal() ? &plainOf(op.getGlobal()) : nullptr;
  Tensor *amax = &blockAmax(*input, result);
  SmallVector<Tensor *> sources{amax};
  if (global)
    sources.push_back(global);
  auto operands = [=](Dag &dag, IndexRef index) {
    Node *bits = dag.pull(*amax, index);
    Node *a = laneNode(dag, f32(dag), {bits},
                       [](ArrayRef<Lanes> x) { return x[0].asF32(); });
    Node *g = global
                  ? asF32(dag, dag.pull(*global, Index(global->shape.size())))
                  : dag.constant(f32(dag), 1.0);
    return std::make_pair(a, g);
  };
  Tensor *scales = result.scales;
  amax->alike = scales;
  Type scaleType = result.type.getScale();
  BitsFn scaleFn = recipe->scale, factorFn = recipe->factor,
         codeFn = recipe->code;
  setCompute(*scales, sources, [=](Dag &dag, IndexRef index) {
    auto [a, g] = operands(dag, index);
    Node *code = laneNode(dag, storageType(scaleType), {a, g}, scaleFn);
    return dag.decode(scaleType, code);
  });
  scales->expensive = true;
  sources.push_back(scales);
  Tensor *factor =
      &add(Float32Type::get(context), scales->shape, sources,
           [=](Dag &dag, IndexRef index) {
             auto [a, g] = operands(dag, index);
             Node *code = dag.encode(scaleType, dag.pull(*scales, index));
             return laneNode(dag, f32(dag), {a, code, g}, factorFn);
           });
  factor->keep = true;
  factor->alike = scales;
  ScaledTensor layout = result;
  Type element = result.codes->element;
  setCompute(*result.codes, {input, factor}, [=](Dag &dag, IndexRef index) {
    Node *x = asF32(dag, dag.pull(*input, index));
    Node *f = dag.pull(*factor, layout.gridIndex(dag, index));
    return dag.decode(element, laneNode(dag, i8(dag), {x, f}, codeFn));
  });
  result.codes->expensive = true;
  // Results are written in this order: scales and factors of a row first.
  return success();
}

//===----------------------------------------------------------------------===//
// Dequantize, cast, parts
//===----------------------------------------------------------------------===//

LogicalResult KernelGraph::readDequantize(nq::DequantizeOp op) {
  ScaledTensor source = scaledOf(op.getInput());
  Type element = cast<RankedTensorType>(op.getType()).getElementType();
  // The product is exact in f32 unless the scale has more than 11 bits.
  Type last = source.global ? source.type.getGlobal() : source.type.getScale();
  bool toOdd = last.isF32() && !element.isF32();
  Tensor &tensor =
      define(op, partsOf(op.getInput()), [=](Dag &dag, IndexRef index) {
        SmallVector<Node *> operands{source.codeValue(dag, index),
                                     source.effectiveScale(dag, index)};
        if (element.isF64()) {
          Type f64 = Float64Type::get(dag.context);
          return laneNode(dag, f64, operands, [](ArrayRef<Lanes> x) {
            Type wide = x[0].b->getF64Type();
            return x[0].extend(wide) * x[1].extend(wide);
          });
        }
        Node *product =
            laneNode(dag, f32(dag), operands, [=](ArrayRef<Lanes> x) {
              if (toOdd)
                return x[0].wrap(multiplyToOdd(*x[0].b, x[0].v, x[1].v));
              return x[0] * x[1];
            });
        return dag.roundTo(element, product);
      });
  (void)tensor;
  return success();
}

/// A code times a scale, which is exact in `element`.
static Lanes multiplyExactly(Lanes code, Lanes scale, Type element) {
  if (element.isF16())
    if (auto product = multiplyAsF16(code, scale))
      return *product;
  return code * scale;
}

/// Codes, times block scales that become part of them: exact in the wider
/// format.
LogicalResult KernelGraph::readWiden(nq::WidenOp op) {
  ScaledTensor source = scaledOf(op.getInput());
  ScaledTensor &result = addScaled(op);
  bool taken = nq::WidenOp::takesScales(source.type);
  Type element = result.codes->element;
  SmallVector<Tensor *> sources{source.codes};
  if (taken)
    sources.push_back(source.scales);
  if (source.zeroPoints)
    sources.push_back(source.zeroPoints);
  setCompute(*result.codes, sources, [=](Dag &dag, IndexRef index) {
    Node *value = source.codeValue(dag, index);
    if (taken)
      value = laneNode(
          dag, f32(dag),
          {value, pullGrid(dag, *source.scales, source.gridIndex(dag, index))},
          [=](ArrayRef<Lanes> x) {
            return multiplyExactly(x[0], x[1], element);
          });
    return dag.roundTo(element, value);
  });
  if (!taken)
    copyPart(*result.scales, source.scales);
  else if (source.global)
    copyPart(*result.scales, source.global);
  else
    setCompute(*result.scales, {},
               [](Dag &dag, IndexRef) { return dag.constant(f32(dag), 1.0); });
  return success();
}

LogicalResult KernelGraph::readCast(nq::CastOp op) {
  Tensor *input = &plainOf(op.getInput());
  Type element = cast<RankedTensorType>(op.getType()).getElementType();
  bool saturate = op.getSaturate();
  std::string mode = op.getRoundMode().value_or("up").str();
  define(op, {input}, [=](Dag &dag, IndexRef index) {
    Node *value = dag.pull(*input, index);
    if (element.isF64() && !value->type.isF64())
      return laneNode(dag, element, {value}, [](ArrayRef<Lanes> x) {
        return x[0].extend(x[0].b->getF64Type());
      });
    return dag.roundTo(element, value, saturate, mode);
  });
  return success();
}

LogicalResult KernelGraph::readAssemble(nq::AssembleOp op) {
  ScaledTensor &result = addScaled(op);
  copyPart(*result.codes, &plainOf(op.getCodes()), /*sameBits=*/true);
  Tensor *scales = &plainOf(op.getScales());
  copyPart(*result.scales, scales, scales->element.isInteger());
  if (result.global)
    copyPart(*result.global, &plainOf(op.getGlobal()));
  if (result.zeroPoints) {
    Tensor *from = &plainOf(op.getZeroPoint());
    setCompute(*result.zeroPoints, {from}, [from](Dag &dag, IndexRef index) {
      Node *node = pullGrid(dag, *from, Index(index.begin(), index.end()));
      return dag.encode(from->element, node);
    });
  }
  for (Tensor *part : partsOf(op))
    part->view = true;
  return success();
}

LogicalResult KernelGraph::readCodes(nq::CodesOp op) {
  Tensor *codes = scaledOf(op.getInput()).codes;
  define(op, {codes}, [codes](Dag &dag, IndexRef index) {
    return dag.pull(*codes, index);
  }).view = true;
  return success();
}

LogicalResult KernelGraph::readScales(nq::ScalesOp op) {
  Tensor *scales = scaledOf(op.getInput()).scales;
  bool bits = cast<RankedTensorType>(op.getType()).getElementType().isInteger();
  auto rank = scales->shape.size();
  define(op, {scales}, [=](Dag &dag, IndexRef index) {
    Index at(index.begin(), index.end());
    if (at.size() != rank)
      at = Index(rank);
    Node *node = dag.pull(*scales, at);
    return bits ? dag.encode(scales->element, node) : node;
  }).view = true;
  return success();
}

} // namespace cpu
} // namespace nibble
