// Packs keys and values of attention as f32, in the order in which tiles take
// them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {

//===----------------------------------------------------------------------===//
// Keys: panels of 16, order (depth, key)
//===----------------------------------------------------------------------===//

void AttentionEmitter::packKeys(Value from, Value to) {
  int64_t whole = plan.keys / kPanelColumns, rest = plan.keys % kPanelColumns;
  auto place = [&](Value panel) {
    return code.mul(code.sub(panel, from), kPanelColumns * plan.depth);
  };
  code.loop(
      from, rest ? code.min(to, code.index(whole)) : to, 1,
      [&](Value panel) { packKeyPanel(panel, place(panel), kPanelColumns); });
  if (rest)
    code.loop(code.max(from, code.index(whole)), to, 1,
              [&](Value panel) { packKeyPanel(panel, place(panel), rest); });
}

/// A panel with `count` keys. What stands behind them is no key: its scores are
/// overwritten.
void AttentionEmitter::packKeyPanel(Value panel, Value to, int64_t count) {
  Value key = code.mul(panel, kPanelColumns);
  for (int64_t first = 0; first < count; first += 8)
    packEightKeys(code.add(key, first), code.add(to, first), count - first);
  int64_t whole = plan.depth / 8 * 8;
  if (whole == plan.depth)
    return;
  code.loop(0, count, 1, [&](Value i) {
    Value from = code.add(keysAt, code.mul(code.add(key, i), plan.depth));
    Value target = code.add(to, i);
    code.loop(whole, plan.depth, 1, [&](Value d) {
      Value x = code.toF32(code.loadScalar(args.k, code.add(from, d)));
      code.store(x, packedKeys, code.add(target, code.mul(d, kPanelColumns)));
    });
  });
}

/// Behind the last of `count` keys it is repeated.
void AttentionEmitter::packEightKeys(Value key, Value to, int64_t count) {
  Value from = code.add(keysAt, code.mul(key, plan.depth));
  code.loop(0, plan.depth / 8 * 8, 8, [&](Value d) {
    SmallVector<Value> rows;
    Value first = code.add(from, d);
    for (int64_t n = 0; n < 8; ++n)
      rows.push_back(n < count
                         ? code.toF32(code.load(
                               args.k, code.add(first, n * plan.depth), 8))
                         : rows.back());
    rows = code.transpose8x8(rows);
    Value target = code.add(to, code.mul(d, kPanelColumns));
    for (int64_t j = 0; j < 8; ++j)
      code.store(rows[j], packedKeys, code.add(target, j * kPanelColumns));
  });
}

//===----------------------------------------------------------------------===//
// Values: panels of 16 columns, order (panel, key, column)
//===----------------------------------------------------------------------===//

void AttentionEmitter::packValues(Value from, Value to) {
  Value keyFrom = code.mul(from, kPanelColumns);
  Value last = code.mul(to, kPanelColumns), end = filled;
  code.loop(keyFrom, code.min(last, end), 1, [&](Value key) {
    packValueRow(code.add(valuesAt, code.mul(key, plan.width)),
                 code.mul(code.sub(key, keyFrom), kPanelColumns));
  });
  // Sums run over whole vectors of scores: what lies behind the last key is
  // multiplied by zero.
  int64_t panelSize = plan.panelsPerChunk * kPanelColumns * kPanelColumns;
  if (plan.keys % 8 || plan.lengths)
    code.loop(code.max(keyFrom, end), last, 1, [&](Value key) {
      Value row = code.mul(code.sub(key, keyFrom), kPanelColumns);
      for (int64_t c = 0; c < plan.columns; c += 8)
        code.store(code.zero(), packedValues,
                   code.add(row, c / 16 * panelSize + c % 16));
    });
}

void AttentionEmitter::packValueRow(Value from, Value to) {
  int64_t panelSize = plan.panelsPerChunk * kPanelColumns * kPanelColumns;
  auto place = [&](int64_t c) {
    return code.add(to, c / 16 * panelSize + c % 16);
  };
  int64_t whole = plan.width / 8 * 8;
  for (int64_t c = 0; c < whole; c += 8)
    code.store(code.toF32(code.load(args.v, code.add(from, c), 8)),
               packedValues, place(c));
  for (int64_t c = whole; c < plan.columns; c += 8)
    code.store(code.zero(), packedValues, place(c));
  for (int64_t c = whole; c < plan.width; ++c)
    code.store(code.toF32(code.loadScalar(args.v, code.add(from, c))),
               packedValues, place(c));
}

} // namespace cpu
} // namespace nibble
