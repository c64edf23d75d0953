// Reads panels of a packed weight as f32 vectors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmDecode.h"
#include "GemmScales.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

using Elem = rt::StorageFormat;

constexpr int64_t kPrefetchBytes = 4096;

/// The bfloat16 of a 4-bit code; all 4-bit values are exact in it.
uint16_t bfloatOf(Elem format, unsigned code) {
  return uint16_t(rt::encode(Elem::BF16, rt::decode(format, uint64_t(code))));
}

SmallVector<uint8_t> byteTable(Elem format, bool high) {
  SmallVector<uint8_t> table;
  for (unsigned c = 0; c < 16; ++c)
    table.push_back(bfloatOf(format, c) >> (high ? 8 : 0) & 255);
  return table;
}

} // namespace

/// The same 16 bytes for both 128-bit lanes of a byte shuffle.
Value GemmDecoder::tableConstant(ArrayRef<uint8_t> table) {
  SmallVector<uint8_t> twice(table);
  twice.append(table.begin(), table.end());
  auto type = code.vec(32, code.b.getI8Type());
  return arith::ConstantOp::create(
      code.b, DenseElementsAttr::getFromRawBuffer(
                  type, ArrayRef<char>(
                            reinterpret_cast<const char *>(twice.data()), 32)));
}

Value GemmDecoder::lookup(Value nibbles, ArrayRef<uint8_t> table) {
  return code.intrinsic("llvm.x86.avx2.pshuf.b", nibbles.getType(),
                        {tableConstant(table), nibbles});
}

/// Codes in the low nibbles of 32 bytes and those in the high ones.
PanelRow GemmDecoder::splitNibbles(Value bytes) {
  ImplicitLocOpBuilder &b = code.b;
  Type i8 = b.getI8Type(), i16 = b.getIntegerType(16);
  Value mask = code.splat(code.vec(32, i8), 15);
  Value upper = arith::ShRUIOp::create(b, code.bitcast(bytes, i16),
                                       code.splat(code.vec(16, i16), 4));
  return {arith::AndIOp::create(b, bytes, mask),
          arith::AndIOp::create(b, code.bitcast(upper, i8), mask)};
}

PanelRow GemmDecoder::lookupNibbles(Value bytes, ArrayRef<uint8_t> table) {
  PanelRow nibbles = splitNibbles(bytes);
  return {lookup(nibbles.low, table), lookup(nibbles.high, table)};
}

SmallVector<PanelRow> GemmDecoder::decodeOctets(Value panel, Value block,
                                                ArrayRef<uint8_t> table) {
  Value at = code.add(code.mul(panel, layout.panelBytes), code.mul(block, 128));
  SmallVector<PanelRow> groups(4);
  for (int octet : {0, 1}) {
    Value from = code.add(at, octet * 64);
    PanelRow left = lookupNibbles(code.load(bytes, from, 32), table);
    PanelRow right =
        lookupNibbles(code.load(bytes, code.add(from, 32), 32), table);
    groups[octet] = {left.low, right.low};
    groups[2 + octet] = {left.high, right.high};
  }
  return groups;
}

/// 32 bytes: the bytes of the bfloat16 values come from two look-ups, are
/// interleaved within 128-bit lanes, and are the upper halves of f32 values:
/// even ones after a shift, odd ones under a mask.
SmallVector<PanelRow> GemmDecoder::decodeNibbles(Value at) {
  ImplicitLocOpBuilder &b = code.b;
  Type i32 = b.getI32Type();
  auto wordType = code.vec(8, i32);
  SmallVector<int64_t> lowMask, highMask;
  for (int64_t lane : {0, 16})
    for (int64_t i = 0; i < 8; ++i) {
      lowMask.append({lane + i, 32 + lane + i});
      highMask.append({lane + 8 + i, 40 + lane + i});
    }
  PanelRow nibbles = splitNibbles(code.load(bytes, at, 32));
  SmallVector<PanelRow> rows;
  for (int half : {0, 1}) {
    Value low = lookup(nibbles[half], byteTable(weight.code, false));
    Value high = lookup(nibbles[half], byteTable(weight.code, true));
    for (ArrayRef<int64_t> order : {ArrayRef(lowMask), ArrayRef(highMask)}) {
      Value pairs =
          code.bitcast(vector::ShuffleOp::create(b, low, high, order), i32);
      Value even = arith::ShLIOp::create(b, pairs, code.splat(wordType, 16));
      Value odd = arith::AndIOp::create(
          b, pairs, code.splat(wordType, int64_t(0xffff0000)));
      rows.push_back(
          {code.bitcast(even, code.f32()), code.bitcast(odd, code.f32())});
    }
  }
  return rows;
}

