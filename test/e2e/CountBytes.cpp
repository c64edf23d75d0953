// count-bytes ENGINE [NAME=FILE.npy ...]: what each launch of a CPU engine
// reads and writes, counted by the pages that it touches.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A device around the CPU's makes all memory of the engine (constants, arena,
// states, ports) inaccessible before each launch. The first read of a page
// faults and allows reading, the first write faults and allows all; the handler
// notes both. A page that is written first is not counted as read: what a
// kernel reads there it has made itself. Prints one JSON object per launch.
#include "nibble/rt/device.h"
#include "nibble/rt/generator.h"
#include "nibble/rt/session.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

using namespace nibble::rt;

namespace {

constexpr uintptr_t kPage = 4096;
uintptr_t pageOf(const void *address) {
  return reinterpret_cast<uintptr_t>(address) / kPage;
}

/// Pages that are watched, and what happened to each in this launch.
class Watch {
public:
  enum : uint8_t { None = 0, Read = 1, Written = 2 };

  static Watch &get() {
    static Watch watch;
    return watch;
  }

  /// Whole pages around a range. Ranges may share pages.
  void add(const void *address, uint64_t bytes, bool writable) {
    if (bytes == 0)
      return;
    auto begin = static_cast<const char *>(address);
    for (uintptr_t page = pageOf(begin); page <= pageOf(begin + bytes - 1);
         ++page)
      pages.push_back({page, None, writable});
    std::sort(pages.begin(), pages.end(),
              [](const Page &a, const Page &b) { return a.number < b.number; });
    pages.erase(std::unique(pages.begin(), pages.end(),
                            [](const Page &a, const Page &b) {
                              return a.number == b.number;
                            }),
                pages.end());
  }

  void protect() {
    for (Page &page : pages) {
      page.touched = None;
      set(page, PROT_NONE);
    }
  }
  void release() {
    for (Page &page : pages)
      set(page, page.writable ? PROT_READ | PROT_WRITE : PROT_READ);
  }
  uint64_t count(uint8_t what) const {
    uint64_t found = 0;
    for (const Page &page : pages)
      found += (page.touched & what) != 0;
    return found * kPage;
  }

  /// False if the fault is none of ours: a crash. Faults of several threads on
  /// one page are idempotent.
  bool fault(uintptr_t number, bool write) {
    auto page = std::lower_bound(
        pages.begin(), pages.end(), number,
        [](const Page &p, uintptr_t wanted) { return p.number < wanted; });
    if (page == pages.end() || page->number != number ||
        (write && !page->writable))
      return false;
    page->touched |= write ? Written : Read;
    set(*page, write ? PROT_READ | PROT_WRITE : PROT_READ);
    return true;
  }

private:
  struct Page {
    uintptr_t number;
    uint8_t touched;
    bool writable;
  };
  static void set(const Page &page, int protection) {
    if (mprotect(reinterpret_cast<void *>(page.number * kPage), kPage,
                 protection))
      abort();
  }
  std::vector<Page> pages;
};

void onFault(int signal, siginfo_t *info, void *context) {
  auto *registers = static_cast<ucontext_t *>(context);
  bool write = registers->uc_mcontext.gregs[REG_ERR] & 2;
  if (!Watch::get().fault(pageOf(info->si_addr), write))
    ::signal(signal, SIG_DFL); // faults again and ends the program
}

#define FORWARD(name, parameters, arguments)                                   \
  name parameters override { return inner->name arguments; }

/// The CPU device, watched.
class CountingDevice : public Device {
public:
  explicit CountingDevice(std::shared_ptr<Device> inner)
      : inner(std::move(inner)) {}

