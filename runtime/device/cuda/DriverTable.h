// The functions of a CUDA driver library, found at run time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DEVICE_CUDA_DRIVERTABLE_H
#define NIBBLE_RT_DEVICE_CUDA_DRIVERTABLE_H

#include "DriverTypes.h"

#include "nibble/rt/status.h"

#include <memory>
#include <string>

namespace nibble {
namespace cuda {

/// One pointer per function, named like its symbol. All are set.
struct DriverFunctions {
#define NIBBLE_DRIVER(SINCE, NAME, SYMBOL, PARAMETERS)                         \
  CUresult(*SYMBOL) PARAMETERS = nullptr;
#include "DriverFunctions.def"
};

/// A driver library that is open as long as the table lives.
class DriverTable : public DriverFunctions {
public:
  ~DriverTable();
  DriverTable(const DriverTable &) = delete;
  DriverTable &operator=(const DriverTable &) = delete;

  /// The real driver: libcuda.so.1 of the system.
  static rt::Result<std::shared_ptr<const DriverTable>> openReal();
  /// The emulated one: the file in NIBBLE_EMU_LIBRARY, else
  /// emu/libcuda.so.1 or lib/emu/libcuda.so.1 in the folder of the executable
  /// or one above. Device errors say where it was looked for and what to do.
  static rt::Result<std::shared_ptr<const DriverTable>> openEmulated();

  /// Ok, or what failed: the name and text of the driver's error and, on the
  /// emulated driver, what it has to say about it.
  rt::Status check(CUresult result, const std::string &what) const;
  /// On the emulated driver: which machine, before cuInit. Empty: any.
  rt::Status selectMachine(const std::string &arch) const;
  /// The machine that is emulated, whatever programs are told; "" on a real
  /// driver.
  std::string machine() const { return target ? target() : ""; }
  bool isEmulated() const { return lastFault != nullptr; }
  const std::string &path() const { return file; }

private:
  DriverTable() = default;
  static rt::Result<std::shared_ptr<const DriverTable>>
  open(const std::string &file);

  void *handle = nullptr;
  std::string file;
  const char *(*lastFault)() = nullptr;       ///< nibbleEmuLastFault
  CUresult (*select)(const char *) = nullptr; ///< nibbleEmuSelect
  const char *(*target)() = nullptr;          ///< nibbleEmuTarget
};

} // namespace cuda
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_CUDA_DRIVERTABLE_H
