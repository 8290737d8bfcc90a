#include "threads.hpp"

#include <atomic>
#include <stdexcept>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "isa.hpp"
#include "petrain/cpu.hpp"

namespace petrain {
namespace {

std::atomic<int> chosen_threads{0};        // 0: not set, follow OpenMP
std::atomic<bool> threads_started{false};  // a parallel region has run in this process
std::atomic<bool> single_threaded{false};  // a child of such a process: OpenMP would hang

#if defined(PETRAIN_OPENMP) && (defined(__unix__) || defined(__APPLE__))
void after_fork_in_child() {
  if (threads_started.load(std::memory_order_relaxed)) single_threaded = true;
}

void note_start() {
  static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
  (void)registered;
  threads_started.store(true, std::memory_order_relaxed);
}
#else
void note_start() {}
#endif

}  // namespace

int get_num_threads() {
#ifdef PETRAIN_OPENMP
  if (single_threaded) return 1;
  const int chosen = chosen_threads;
  return chosen > 0 ? chosen : omp_get_max_threads();
#else
  return 1;
#endif
}

void set_num_threads(int count) {
  if (count < 1) throw std::invalid_argument("the number of threads must be at least 1, got " + std::to_string(count));
  chosen_threads = count;
}

int threads_for(std::int64_t chunks) {
  const auto threads = static_cast<int>(std::clamp<std::int64_t>(chunks, 1, get_num_threads()));
  if (threads > 1) {
    active_kernels();
    note_start();
  }
  return threads;
}

}  // namespace petrain
