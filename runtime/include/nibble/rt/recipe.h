// Recipes: engines without the bytes of their large weights, for measuring.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The codes of large constants are replaced by random ones (random_codes.h)
// with the standard deviation of those before, and so are scales of blocks;
// everything else stays.
// Such an engine is as fast as the model's own and computes numbers of the same
// size, but no longer the model. A recipe is that engine with the replaced
// codes left out: it is small, and any machine makes the engine from it, byte
// for byte, which the hashes of the engine prove.
//
// File: [RecipeHeader, 64 bytes][header of the engine, 64 bytes][a table of
// RecipeRange][the blob section without the ranges][metadata].
#ifndef NIBBLE_RT_RECIPE_H
#define NIBBLE_RT_RECIPE_H

#include "nibble/rt/engine.h"
#include "nibble/rt/formats.h"

namespace nibble {
namespace rt {

struct RecipeHeader {
  char magic[8];      ///< kRecipeMagic
  uint32_t version;   ///< kRecipeVersion
  uint32_t ranges;    ///< entries of the table
  uint64_t tableHash; ///< XXH3-64 of the header of the engine and the table
  uint64_t restSize;  ///< bytes behind the table
  uint64_t restHash;  ///< XXH3-64 of them
  uint8_t zeros[24];
};
static_assert(sizeof(RecipeHeader) == 64, "the header is 64 bytes");
constexpr char kRecipeMagic[8] = {'N', 'B', 'L', 'R', '\r', '\n', '\x1a', '\n'};
constexpr uint32_t kRecipeVersion = 2;

/// What a range is made of: RandomCodes::normal or RandomCodes::scales.
enum class RecipeKind : uint32_t { Codes, Scales };

/// Codes that are made from a seed.
struct RecipeRange {
  uint64_t offset; ///< in the blob section
  uint64_t bytes;
  uint64_t seed;
  double std;      ///< of codes; of scales, their root mean square
  uint32_t format; ///< StorageFormat
  RecipeKind kind;
};
static_assert(sizeof(RecipeRange) == 40, "an entry has 40 bytes");

struct StripOptions {
  uint64_t seed = 1;
  uint64_t least = 1 << 20; ///< constants of fewer bytes stay
};

/// What strip did.
struct StripResult {
  std::vector<RecipeRange> ranges; ///< in the order of the file
  uint64_t strippedBytes = 0;
  /// Names of large constants that stay, as their layout or type is not one of
  /// random_codes.h.
  std::vector<std::string> kept;
};

/// Writes the recipe of `engine` and, unless `seeded` is empty, the engine that
/// it makes.
Result<StripResult> stripEngine(const std::string &engine,
                                const std::string &recipe,
                                const std::string &seeded,
                                const StripOptions &options = {});

/// Makes the engine of a recipe and verifies all its hashes. Whatever the file
/// holds, the outcome is that engine or an error, and then no file.
Status refillEngine(const std::string &recipe, const std::string &engine);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_RECIPE_H
