# lit configuration: .mlir tests, and in Import .py tests, which write the model that they check.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import os

import lit.formats

config.name = "nibble"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir"]
config.excludes = ["emulator", "models", "e2e", "unit"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.nibble_obj_root, "test")

# Tests of the importer write their models with test/models.
config.substitutions.append(("%python", config.python))
config.environment["PYTHONPATH"] = os.path.join(config.test_source_root, "models")

path = [os.path.join(config.nibble_obj_root, "bin"), config.llvm_tools_dir, os.environ["PATH"]]
config.environment["PATH"] = os.pathsep.join(path)
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
# Variables without $ end with their label block: no accidental matches across tests.
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --allow-unused-prefixes=false"