/// s eeee mmm becomes the f16 s 0eeee mmm0000000, which is the value / 256
/// (subnormals included); `scale` has the factor 256.
PanelRow GemmDecoder::decodeE4M3(Value bytes16) {
  ImplicitLocOpBuilder &b = code.b;
  auto words = code.vec(16, b.getIntegerType(16));
  Value wide = arith::ExtSIOp::create(b, words, bytes16);
  Value shifted = arith::ShLIOp::create(b, wide, code.splat(words, 7));
  Value bits = arith::AndIOp::create(b, shifted, code.splat(words, 0xbf80));
  if (weight.nanCodes) {
    Value magnitude = arith::AndIOp::create(b, wide, code.splat(words, 0x7f));
    Value isNan = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, magnitude,
                                        code.splat(words, 0x7f));
    bits = arith::SelectOp::create(b, isNan, code.splat(words, 0x7e00), bits);
  }
  Value halves = code.bitcast(bits, b.getF16Type());
  return {code.toF32(code.slice8(halves, 0)),
          code.toF32(code.slice8(halves, 8))};
}

PanelRow GemmDecoder::decodeBytes(Value at) {
  ImplicitLocOpBuilder &b = code.b;
  Type i8 = b.getI8Type(), i32 = b.getI32Type();
  auto words = code.vec(16, b.getIntegerType(16));
  switch (weight.code) {
  case Elem::E4M3:
    return decodeE4M3(code.load(bytes, at, 16));
  case Elem::E5M2: {
    // The upper byte of an f16.
    Value wide = arith::ExtUIOp::create(b, words, code.load(bytes, at, 16));
    Value bits = arith::ShLIOp::create(b, wide, code.splat(words, 8));
    Value halves = code.bitcast(bits, b.getF16Type());
    return {code.toF32(code.slice8(halves, 0)),
            code.toF32(code.slice8(halves, 8))};
  }
  case Elem::I8:
  case Elem::U8: {
    PanelRow row;
    for (int half : {0, 1}) {
      Value codes = code.loadBytes(bytes, code.add(at, half * 8), 8, i8);
      auto type = code.vec(8, i32);
      Value wide = weight.code == Elem::I8
                       ? Value(arith::ExtSIOp::create(b, type, codes))
                       : Value(arith::ExtUIOp::create(b, type, codes));
      Value value = arith::SIToFPOp::create(b, code.v8(), wide);
      (half ? row.high : row.low) = value;
    }
    return row;
  }
  default: {
    Type element = code.elementType(weight.code);
    int64_t size = element.getIntOrFloatBitWidth() / 8;
    return {
        code.toF32(code.loadBytes(bytes, at, 8, element)),
        code.toF32(code.loadBytes(bytes, code.add(at, 8 * size), 8, element))};
  }
  }
}

SmallVector<PanelRow> GemmDecoder::decode(Value panel, Value k,
                                          const PanelRow *zeroPoint) {
  Value base = code.mul(panel, layout.panelBytes);
  SmallVector<PanelRow> rows;
  if (weight.fourBit()) {
    rows = decodeNibbles(code.add(base, code.mul(k, 8)));
  } else {
    int64_t size = kPanelColumns * rt::formatBits(weight.code) / 8;
    rows.push_back(decodeBytes(code.add(base, code.mul(k, size))));
  }
  if (!zeroPoint)
    return rows;
  for (PanelRow &row : rows) {
    row.low = arith::SubFOp::create(code.b, row.low, zeroPoint->low);
    row.high = arith::SubFOp::create(code.b, row.high, zeroPoint->high);
  }
  return rows;
}

