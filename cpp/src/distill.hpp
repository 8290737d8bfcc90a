// What the losses of distillation share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>

#include "chunks.hpp"
#include "isa.hpp"
#include "petrain/tensor.hpp"
#include "quant_checks.hpp"
#include "threads.hpp"

namespace petrain {

// Whether this thread's part of an array is finite; the parts of a team are all of it.
inline bool part_finite(const ConstTensorView& x, const Team& team) {
  const std::int64_t size = x.size();
  const ChunkRange mine = team.share((size + kChunk - 1) / kChunk);
  for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
    const std::int64_t begin = chunk * kChunk;
    if (!std::isfinite(active_kernels().quant->max_abs_run(x.as<float>() + begin, std::min(kChunk, size - begin)))) {
      return false;
    }
  }
  return true;
}

// body(item, rank of the thread) for 0 … items-1, in any order, once both arrays are known to be finite. Else throws
// std::invalid_argument.
template <class Body>
void for_finite(const ConstTensorView& student, const ConstTensorView& teacher, std::int64_t items, int threads,
                Body&& body) {
  std::atomic<bool> finite{true};
  in_step(threads, [&](const SteppingTeam& team) {
    if (!part_finite(student, team) || !part_finite(teacher, team)) finite = false;
    team.barrier();
    if (!finite) return;
    const ChunkRange mine = team.share(items);
    for (std::int64_t item = mine.begin; item < mine.end; ++item) body(item, team.rank);
  });
  if (finite) return;
  require_finite(student, "student");
  require_finite(teacher, "teacher");
}

// At most one for each item of work.
inline int threads_for_items(std::int64_t items, std::int64_t elements) {
  return threads_for(std::min(items, elements / kElementsPerThread));
}

}  // namespace petrain
