#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "calibrate_checks.hpp"
#include "chunks.hpp"
#include "histogram_bins.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

using kernels::kBins;
using kernels::kCountLanes;

// Counts of one thread, all 0 between calls. calloc takes no memory for octaves that never occur.
struct Free {
  void operator()(std::uint32_t* memory) const { std::free(memory); }
};
using Counts = std::unique_ptr<std::uint32_t[], Free>;

Counts zero_counts() {
  auto* memory = static_cast<std::uint32_t*>(std::calloc(std::size_t{kCountLanes} * kBins, sizeof(std::uint32_t)));
  if (memory == nullptr) throw std::bad_alloc();
  return Counts(memory);
}

// Kept from one call to the next, so that small arrays do not pay for megabytes of zeros.
thread_local std::vector<Counts> spare_counts;

struct Part {
  kernels::Extremes extremes;
  std::uint32_t* counts;
};

// Takes the counts of an octave, of all threads and lanes, and leaves zeros. False where there are none.
bool take_octave(const std::vector<Part>& parts, int octave, std::vector<std::int64_t>& sum) {
  sum.assign(kOctaveBins, 0);
  std::uint32_t any = 0;
  for (const Part& part : parts) {
    for (int lane = 0; lane < kCountLanes; ++lane) {
      std::uint32_t* counts = part.counts + std::ptrdiff_t{lane} * kBins + std::ptrdiff_t{octave} * kOctaveBins;
      for (int i = 0; i < kOctaveBins; ++i) {
        any |= counts[i];
        sum[i] += counts[i];
        counts[i] = 0;
      }
    }
  }
  return any != 0;
}

}  // namespace

void Histogram::observe(const ConstTensorView& x) {
  require_quantizable(x, "x");
  require_elements(x, "x");
  const std::int64_t size = x.size();
  if (size >= std::int64_t{1} << 32) {
    throw std::invalid_argument("x: expected fewer than 2^32 elements in one call, got " + std::to_string(size));
  }
  const int threads = threads_for(size / kElementsPerThread);
  std::vector<Counts> memory = std::exchange(spare_counts, {});  // where this throws, it is given up
  while (memory.size() < static_cast<std::size_t>(threads)) memory.push_back(zero_counts());
  std::vector<Part> parts(static_cast<std::size_t>(threads));
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].counts = memory[i].get();
  const std::int64_t chunks = (size + kChunk - 1) / kChunk;
  const auto& kernels = *active_kernels().calibrate;
  parallel(threads, [&](const Team& team) {
    const ChunkRange mine = team.share(chunks);
    const std::int64_t begin = mine.begin * kChunk, end = std::min(mine.end * kChunk, size);
    Part& part = parts[team.rank];
    kernels.count(x.data, storage_of(x.dtype), begin, end - begin, part.counts, &part.extremes);
  });
  kernels::Extremes all;
  for (const Part& part : parts) {
    all.low = std::min(all.low, part.extremes.low);
    all.high = std::max(all.high, part.extremes.high);
    all.least = std::min(all.least, part.extremes.least);
  }
  Histogram seen;
  seen.extremes_ = {number_of(all.low), number_of(all.high)};
  seen.count_ = size;
  if (!std::isfinite(seen.extremes_.low) || !std::isfinite(seen.extremes_.high)) require_finite(x, "x");
  // Zeros, and then the octaves from the least magnitude to the greatest.
  const auto greatest = static_cast<float>(std::max(std::fabs(seen.extremes_.low), std::fabs(seen.extremes_.high)));
  const int last = static_cast<int>(std::bit_cast<std::uint32_t>(greatest) >> 23);
  Octave octave;
  for (int sign = 0; sign < kOctaves; sign += kMagnitudes) {
    for (int e = 0; e <= last; e = e == 0 ? std::max(1, static_cast<int>((all.least + 1) >> 23)) : e + 1) {
      if (take_octave(parts, sign + e, octave)) seen.octaves_[sign + e] = octave;
    }
  }
  if (const auto negative = seen.octaves_.find(kMagnitudes); negative != seen.octaves_.end()) {
    if (const std::int64_t zeros = std::exchange(negative->second[0], 0); zeros > 0) {
      Octave& positive = seen.octaves_[0];
      positive.resize(kOctaveBins);
      positive[0] += zeros;
    }
  }
  spare_counts = std::move(memory);
  merge(seen);
}

}  // namespace petrain
