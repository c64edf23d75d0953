// What goes wrong with GPUs, planted one by one: each must be an error that
// says what and what to do, with exit code 5, and the process must go on.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   device-faults [cuda|emu]         all of them; exit code 1 if one is wrong
//   device-faults cuda --case NAME   one, in this process; its exit code
//
// Each runs in a process of its own, as a fault of a kernel ends the driver for
// a process, and again through nibble-run if that lies beside this program.
#include "TestEngine.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

/// What a case tells when the process could not go on as it should.
constexpr int kStuck = 99;

struct Fault {
  const char *name;
  /// Variables of the environment, for cuda and for emu; {folder} is that of
  /// the old driver, {target} what the GPU is.
  const char *cuda, *emu;
  const char *says; ///< part of the error
  Status (*plant)(const std::string &device, const std::string &engine);
};

} // namespace

static Result<std::shared_ptr<Device>> open(const std::string &name) {
  DeviceOptions options;
  options.target = gpuTarget();
  return createDevice(name, options);
}

/// Runs an engine once, with zeros for what it wants.
static Status runOn(std::shared_ptr<Device> device, const std::string &file) {
  auto engine = Engine::load(file);
  if (!engine.ok())
    return engine.status();
  auto session = Session::create(*engine, std::move(device));
  if (!session.ok())
    return session.status();
  auto context = Context::create(*session);
  if (!context.ok())
    return context.status();
  for (uint32_t i = 0; i < (*engine)->info().entries[0].inputs.size(); ++i) {
    std::vector<char> zeros((*engine)->info().entries[0].inputs[i].byteSize);
    NIBBLE_RETURN_IF_ERROR(
        (*context)->setInput(0, i, zeros.data(), zeros.size()));
  }
  return (*context)->run(0);
}

/// The process can still do something: here, on the device that needs nothing,
/// and if `same` on the device that failed.
static void mustGoOn(const std::string &device, bool same) {
  TempFile file("after.nbl");
  bool good = writeSample(file.path(), 32, gpuTarget()).ok() &&
              runOn(*createNullDevice(), file.path()).ok();
  if (good && same) {
    auto again = open(device);
    Status status =
        again.ok() ? runOn(*again, file.path()) : Status(again.status());
    if (!status.ok())
      std::printf("afterwards: %s\n", status.str().c_str());
    good = status.ok();
  }
  if (good)
    return;
  std::printf("the process cannot go on\n");
  std::fflush(stdout);
  std::_Exit(kStuck);
}

static Status plantAbsent(const std::string &device, const std::string &) {
  Status status = open(device).status();
  mustGoOn(device, false);
  return status;
}

/// An engine whose kernels the driver is to compile, with a change.
static Status writeChanged(const std::string &file, const std::string &from,
                           const std::string &to) {
  std::string ptx = kernelPtx(gpuTarget());
  ptx.replace(ptx.find(from), from.size(), to);
  EngineWriter writer;
  NIBBLE_RETURN_IF_ERROR(writer.open(file, gpuTarget()));
  auto code =
      writer.addCode(CodeKind::Ptx, "kernels", ptx.c_str(), ptx.size() + 1);
  uint32_t kernel = *writer.addKernel("wild", *code);
  EntryDesc entry;
  entry.name = "main";
  entry.outputs = {port("y", "f32", 8)};
  entry.values = {value("y", "f32", 8, Storage::Output, 0)};
  LaunchDesc desc = launch(kernel, {0}, 1, 1, "wild layer");
  desc.gpu.emplace();
  desc.gpu->args = {GpuArgDesc::pointer(0)};
  entry.launches = {desc};
  NIBBLE_RETURN_IF_ERROR(writer.addEntry(entry).status());
  return writer.finish();
}

static Status runPlanted(const std::string &device, const std::string &engine,
                         bool same) {
  auto opened = open(device);
  if (!opened.ok())
    return Status(opened.status()).withContext("NOT PLANTED");
  Status status = runOn(*opened, engine);
  mustGoOn(device, same);
  return status;
}

