// What the handles of the emulated driver stand for.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_OBJECTS_H
#define NIBBLE_RT_EMULATOR_DRIVER_OBJECTS_H

#include "device/cuda/DriverTypes.h"
#include "exec/Module.h"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <variant>
#include <vector>

namespace nibble {
namespace emu {

/// Live objects by handle: a handle that is not in it is refused, never
/// followed.
template <typename T> class Handles {
public:
  std::shared_ptr<T> find(const void *handle) const {
    auto found = live.find(handle);
    return found == live.end() ? nullptr : found->second;
  }
  template <typename Handle> void put(std::shared_ptr<T> object, Handle *out) {
    *out = reinterpret_cast<Handle>(object.get());
    live[object.get()] = std::move(object);
  }
  bool erase(const void *handle) { return live.erase(handle) != 0; }
  template <typename Predicate> void eraseIf(Predicate predicate) {
    for (auto it = live.begin(); it != live.end();)
      it = predicate(*it->second) ? live.erase(it) : std::next(it);
  }
  template <typename Function> void each(Function function) const {
    for (auto &entry : live)
      function(*entry.second);
  }

private:
  std::map<const void *, std::shared_ptr<T>> live;
};

struct Context {
  uint64_t id = 0;
  unsigned flags = 0;
  bool alive = true; ///< false: destroyed, or the primary one after its reset
  bool primary = false;
  unsigned references = 0; ///< of the primary one
  std::atomic<cuda::CUresult> sticky{cuda::CUDA_SUCCESS}; ///< after a fault
  std::string faultText;
  std::map<int, size_t> limits;
  int cacheConfig = 0;
};

struct Function;
/// A loaded PTX module.
struct LoadedModule {
  explicit LoadedModule(GlobalMemory &memory) : module(memory) {}
  std::weak_ptr<Context> context; ///< none: of a library
  Module module;
  std::map<std::string, std::shared_ptr<Function>> functions;
};

struct Function {
  std::weak_ptr<LoadedModule> owner;
  std::string name;
  const Module::Kernel *kernel = nullptr; ///< lives as long as the owner
  uint32_t maxDynamicShared = 0;
  int carveout = -1, schedulingPolicy = 0;
  bool nonPortableCluster = false;
  const Code &code() const { return kernel->code; }
};

struct Kernel {
  std::shared_ptr<Function> function;
  cuda::CUlibrary library = nullptr;
};
struct Library {
  cuda::CUresult broken = cuda::CUDA_SUCCESS; ///< why it could not be loaded
  std::string why;
  std::shared_ptr<LoadedModule> module;
  std::map<std::string, std::shared_ptr<Kernel>> kernels;
};

// What streams and graphs are made of.
struct KernelWork {
  std::shared_ptr<LoadedModule> module; ///< kept loaded
  std::shared_ptr<Function> function;
  Dim3 grid, block, cluster;
  uint32_t dynamicShared = 0;
  std::vector<uint8_t> params;
};
/// A box of `height` x `depth` rows of `width` bytes.
struct CopyWork {
  struct Side {
    uint64_t address = 0;
    bool host = false; ///< memory that the driver does not know
    uint64_t pitch = 0, slice = 0;
  };
  Side from, to;
  uint64_t width = 0, height = 1, depth = 1;
};
struct FillWork {
  uint64_t address = 0, pitch = 0;
  uint32_t value = 0, elementBytes = 1;
  uint64_t width = 0, height = 1; ///< in elements, in rows
};
struct HostWork {
  cuda::CUhostFn function = nullptr;
  void *data = nullptr;
};
using Work =
    std::variant<std::monostate, KernelWork, CopyWork, FillWork, HostWork>;

struct Graph;
struct Node {
  Graph *graph = nullptr;
  Work work;
  std::set<Node *> after;       ///< older nodes of the same graph
  std::vector<void *> pointers; ///< of the last cuGraphKernelNodeGetParams
};
/// Nodes in an order in which they may run.
struct Graph {
  std::vector<std::shared_ptr<Node>> nodes;
};
struct GraphExec {
  std::weak_ptr<Context> context;
  std::vector<Work> works;
};

/// A capture in progress; the streams that take part share it.
struct Capture {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  cuda::CUstreamCaptureMode mode = cuda::CU_STREAM_CAPTURE_MODE_GLOBAL;
  const void *thread = nullptr; ///< that began it
  const void *origin = nullptr; ///< the stream that began it
  bool invalid = false;
};

struct Stream {
  std::weak_ptr<Context> context;
  uint64_t id = 0;
  unsigned flags = 0;
  int priority = 0;
  bool builtIn = false; ///< the legacy and the per-thread stream
  std::shared_ptr<Capture> capture;
  std::set<Node *> last; ///< what the next captured node comes after
};

struct Event {
  std::weak_ptr<Context> context;
  unsigned flags = 0;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<Capture> capture; ///< recorded in it
  std::set<Node *> last;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_OBJECTS_H
