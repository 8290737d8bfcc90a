#include <algorithm>
#include <bit>

#include "calibrate_checks.hpp"
#include "histogram_bins.hpp"

namespace petrain {
namespace {

using kernels::kBins;
using kernels::kBinShift;

// The number of the bin of a finite number; both zeros, and what is below 2⁻¹³⁵, are in bin 0.
std::int32_t bin_of(double value) {
  const auto bin = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> kBinShift);
  return bin == kBins / 2 ? 0 : bin;
}

// The lower edge of a magnitude bin. That after the last finite one is 2¹²⁸.
double edge(std::int32_t magnitude_bin) {
  if (magnitude_bin == (kMagnitudes - 1) * kOctaveBins) return 0x1p128;
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
        numbers[i] / kOctaveBins % kMagnitudes == kMagnitudes - 1) {
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