static Status plantNewPtx(const std::string &device,
                          const std::string &engine) {
  NIBBLE_RETURN_IF_ERROR(writeChanged(
      engine,
      kernelPtx(gpuTarget()).find(".version 8.0") != std::string::npos
          ? ".version 8.0"
          : ".version 9.0",
      ".version 99.0"));
  return runPlanted(device, engine, true);
}

static Status plantForeign(const std::string &device,
                           const std::string &engine) {
  std::string other = gpuTarget() == "sm_90a" ? "sm_110a" : "sm_90a";
  NIBBLE_RETURN_IF_ERROR(writeSample(engine, 16, other));
  return runPlanted(device, engine, true);
}

/// 64 TiB between launches.
static Status plantMemory(const std::string &device,
                          const std::string &engine) {
  EngineBuilder b(engine, gpuTarget());
  EntryDesc entry;
  entry.name = "main";
  entry.arenaSize = uint64_t(1) << 46;
  NIBBLE_RETURN_IF_ERROR(b.writer().addEntry(entry).status());
  NIBBLE_RETURN_IF_ERROR(b.writer().finish());
  return runPlanted(device, engine, true);
}

static Status plantKernelFault(const std::string &device,
                               const std::string &engine) {
  NIBBLE_RETURN_IF_ERROR(
      writeChanged(engine, "Writes outside", "Writes beyond"));
  return runPlanted(device, engine, false);
}

/// The same in work that nobody waited for: the wait tells, and so does what is
/// called later, until the end.
static Status plantLateFault(const std::string &device,
                             const std::string &file) {
  NIBBLE_RETURN_IF_ERROR(writeChanged(file, "Writes outside", "Writes beyond"));
  auto opened = open(device);
  if (!opened.ok())
    return Status(opened.status()).withContext("NOT PLANTED");
  auto session = Session::create(*Engine::load(file), *opened);
  if (!session.ok())
    return Status(session.status()).withContext("NOT PLANTED");
  auto context = *Context::create(*session);
  NIBBLE_RETURN_IF_ERROR(context->prepare(0).withContext("NOT PLANTED"));
  Status submitted = context->submit(0); // a GPU does not know yet
  Status waited = submitted.ok() ? context->wait() : submitted;
  float y[8];
  for (const Status &later :
       {context->getOutput(0, 0, y, sizeof y), context->run(0)})
    if (later.code() != Code::Device)
      std::_Exit(kStuck);
  mustGoOn(device, false);
  return waited;
}

static constexpr Fault kFaults[] = {
    {"no-gpu", "CUDA_VISIBLE_DEVICES=", "NIBBLE_EMU_TARGET=sm_1",
     "does CUDA_VISIBLE_DEVICES allow it?", plantAbsent},
    {"no-driver", "LD_LIBRARY_PATH={folder}/broken",
     "NIBBLE_EMU_LIBRARY=/nonexistent/libcuda.so.1", "cannot load",
     plantAbsent},
    {"old-driver", "LD_LIBRARY_PATH={folder}",
     "NIBBLE_EMU_LIBRARY={folder}/libcuda.so.1",
     "(CUDA 11.4) is too old: it lacks", plantAbsent},
    {"new-ptx", "", "", "too old for this code", plantNewPtx},
    {"wrong-architecture", "", "NIBBLE_EMU_TARGET={target}",
     "compile with --target", plantForeign},
    {"out-of-memory", "", "", "MiB are free", plantMemory},
    {"kernel-fault", "", "", "CUDA_ERROR_ILLEGAL_ADDRESS", plantKernelFault},
    {"late-kernel-fault", "", "", "cannot use the GPU any more",
     plantLateFault},
};

static std::string folderOfProgram() {
  std::string path(4096, 0);
  ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? size_t(length) : 0);
  return path.substr(0, path.rfind('/'));
}

