#include "isa.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "petrain_isas.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace petrain {
namespace kernels {
#define PETRAIN_X(isa) extern const KernelTable kernels_##isa;
PETRAIN_FOR_EACH_ISA(PETRAIN_X)
#undef PETRAIN_X
}  // namespace kernels

namespace {

#if defined(__x86_64__)
// cpuid says what the processor can do, xgetbv what the operating system saves at a context switch.
struct X86 {
  bool avx2 = false, avx512 = false, avx512_vnni = false;

  X86() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c & bit_FMA, f16c = c & bit_F16C, osxsave = c & bit_OSXSAVE;
    if (!osxsave || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    unsigned xcr0, high;
    __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    constexpr unsigned kYmm = 0x6, kZmm = 0xe6;
    avx2 = (xcr0 & kYmm) == kYmm && fma && f16c && (b & bit_AVX2) && (b & bit_BMI2);
    avx512 = avx2 && (xcr0 & kZmm) == kZmm && (b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512VL) &&
             (b & bit_AVX512DQ);
    avx512_vnni = avx512 && (c & bit_AVX512VNNI);
  }
};
#endif

bool machine_runs(std::string_view isa) {
#if defined(__x86_64__)
  static const X86 x86;
  if (isa == "avx2" || isa == "vnni_emulated") return x86.avx2;
  if (isa == "avx512") return x86.avx512;
  if (isa == "avx512_vnni") return x86.avx512_vnni;
#elif defined(__aarch64__)
#if defined(__linux__)
  if (isa == "neon_dotprod") return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif !defined(__APPLE__)  // every Apple processor has it
  if (isa == "neon_dotprod") return false;
#endif
#endif
  return isa == "baseline" || isa == "plain" || isa == "neon" || isa == "neon_dotprod";
}

const kernels::KernelTable* choose() {
  const auto tables = available_kernels();
  const char* forced = std::getenv("PETRAIN_ISA");
  if (forced == nullptr || *forced == '\0') return tables.back();
  std::string names;
  for (const auto* table : tables) {
    if (std::string_view(table->isa) == forced) return table;
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument("PETRAIN_ISA is \"" + std::string(forced) + "\", but this machine has: " + names);
}

}  // namespace

std::span<const kernels::KernelTable* const> available_kernels() {
  static const std::vector<const kernels::KernelTable*> tables = [] {
    std::vector<const kernels::KernelTable*> found;
#define PETRAIN_X(isa) \
  if (machine_runs(#isa)) found.push_back(&kernels::kernels_##isa);
    PETRAIN_FOR_EACH_ISA(PETRAIN_X)
#undef PETRAIN_X
    return found;
  }();
  return tables;
}

const kernels::KernelTable& active_kernels() {
  static const kernels::KernelTable* const table = choose();
  return *table;
}

}  // namespace petrain
