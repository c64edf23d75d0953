// Reductions of arrays in memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Reduce.h"

#include "isa/Half.h"

using namespace nibble::emu;
using ptx::Type;

namespace {

template <typename Bits, typename F>
bool forEach(uint8_t *to, const uint8_t *from, uint64_t bytes, F combine) {
  for (uint64_t i = 0; i < bytes; i += sizeof(Bits)) {
    auto *at = reinterpret_cast<Bits *>(to + i);
    Bits b, old = __atomic_load_n(at, __ATOMIC_SEQ_CST), wanted;
    std::memcpy(&b, from + i, sizeof b);
    do
      wanted = combine(old, b);
    while (!__atomic_compare_exchange_n(at, &old, wanted, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  }
  return true;
}

template <typename T>
bool integers(AtomicOp op, uint8_t *to, const uint8_t *from, uint64_t bytes) {
  using Bits = typename OfIntegers<T>::Bits;
  return forEach<Bits>(to, from, bytes, [op](Bits old, Bits b) {
    return OfIntegers<T>::combine(op, old, b);
  });
}

float flush(float x) {
  return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x;
}

uint32_t addSingles(uint32_t a, uint32_t b) {
  float sum = flush(flush(bitCast<float>(a)) + flush(bitCast<float>(b)));
  return std::isnan(sum) ? kFloatNan : bitCast<uint32_t>(sum);
}

/// Numbers win over NaNs; -0 < +0.
template <typename Bits>
Bits pick(AtomicOp op, Bits old, Bits b, double x, double y) {
  if (std::isnan(x) || std::isnan(y))
    return std::isnan(x) ? b : old;
  bool less = x < y || (x == y && std::signbit(x));
  return less == (op == kMin) ? old : b;
}

template <double (*Read)(uint16_t), uint16_t (*Write)(double)>
bool halves(AtomicOp op, uint8_t *to, const uint8_t *from, uint64_t bytes) {
  if (op != kAdd && op != kMin && op != kMax)
    return false;
  return forEach<uint16_t>(to, from, bytes, [op](uint16_t old, uint16_t b) {
    double x = Read(old), y = Read(b);
    return op == kAdd ? Write(x + y) : pick(op, old, b, x, y);
  });
}
double readHalf(uint16_t x) { return halfToFloat(x); }
double readBFloat(uint16_t x) { return bfloatToFloat(x); }

} // namespace

bool nibble::emu::reduceElements(AtomicOp op, Type type, uint8_t *to,
                                 const uint8_t *from, uint64_t bytes) {
  switch (type) {
  case Type::B32:
  case Type::U32:
    return integers<uint32_t>(op, to, from, bytes);
  case Type::S32:
    return integers<int32_t>(op, to, from, bytes);
  case Type::B64:
  case Type::U64:
    return integers<uint64_t>(op, to, from, bytes);
  case Type::S64:
    return integers<int64_t>(op, to, from, bytes);
  case Type::F16:
    return halves<readHalf, toHalf>(op, to, from, bytes);
  case Type::BF16:
    return halves<readBFloat, toBFloat>(op, to, from, bytes);
  case Type::F32:
    return op == kAdd && forEach<uint32_t>(to, from, bytes, addSingles);
  case Type::F64:
    return op == kAdd &&
           forEach<uint64_t>(to, from, bytes, [](uint64_t a, uint64_t b) {
             return bitCast<uint64_t>(bitCast<double>(a) + bitCast<double>(b));
           });
  default:
    return false;
  }
}