void GemmDecoder::prefetchBytes(Value at, int64_t count) {
  for (int64_t i = 0; i < count; i += 64)
    memref::PrefetchOp::create(code.b, bytes, code.add(at, i),
                               /*isWrite=*/false, /*localityHint=*/3,
                               /*isDataCache=*/true);
}

void GemmDecoder::prefetch(Value panel, Value k, int64_t count) {
  int64_t bits = kPanelColumns * rt::formatBits(weight.code);
  int64_t ahead = kPrefetchBytes * 8 / bits; // in k
  Value codes = code.add(code.mul(panel, layout.panelBytes),
                         code.div(code.mul(k, bits), 8));
  prefetchBytes(code.add(codes, kPrefetchBytes), count * bits / 8);
  if (!weight.scalePerColumn() || !weight.scaleAlongK())
    return;
  int64_t size = rt::formatBits(weight.scale) / 8;
  Value kb = code.div(code.add(k, ahead), weight.blockK);
  Value scales = code.add(code.mul(gridOffset(panel, kb), size), layout.scales);
  prefetchBytes(scales, 1);
}

/// Index, in elements, into the scales or zero points.
Value GemmDecoder::gridOffset(Value panel, Value kb) {
  if (weight.scalePerColumn())
    return code.mul(code.add(code.mul(panel, weight.gridK()), kb),
                    kPanelColumns);
  Value nb = code.div(code.mul(panel, kPanelColumns), weight.scaleBlockN());
  return weight.kn ? code.add(code.mul(kb, weight.gridN()), nb)
                   : code.add(code.mul(nb, weight.gridK()), kb);
}

PanelRow GemmDecoder::scale(Value panel, Value kb) {
  ImplicitLocOpBuilder &b = code.b;
  Type element = code.elementType(weight.scale);
  int64_t size = element.getIntOrFloatBitWidth() / 8;
  Value at = code.add(code.mul(gridOffset(panel, kb), size), layout.scales);
  // Both halves in one vector: narrow scales are converted together.
  int64_t lanes = weight.scalePerColumn() ? kPanelColumns : 1;
  Value all =
      scaleToF32(code, weight.scale, code.loadBytes(bytes, at, lanes, element),
                 /*keepNan=*/false);
  Value global;
  if (weight.global != Elem::None)
    global = code.loadNumber(bytes, layout.global, weight.global);
  all = applyGlobal(code, weight.scale, all, weight.global, global);
  PanelRow row;
  if (lanes == 1) {
    Value scalar = vector::ExtractOp::create(b, all, int64_t(0));
    row.low = row.high = code.broadcast(scalar);
  } else {
    row = {code.slice8(all, 0), code.slice8(all, 8)};
  }
  if (weight.code == Elem::E4M3)
    row = {code.mulF(row.low, code.splatF(256)),
           code.mulF(row.high, code.splatF(256))};
  return row;
}

PanelRow GemmDecoder::zeroPoint(Value panel, Value kb) {
  ImplicitLocOpBuilder &b = code.b;
  Value at = code.add(gridOffset(panel, kb), layout.zeroPoints);
  int64_t lanes = weight.scalePerColumn() ? kPanelColumns : 1;
  Value raw = code.load(bytes, at, lanes);
  auto type = code.vec(lanes, b.getI32Type());
  bool isSigned = weight.code == Elem::I4 || weight.code == Elem::I8;
  Value wide = isSigned ? Value(arith::ExtSIOp::create(b, type, raw))
                        : Value(arith::ExtUIOp::create(b, type, raw));
  Value all = arith::SIToFPOp::create(b, code.vec(lanes, code.f32()), wide);
  if (lanes == 1) {
    Value scalar = vector::ExtractOp::create(b, all, int64_t(0));
    Value both = code.broadcast(scalar);
    return {both, both};
  }
  return {code.slice8(all, 0), code.slice8(all, 8)};
}

} // namespace cpu
} // namespace nibble