  const char *FORWARD(name, () const, ()) std::string
      FORWARD(description, () const, ()) Status
      FORWARD(supports, (const EngineInfo &engine) const,
              (engine)) bool FORWARD(hostAccessible, () const, ()) Status
      FORWARD(copyIn, (void *to, const void *from, uint64_t n),
              (to, from, n)) Status
      FORWARD(copyOut, (void *to, const void *from, uint64_t n),
              (to, from, n)) Status
      FORWARD(copy, (void *to, const void *from, uint64_t n),
              (to, from, n)) void FORWARD(releaseConstant,
                                          (void *address, uint64_t n),
                                          (address, n)) Status
      FORWARD(synchronize, (), ()) Result<std::unique_ptr<Module>> loadModule(
          CodeKind kind, const std::string &name, const void *data,
          uint64_t size) override {
    return inner->loadModule(kind, name, data, size);
  }

  Result<void *> allocate(uint64_t bytes) override {
    void *memory =
        mmap(nullptr, std::max<uint64_t>(bytes, 1), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return Status(Code::OutOfMemory, "no memory");
    Watch::get().add(memory, bytes, true);
    return memory;
  }
  void release(void *, uint64_t) override {} // the program ends soon
  Result<void *> importConstant(const void *mapped, uint64_t bytes) override {
    Watch::get().add(mapped, bytes, false);
    return inner->importConstant(mapped, bytes);
  }
  Status launch(const LaunchParams &params) override {
    const LaunchInfo &info = *params.info;
    std::string layer(info.layer), op(info.op);
    Watch::get().protect();
    Status status = inner->launch(params);
    uint64_t read = Watch::get().count(Watch::Read);
    uint64_t written = Watch::get().count(Watch::Written);
    Watch::get().release();
    std::printf("{\"layer\": \"%s\", \"op\": \"%s\", \"read\": %llu, "
                "\"written\": %llu, \"operands\": %u, \"results\": %u}\n",
                layer.c_str(), op.c_str(), (unsigned long long)read,
                (unsigned long long)written, params.argCount - info.results,
                info.results);
    return status;
  }

private:
  std::shared_ptr<Device> inner;
};

/// Random floats and ones, unless `files` ("NAME=FILE.npy") has the input.
Result<Array> makeInput(const PortInfo &port,
                        const std::vector<std::string> &files) {
  std::string note, start = std::string(port.name) + "=", dtype(port.dtype);
  for (const std::string &file : files) {
    if (file.compare(0, start.size(), start))
      continue;
    Result<Array> array = readNpy(file.substr(start.size()));
    return array.ok() ? adaptArray(*array, dtype, port.shape, note) : array;
  }
  bool isFloat = dtype.find('f') != std::string::npos;
  return generate(*parseGenerator(isFloat ? "outliers:seed=7" : "ones"), dtype,
                  port.shape);
}

Status fill(Context &run, const EntryInfo &entry,
            const std::vector<std::string> &files) {
  for (uint32_t i = 0; i < entry.inputs.size(); ++i) {
    Result<Array> array = makeInput(entry.inputs[i], files);
    if (!array.ok())
      return array.status();
    Status status = run.setInput(0, i, array->data.data(), array->data.size());
    if (!status.ok())
      return status;
  }
  return Status();
}

Status count(const char *path, const std::vector<std::string> &files) {
  auto engine = Engine::load(path);
  if (!engine.ok())
    return engine.status();
  Result<std::shared_ptr<Device>> cpu = createDevice("cpu");
  if (!cpu.ok())
    return cpu.status();
  auto session =
      Session::create(*engine, std::make_shared<CountingDevice>(*cpu));
  if (!session.ok())
    return session.status();
  auto run = Context::create(*session);
  if (!run.ok())
    return run.status();
  Status status = fill(**run, (*session)->info().entries[0], files);
  return status.ok() ? (*run)->run(0) : status;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: count-bytes ENGINE [NAME=FILE.npy ...]\n");
    return 2;
  }
  struct sigaction action = {};
  action.sa_sigaction = onFault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, nullptr);
  Status status = count(argv[1], {argv + 2, argv + argc});
  if (!status.ok())
    std::fprintf(stderr, "error: %s\n", status.str().c_str());
  return status.ok() ? 0 : 1;
}
