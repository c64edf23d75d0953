// Elements of the multiplicands of tensor cores, as codes and as numbers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_TENSOR_ELEMENT_H
#define NIBBLE_RT_EMULATOR_TENSOR_ELEMENT_H

#include <cstdint>
#include <string_view>

namespace nibble {
namespace emu {
namespace tensor {

/// Types of A and B (PTX ISA 9.7.14.2, 9.7.15.3, 9.7.16).
enum class Element : uint8_t {
  F16,
  BF16,
  TF32,
  E4M3,
  E5M2,
  E2M3,
  E3M2,
  E2M1,
  S8,
  U8
};
/// "e4m3" to the type; false if there is no such type.
bool parseElement(std::string_view word, Element &element);
const char *elementName(Element element);

/// Bytes of the container of an element: 6 and 4 bits lie in bytes of their
/// own, in the lowest bits. (Two E2M1 to a byte, as kinds mxf4 and mxf4nvf4
/// have them, are unpacked before.)
unsigned bytesOf(Element element);
inline bool isInteger(Element e) {
  return e == Element::S8 || e == Element::U8;
}
/// Exponent of the smallest normal number; 0 for integers.
int leastExponent(Element element);
/// Exponent of the largest number of a type, and bits of a significand, with
/// the one that is not stored. Of integers: of their magnitude.
int greatestExponent(Element element);
unsigned significandBits(Element element);

/// The number that a code stands for, exactly. TF32 ignores the lower 13 bits
/// (9.7.15.5.2), the small formats the bits above theirs.
double decode(Element element, uint32_t code);

/// The values of the elements of 16 bytes, 16 / bytesOf(element) of them.
void decodeChunk(Element element, const uint8_t *bytes, double *values);
/// `count` values of 4 or 6 bits, packed from the begin of 16 bytes on; of
/// other elements, as decodeChunk.
void decodePackedChunk(Element element, const uint8_t *bytes, unsigned count,
                       double *values);

/// Types of the scales of blocks. UE4M3 has no sign: bit 7 is ignored. 0xff
/// (UE8M0) and 0x7f (UE4M3) are NaN.
enum class Scale : uint8_t { UE8M0, UE4M3 };
double decodeScale(Scale scale, uint8_t code);

} // namespace tensor
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_TENSOR_ELEMENT_H
