#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "calibrate_checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "storage.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

using kernels::kBins;
using kernels::kBinShift;
using kernels::kCountLanes;
constexpr int kOctaveBins = 1 << kernels::kMantissaBits;
constexpr int kOctaves = kBins / kOctaveBins;
constexpr int kMagnitudes = kOctaves / 2;  // octaves of one sign
constexpr int kFiniteOctaves = kMagnitudes - 1;

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

// The number of the bin of a finite number; both zeros, and what is below 2⁻¹⁴⁰, are in bin 0.
std::int32_t bin_of(double value) {
  const auto bin = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> kBinShift);
  return bin == kBins / 2 ? 0 : bin;
}

// The lower edge of a magnitude bin. That after the last finite one is 2¹²⁸.
double edge(std::int32_t magnitude_bin) {
  if (magnitude_bin == kFiniteOctaves * kOctaveBins) return 0x1p128;
  return std::bit_cast<float>(static_cast<std::uint32_t>(magnitude_bin) << kBinShift);
}

Histogram::Bin bin_at(std::int32_t number, std::int64_t count) {
  const std::int32_t magnitude = number % (kBins / 2);
  if (magnitude == 0) return {0, 0, count};
  const double near = edge(magnitude), far = edge(magnitude + 1);
  return number == magnitude ? Histogram::Bin{near, far, count} : Histogram::Bin{-far, -near, count};
}

// Bins are numbered from 0 upwards, and then, from kBins / 2, from 0 downwards.
std::ptrdiff_t positive_count(std::span<const std::int32_t> numbers) {
  return std::lower_bound(numbers.begin(), numbers.end(), kBins / 2) - numbers.begin();
}
std::int32_t lowest(std::span<const std::int32_t> numbers) {
  return numbers.back() < kBins / 2 ? numbers.front() : numbers.back();
}
std::int32_t highest(std::span<const std::int32_t> numbers) {
  const std::ptrdiff_t positive = positive_count(numbers);
  return numbers[static_cast<std::size_t>(positive > 0 ? positive - 1 : 0)];
}

[[noreturn]] void refuse(const std::string& what, const std::string& expected, std::size_t index) {
  throw std::invalid_argument(what + ": expected " + expected + ", got another at index " + std::to_string(index));
}

}  // namespace

Histogram::Histogram(std::span<const std::int32_t> numbers, std::span<const std::int64_t> counts, Range extremes)
    : extremes_(extremes) {
  require_count(counts.size(), numbers.size(), "counts, one for each bin");
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0 && numbers[i] <= numbers[i - 1]) refuse("bins", "ascending numbers", i);
    if (numbers[i] < 0 || numbers[i] >= kBins || numbers[i] == kBins / 2 ||
        numbers[i] / kOctaveBins % kMagnitudes == kFiniteOctaves) {
      refuse("bins", "numbers of bins with finite values", i);
    }
    if (counts[i] < 1) refuse("counts", "positive ones", i);
    count_ = added(count_, counts[i]);
    Octave& octave = octaves_[numbers[i] / kOctaveBins];
    octave.resize(kOctaveBins);
    octave[numbers[i] % kOctaveBins] = counts[i];
  }
  require_range(extremes, "extremes");
  const auto is_float = [](double value) { return value == static_cast<double>(static_cast<float>(value)); };
  const bool fit = numbers.empty()
                       ? extremes == Range{}
                       : is_float(extremes.low) && is_float(extremes.high) && bin_of(extremes.low) == lowest(numbers) &&
                             bin_of(extremes.high) == highest(numbers);
  if (!fit) {
    throw std::invalid_argument("extremes: expected float32 numbers in the outer bins, got " +
                                number_text(extremes.low) + " and " + number_text(extremes.high));
  }
}

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

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  const std::int64_t count = added(count_, other.count_);
  for (const auto& [key, octave] : other.octaves_) octaves_[key].resize(kOctaveBins);  // nothing below can fail
  for (const auto& [key, octave] : other.octaves_) {
    Octave& own = octaves_[key];
    for (std::size_t i = 0; i < octave.size(); ++i) own[i] += octave[i];
  }
  if (count_ == 0) {
    extremes_ = other.extremes_;
  } else {
    extremes_ = {std::min(extremes_.low, other.extremes_.low), std::max(extremes_.high, other.extremes_.high)};
  }
  count_ = count;
}

void Histogram::parts(std::vector<std::int32_t>& numbers, std::vector<std::int64_t>& counts) const {
  numbers.clear();
  counts.clear();
  for (const auto& [key, octave] : octaves_) {
    for (std::size_t i = 0; i < octave.size(); ++i) {
      if (octave[i] == 0) continue;
      numbers.push_back(key * kOctaveBins + static_cast<int>(i));
      counts.push_back(octave[i]);
    }
  }
}

std::vector<Histogram::Bin> Histogram::bins() const {
  std::vector<std::int32_t> numbers;
  std::vector<std::int64_t> counts;
  parts(numbers, counts);
  std::vector<Bin> bins;
  bins.reserve(numbers.size());
  const std::ptrdiff_t positive = positive_count(numbers);
  for (auto i = std::ssize(numbers) - 1; i >= positive; --i) bins.push_back(bin_at(numbers[i], counts[i]));
  for (std::ptrdiff_t i = 0; i < positive; ++i) bins.push_back(bin_at(numbers[i], counts[i]));
  if (bins.empty()) return bins;
  Bin& first = bins.front();
  Bin& last = bins.back();
  first.low = std::clamp(extremes_.low, first.low, first.high);
  last.high = std::clamp(extremes_.high, last.low, last.high);
  return bins;
}

}  // namespace petrain
