// Checks of ELF headers, segments and the dynamic section.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ElfCheck.h"

#include <cstring>
#include <elf.h>

using namespace nibble::rt;

#if defined(__x86_64__)
static constexpr unsigned kMachine = EM_X86_64;
#elif defined(__aarch64__)
static constexpr unsigned kMachine = EM_AARCH64;
#else
static constexpr unsigned kMachine = EM_NONE;
#endif

static Status bad(const char *why) {
  return error(Code::Malformed, "the CPU code is not usable: %s", why);
}

static bool inside(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

namespace {
/// What the segments tell.
struct Segments {
  uint64_t dynamicOffset = 0, dynamicBytes = 0;
  uint64_t loadEnd = 0;
  bool hasLoad = false;
};
} // namespace

static Status checkHeader(const Elf64_Ehdr &header, uint64_t size) {
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return bad("not an ELF file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_DYN)
    return bad("wanted a 64-bit little-endian shared object");
  if (header.e_machine != kMachine)
    return error(Code::Unsupported,
                 "the CPU code is for ELF machine %u, this machine is %u",
                 unsigned(header.e_machine), kMachine);
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
      header.e_phnum > 64 ||
      !inside(header.e_phoff, uint64_t(header.e_phnum) * sizeof(Elf64_Phdr),
              size))
    return bad("the table of segments is damaged");
  // Not needed to load it, but it usually stands at the end: a cut file shows.
  if (!inside(header.e_shoff, uint64_t(header.e_shnum) * header.e_shentsize,
              size))
    return bad("it is truncated");
  return Status();
}

static Status checkLoad(const Elf64_Phdr &segment, uint64_t size,
                        Segments &all) {
  if (!inside(segment.p_offset, segment.p_filesz, size) ||
      segment.p_filesz > segment.p_memsz)
    return bad("a segment lies outside of the file");
  if (segment.p_memsz > uint64_t(1) << 31 ||
      segment.p_vaddr > uint64_t(1) << 40 || segment.p_vaddr < all.loadEnd)
    return bad("a segment has a senseless address or size");
  if (segment.p_align < 4096 || (segment.p_align & (segment.p_align - 1)) ||
      segment.p_align > uint64_t(1) << 30 ||
      segment.p_vaddr % segment.p_align != segment.p_offset % segment.p_align)
    return bad("a segment is misaligned");
  all.loadEnd = segment.p_vaddr + segment.p_memsz;
  all.hasLoad = true;
  return Status();
}

static Status checkSegments(const uint8_t *data, const Elf64_Ehdr &header,
                            uint64_t size, Segments &all) {
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, data + header.e_phoff + i * sizeof(segment),
                sizeof(segment));
    if (segment.p_type == PT_INTERP || segment.p_type == PT_TLS)
      return bad("it has an interpreter or thread-local storage");
    if (segment.p_type == PT_LOAD)
      NIBBLE_RETURN_IF_ERROR(checkLoad(segment, size, all));
    if (segment.p_type == PT_DYNAMIC) {
      if (!inside(segment.p_offset, segment.p_filesz, size))
        return bad("the dynamic section lies outside of the file");
      all.dynamicOffset = segment.p_offset;
      all.dynamicBytes = segment.p_filesz;
    }
  }
  if (!all.hasLoad || all.dynamicBytes < sizeof(Elf64_Dyn))
    return bad("no loadable segment or no dynamic section");
  return Status();
}

static bool isAddress(int64_t tag) {
  switch (tag) {
  case DT_HASH:
  case DT_GNU_HASH:
  case DT_STRTAB:
  case DT_SYMTAB:
  case DT_RELA:
  case DT_JMPREL:
  case DT_PLTGOT:
    return true;
  default:
    return false;
  }
}

static Status checkDynamic(const uint8_t *data, const Segments &all) {
  bool ended = false, strings = false, symbols = false, hash = false;
  for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= all.dynamicBytes && !ended;
       at += sizeof(Elf64_Dyn)) {
    Elf64_Dyn entry;
    std::memcpy(&entry, data + all.dynamicOffset + at, sizeof(entry));
    if (entry.d_tag == DT_NEEDED)
      return bad("it needs other libraries");
    if (entry.d_tag == DT_INIT || entry.d_tag == DT_FINI ||
        entry.d_tag == DT_INIT_ARRAY || entry.d_tag == DT_FINI_ARRAY ||
        entry.d_tag == DT_TEXTREL)
      return bad("it has constructors or writable code");
    if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_NODELETE))
      return bad("it could not be unloaded");
    if (isAddress(entry.d_tag) && entry.d_un.d_ptr >= all.loadEnd)
      return bad("a table lies outside of its segments");
    strings |= entry.d_tag == DT_STRTAB;
    symbols |= entry.d_tag == DT_SYMTAB;
    hash |= entry.d_tag == DT_GNU_HASH || entry.d_tag == DT_HASH;
    ended = entry.d_tag == DT_NULL;
  }
  if (!ended || !strings || !symbols || !hash)
    return bad("the dynamic section is incomplete");
  return Status();
}

Status nibble::rt::checkElf(const void *data, uint64_t size) {
  const auto *bytes = static_cast<const uint8_t *>(data);
  if (size < sizeof(Elf64_Ehdr))
    return bad("shorter than an ELF header");
  Elf64_Ehdr header;
  std::memcpy(&header, bytes, sizeof(header));
  NIBBLE_RETURN_IF_ERROR(checkHeader(header, size));
  Segments all;
  NIBBLE_RETURN_IF_ERROR(checkSegments(bytes, header, size, all));
  return checkDynamic(bytes, all);
}
