// Common parts of the GEMM kernels: arguments, batches, epilogue.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {

GemmEmitter::GemmEmitter(OpBuilder &builder, Location loc, const GemmSpec &spec,
                         const GemmArgs &args, GemmEpilogue epilogue)
    : spec(spec), code(builder, loc), args(args), epilogue(epilogue),
      activation(code, spec, args.a), decoder(code, spec.weight, args.b) {}

void GemmEmitter::emit() {
  begin();
  forEachSegment([&](Value segment, Value first, Value end) {
    enterSegment(segment, /*isPrepared=*/false);
    emitPanels(first, end);
  });
}

void GemmEmitter::forEachSegment(
    llvm::function_ref<void(Value, Value, Value)> body) {
  Value from = code.div(args.lo, panels());
  Value to = code.div(code.add(args.hi, panels() - 1), panels());
  code.loop(from, to, 1, [&](Value segment) {
    Value base = code.mul(segment, panels());
    Value first = code.max(code.sub(args.lo, base), code.index(0));
    Value end = code.min(code.sub(args.hi, base), code.index(panels()));
    body(segment, first, end);
  });
}

GemmOffsets GemmEmitter::batchOffsets(Value batch) {
  GemmOffsets at{code.index(0), code.index(0), code.index(0)};
  for (const GemmBatchDim &dim : llvm::reverse(spec.batch)) {
    Value i = code.rem(batch, dim.extent);
    batch = code.div(batch, dim.extent);
    at.a = code.add(at.a, code.mul(i, dim.strideA));
    at.b = code.add(at.b, code.mul(i, dim.strideB));
    at.c = code.add(at.c, code.mul(i, dim.strideC));
  }
  return at;
}

Value GemmEmitter::isFullPanel(Value panel) {
  return code.less(panel, code.index(spec.n / kPanelColumns));
}

GemmEmitter::Columns GemmEmitter::loadColumns(Value panel, bool withBias) {
  Columns columns;
  if (spec.bKind == GemmB::Packed && spec.weight.scaled() &&
      !spec.weight.scaleAlongK())
    columns.scale = decoder.scale(panel, code.index(0));
  if (withBias && args.bias) {
    Value at = code.mul(panel, kPanelColumns);
    columns.bias =
        PanelRow{code.toF32(code.load(args.bias, at, 8)),
                 code.toF32(code.load(args.bias, code.add(at, 8), 8))};
  }
  return columns;
}

/// sum * scale + bias; the scale is applied first, as it belongs to the
/// product.
static Value scaleAndBias(GemmCode &code, Value value,
                          const std::optional<PanelRow> &scale,
                          const std::optional<PanelRow> &bias, int half) {
  if (scale && bias)
    return code.fma(value, (*scale)[half], (*bias)[half]);
  if (scale)
    return code.mulF(value, (*scale)[half]);
  if (bias)
    return arith::AddFOp::create(code.b, value, (*bias)[half]);
  return value;
}

void GemmEmitter::storeRow(const PanelRow &sum, const Columns &columns,
                           Value at) {
  for (int half : {0, 1}) {
    Value value =
        scaleAndBias(code, sum[half], columns.scale, columns.bias, half);
    code.store(code.fromF32(value, spec.c), args.c, code.add(at, 8 * half));
  }
}

Value GemmEmitter::applyHook(Value value, Value row, Value column, Value at) {
  if (!epilogue)
    return value;
  GemmTile tile{value, row, column, at, args.extra};
  return epilogue(code.b, code.b.getLoc(), tile);
}

void GemmEmitter::finishFullRow(Value sums, Value at, const Columns &columns,
                                Value row, Value panel, Value toC) {
  for (int half : {0, 1}) {
    Value value = code.load(sums, code.add(at, 8 * half), 8);
    value = scaleAndBias(code, value, columns.scale, columns.bias, half);
    Value column = code.add(code.mul(panel, kPanelColumns), 8 * half);
    Value element = code.add(toC, 8 * half);
    value = applyHook(value, row, column, element);
    code.store(code.fromF32(value, spec.c), args.c, element);
  }
}

/// Column by column, so that nothing beyond the row is touched.
void GemmEmitter::finishEdgeRow(Value sums, Value at, const Columns &columns,
                                Value row, Value panel, Value toC) {
  if (columns.scale)
    for (int half : {0, 1}) {
      Value place = code.add(at, 8 * half);
      Value scaled =
          code.mulF(code.load(sums, place, 8), (*columns.scale)[half]);
      code.store(scaled, sums, place);
    }
  code.loop(0, spec.n % kPanelColumns, 1, [&](Value j) {
    Value value = code.load(sums, code.add(at, j), 1);
    Value column = code.add(code.mul(panel, kPanelColumns), j);
    if (args.bias) {
      Value bias = code.toF32(code.load(args.bias, column, 1));
      value = arith::AddFOp::create(code.b, value, bias);
    }
    Value element = code.add(toC, j);
    value = applyHook(value, row, column, element);
    code.store(code.fromF32(value, spec.c), args.c, element);
  });
}

void GemmEmitter::finishRows(Value sums, Value at, Value count, Value row,
                             Value panel, Value offsetC) {
  auto rows = [&](bool full) {
    Columns columns = loadColumns(panel, /*withBias=*/full);
    code.loop(code.index(0), count, 1, [&](Value r) {
      Value from = code.add(at, code.mul(r, kPanelColumns));
      Value rowOfC = code.add(row, r);
      Value toC = code.add(code.add(offsetC, code.mul(rowOfC, strideC())),
                           code.mul(panel, kPanelColumns));
      if (full)
        finishFullRow(sums, from, columns, rowOfC, panel, toC);
      else
        finishEdgeRow(sums, from, columns, rowOfC, panel, toC);
    });
  };
  if (!hasEdge())
    return rows(true);
  if (spec.n < kPanelColumns)
    return rows(false);
  code.ifElse(isFullPanel(panel), [&] { rows(true); }, [&] { rows(false); });
}

} // namespace cpu
} // namespace nibble
