# Writes OUT: the rows of tuning/*.jsonl as string literals.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# cmake -DOUT=... -DFOLDER=... -P EmbedTuning.cmake
set(text "// Generated from tuning/*.jsonl.\n#include \"llvm/ADT/StringRef.h\"\nnamespace nibble {\nllvm::StringRef getBuiltInTuning(llvm::StringRef target) {\n")
foreach(target sm_90a sm_100a sm_110a)
  if(EXISTS ${FOLDER}/${target}.jsonl)
    file(STRINGS ${FOLDER}/${target}.jsonl lines)
    string(APPEND text "  if (target == \"${target}\")\n    return\n")
    foreach(line IN LISTS lines)
      string(REPLACE "\\" "\\\\" line "${line}")
      string(REPLACE "\"" "\\\"" line "${line}")
      string(APPEND text "        \"${line}\\n\"\n")
    endforeach()
    string(APPEND text "        \"\";\n")
  endif()
endforeach()
string(APPEND text "  return \"\";\n}\n} // namespace nibble\n")
file(WRITE ${OUT} "${text}")
