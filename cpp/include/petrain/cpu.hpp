// What this machine offers and what the library uses of it.
#pragma once

#include <string>
#include <vector>

namespace petrain {

struct CpuInfo {
  std::string isa;                     // the instruction set in use
  std::vector<std::string> available;  // all that this build has and this machine runs, least capable first
  int threads;                         // get_num_threads()
  bool openmp;                         // false: this build always uses one thread
};

// The instruction set is chosen at the first call that needs it: the most capable one, or the one that the
// environment variable PETRAIN_ISA names (std::invalid_argument where it is not available).
CpuInfo cpu_info();

// The most threads that one call may use. At start: OMP_NUM_THREADS or the processors this process may run on.
// In a child forked after the parent has used threads it is 1, because OpenMP cannot be used there.
int get_num_threads();
void set_num_threads(int count);  // std::invalid_argument where count < 1

const char* version();

}  // namespace petrain
