// Opcodes and their decoders.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Async.h"
#include "isa/Control.h"
#include "isa/Decoder.h"
#include "isa/Float.h"
#include "isa/Integer.h"
#include "isa/MatrixMove.h"
#include "isa/Memory.h"
#include "isa/Mma.h"
#include "isa/Move.h"
#include "isa/Tcgen05.h"
#include "isa/Wgmma.h"

using namespace nibble::emu;

/// Arithmetic of floats and of integers shares opcodes.
static bool isFloat(Decoder &d) {
  for (std::string_view word :
       {"f32", "f64", "f16", "f16x2", "bf16", "bf16x2", "f32x2"})
    if (d.words().has(word))
      return true;
  return false;
}

template <DecodeFn OfInteger, DecodeFn OfFloat> static void either(Decoder &d) {
  (isFloat(d) ? OfFloat : OfInteger)(d);
}

DecodeFn nibble::emu::findDecoder(std::string_view opcode) {
  static const std::unordered_map<std::string_view, DecodeFn> kTable = {
      {"add", either<integer::add, floating::add>},
      {"sub", either<integer::sub, floating::sub>},
      {"mul", either<integer::mul, floating::mul>},
      {"mad", either<integer::mad, floating::fma>},
      {"div", either<integer::div, floating::div>},
      {"abs", either<integer::abs, floating::abs>},
      {"neg", either<integer::neg, floating::neg>},
      {"min", either<integer::min, floating::min>},
      {"max", either<integer::max, floating::max>},
      {"addc", integer::addc},
      {"subc", integer::subc},
      {"madc", integer::madc},
      {"rem", integer::rem},
      {"sad", integer::sad},
      {"and", integer::and_},
      {"or", integer::or_},
      {"xor", integer::xor_},
      {"not", integer::not_},
      {"cnot", integer::cnot},
      {"shl", integer::shl},
      {"shr", integer::shr},
      {"shf", integer::shf},
      {"popc", integer::popc},
      {"clz", integer::clz},
      {"bfind", integer::bfind},
      {"brev", integer::brev},
      {"bfe", integer::bfe},
      {"bfi", integer::bfi},
      {"lop3", integer::lop3},
      {"prmt", integer::prmt},
      {"dp4a", integer::dp4a},
      {"dp2a", integer::dp2a},
      {"mul24", integer::mul24},
      {"mad24", integer::mad24},
      {"fns", integer::fns},
      {"szext", integer::szext},
      {"bmsk", integer::bmsk},
      {"fma", floating::fma},
      {"rcp", floating::rcp},
      {"sqrt", floating::sqrt},
      {"rsqrt", floating::rsqrt},
      {"ex2", floating::ex2},
      {"lg2", floating::lg2},
      {"sin", floating::sin},
      {"cos", floating::cos},
      {"tanh", floating::tanh},
      {"copysign", floating::copysign},
      {"testp", floating::testp},
      {"mov", move::mov},
      {"setp", move::setp},
      {"set", move::set},
      {"selp", move::selp},
      {"slct", move::slct},
      {"cvt", move::cvt},
      {"ld", memory::ld},
      {"ldu", memory::ldu},
      {"st", memory::st},
      {"cvta", memory::cvta},
      {"isspacep", memory::isspacep},
      {"mapa", memory::mapa},
      {"getctarank", memory::getctarank},
      {"atom", memory::atom},
      {"red", memory::red},
      {"membar", memory::membar},
      {"fence", memory::membar},
      {"prefetch", memory::prefetch},
      {"prefetchu", memory::prefetch},
      {"applypriority", memory::prefetch},
      {"discard", memory::prefetch},
      {"mbarrier", async::mbarrier},
      {"cp", async::cp},
      {"tcgen05", tcgen05::decode},
      {"bra", control::bra},
      {"brx", control::brx},
      {"ret", control::ret},
      {"call", control::call},
      {"exit", control::exit},
      {"trap", control::trap},
      {"brkpt", control::brkpt},
      {"nanosleep", control::nanosleep},
      {"setmaxnreg", control::setmaxnreg},
      {"griddepcontrol", control::griddepcontrol},
      {"bar", control::bar},
      {"barrier", control::bar},
      {"shfl", control::shfl},
      {"vote", control::vote},
      {"match", control::match},
      {"redux", control::redux},
      {"activemask", control::activemask},
      {"elect", control::elect},
      {"clusterlaunchcontrol", control::clusterLaunchControl},
      {"mma", matrix::mma},
      {"ldmatrix", matrix::ldmatrix},
      {"stmatrix", matrix::stmatrix},
      {"movmatrix", matrix::movmatrix},
      {"wgmma", matrix::wgmma},
  };
  auto found = kTable.find(opcode);
  return found == kTable.end() ? nullptr : found->second;
}
