// Sizes of an attention that a test computes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_ATTENTIONSIZES_H
#define NIBBLE_TEST_UNIT_TARGET_ATTENTIONSIZES_H

#include "FusedKernelHarness.h"

namespace nibble {
namespace test {

struct AttentionSizes {
  int64_t batch, heads, kvHeads, queries, keys;
  int64_t depth, width; ///< of queries and keys; of values and results

  std::string queryType(const std::string &element) const {
    return tensor({batch, heads, queries, depth}, element);
  }
  std::string keyType(const std::string &element) const {
    return tensor({batch, kvHeads, keys, depth}, element);
  }
  std::string valueType(const std::string &element) const {
    return tensor({batch, kvHeads, keys, width}, element);
  }
  std::string resultType(const std::string &element) const {
    return tensor({batch, heads, queries, width}, element);
  }
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_ATTENTIONSIZES_H
