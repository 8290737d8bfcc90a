// One parallel region per call: parallel(threads, [&](Team& team) { … }) runs the body once per thread.
// Work is cut into fixed chunks that do not depend on the number of threads; team.share(n) gives this thread's
// consecutive part of n chunks. An exception leaves the region when all threads have ended.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#ifdef PETRAIN_OPENMP
#include <omp.h>
#endif

namespace petrain {

struct ChunkRange {
  std::int64_t begin, end;
};

struct Team {
  int rank, size;

  ChunkRange share(std::int64_t chunks) const { return {chunks * rank / size, chunks * (rank + 1) / size}; }
};

struct SteppingTeam : Team {
  void barrier() const {
#ifdef PETRAIN_OPENMP
    if (size > 1) {  // a team of one may run inside a region of the caller's and must not wait for it
#pragma omp barrier
    }
#endif
  }
};

// How many threads a call with so many chunks of work should use; notes that threads have been started. What may throw,
// choosing the kernels, has then been done.
int threads_for(std::int64_t chunks);

template <class Body>
void parallel(int threads, Body&& body) {
#ifdef PETRAIN_OPENMP
  if (threads > 1) {
    std::exception_ptr error;
#pragma omp parallel num_threads(threads)
    {
      try {
        body(Team{omp_get_thread_num(), omp_get_num_threads()});
      } catch (...) {
#pragma omp critical(petrain_error)
        error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#endif
  (void)threads;
  body(Team{0, 1});
}

// The same for bodies that wait for each other at team.barrier(). An exception, of which there is none but from lack of
// memory, would leave the others waiting: it ends the program.
template <class Body>
void in_step(int threads, Body&& body) {
  if (threads > 1) {
    parallel(threads, [&](const Team& team) noexcept { body(SteppingTeam{team}); });
  } else {
    body(SteppingTeam{{0, 1}});
  }
}

// The plain case: body(chunk) for every chunk, in any order.
template <class Body>
void parallel_for(std::int64_t chunks, Body&& body) {
  parallel(threads_for(chunks), [&](const Team& team) {
    const ChunkRange range = team.share(chunks);
    for (std::int64_t chunk = range.begin; chunk < range.end; ++chunk) body(chunk);
  });
}

}  // namespace petrain