/// Beside the program, or in lib of a build tree.
static std::string oldDriverFolder() {
  std::string beside = folderOfProgram() + "/old-driver";
  bool there = ::access((beside + "/libcuda.so.1").c_str(), R_OK) == 0;
  return there ? beside : folderOfProgram() + "/../lib/old-driver";
}

/// Exit code and output of a command of the shell.
static int call(const std::string &command, std::string &output) {
  FILE *pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (!pipe)
    return -1;
  char buffer[4096];
  output.clear();
  while (size_t n = std::fread(buffer, 1, sizeof buffer, pipe))
    output.append(buffer, n);
  int status = ::pclose(pipe);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static std::string variables(const Fault &fault, const std::string &device) {
  std::string text = device == "cuda" ? fault.cuda : fault.emu;
  for (const auto &[name, value] :
       {std::make_pair(std::string("{folder}"), oldDriverFolder()),
        std::make_pair(std::string("{target}"), gpuTarget())})
    if (size_t at = text.find(name); at != std::string::npos)
      text.replace(at, name.size(), value);
  return text.empty() ? "" : "env '" + text + "' ";
}

static bool judge(const char *name, const char *how, int code,
                  const std::string &output, const std::string &says) {
  bool good = code == 5 && output.find(says) != std::string::npos &&
              output.find("NOT PLANTED") == std::string::npos;
  std::printf("%s %-20s %-10s exit %d: %s%s", good ? "ok    " : "FAILED", name,
              how, code, output.c_str(),
              output.empty() || output.back() != '\n' ? "\n" : "");
  if (!good)
    std::printf("  wanted exit code 5 and '%s'\n", says.c_str());
  return good;
}

/// In a process of its own, and through nibble-run.
static bool tryFault(const Fault &fault, const std::string &device) {
  TempFile file("planted.nbl");
  std::string folder = folderOfProgram(), output;
  std::string environment = variables(fault, device);
  int code = call(environment + "'" + folder + "/device-faults' " + device +
                      " --case " + fault.name + " '" + file.path() + "'",
                  output);
  bool good = judge(fault.name, "library", code, output, fault.says);
  if (::access((folder + "/nibble-run").c_str(), X_OK) != 0)
    return good;
  if (::access(file.path().c_str(), R_OK) != 0)
    (void)writeSample(file.path(), 16, gpuTarget());
  bool sample = fault.plant == plantAbsent;
  code =
      call(environment + "'" + folder + "/nibble-run' run '" + file.path() +
               "' --device " + device +
               (sample ? " --entry forward --input x=zeros" : "") +
               (fault.plant == plantForeign ? " --entry forward --input x=zeros"
                                            : ""),
           output);
  return judge(fault.name, "nibble-run", code, output,
               fault.plant == plantLateFault ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                             : fault.says) &&
         good;
}

static int runCase(const std::string &device, const std::string &name,
                   const std::string &engine) {
  for (const Fault &fault : kFaults)
    if (name == fault.name) {
      Status status = fault.plant(device, engine);
      std::printf("%s\n", status.str().c_str());
      return exitCode(status.code());
    }
  std::fprintf(stderr, "error: no case '%s'\n", name.c_str());
  return 2;
}

int main(int argc, char **argv) {
  std::string device = argc > 1 ? argv[1] : "cuda";
  if (argc == 5 && std::strcmp(argv[2], "--case") == 0)
    return runCase(device, argv[3], argv[4]);
  auto opened = open(device);
  if (!opened.ok()) {
    std::fprintf(stderr, "error: %s\n", opened.status().str().c_str());
    return exitCode(opened.status().code());
  }
  std::printf("%s: %s\n", device.c_str(), (*opened)->description().c_str());
  int failed = 0, count = 0;
  for (const Fault &fault : kFaults) {
    failed += !tryFault(fault, device);
    ++count;
    std::fflush(stdout);
  }
  std::printf("device-faults: %d planted, %d wrong\n", count, failed);
  return failed ? 1 : 0;
}
