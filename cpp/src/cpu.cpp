#include "petrain/cpu.hpp"

#include "isa.hpp"

namespace petrain {

CpuInfo cpu_info() {
  CpuInfo info;
  info.isa = active_kernels().isa;
  for (const auto* table : available_kernels()) info.available.emplace_back(table->isa);
  info.threads = get_num_threads();
#ifdef PETRAIN_OPENMP
  info.openmp = true;
#else
  info.openmp = false;
#endif
  return info;
}

const char* version() { return PETRAIN_VERSION; }

}  // namespace petrain
