// Calibration through its C++ interface. The Python tests compare it with a reference in more ways.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "check.hpp"
#include "petrain/calibrate.hpp"
#include "petrain/cpu.hpp"
#include "petrain/error.hpp"

using namespace petrain;

namespace {

Tensor bell(std::int64_t size, unsigned seed) {
  Tensor tensor(DType::f32, {size});
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < size; ++i) {
    float sum = 0;
    for (int k = 0; k < 12; ++k) sum += static_cast<float>(random() >> 8) * 0x1p-24F;
    tensor.as<float>()[i] = sum - 6;
  }
  return tensor;
}

struct Parts {
  std::vector<std::int32_t> numbers;
  std::vector<std::int64_t> counts;
  Range extremes;

  explicit Parts(const Histogram& seen) : extremes(seen.extremes()) { seen.parts(numbers, counts); }
  bool operator==(const Parts&) const = default;
};

// The error of the quantizer itself.
double error_on(const Tensor& x, Range range, int bits, Scheme scheme) {
  const QuantParams params = range_params(range.low, range.high, bits, scheme);
  const int most = (1 << (bits - 1)) - 1, least = scheme == Scheme::symmetric ? -most : -most - 1;
  double sum = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double value = x.as<float>()[i], scale = params.scale;
    const double q = std::clamp<double>(std::nearbyint(value / scale) + params.zero_point, least, most);
    sum += ((q - params.zero_point) * scale - value) * ((q - params.zero_point) * scale - value);
  }
  return sum / static_cast<double>(x.size());
}

}  // namespace

TEST(counts_do_not_depend_on_threads_or_parts) {
  const Tensor x = bell(300'001, 1);
  Histogram whole;
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    Histogram again, parts;
    again.observe(x.view());
    for (const std::int64_t begin : {200'000, 0, 100'000}) {
      const std::int64_t end = begin == 200'000 ? x.size() : begin + 100'000;
      Histogram part;
      part.observe({x.as<float>() + begin, DType::f32, {end - begin}});
      parts.merge(part);
    }
    if (threads == 1) whole = again;
    CHECK(again.count() == x.size());
    CHECK(Parts(again) == Parts(whole) && Parts(parts) == Parts(whole));
  }
  set_num_threads(2);
}

TEST(threads_of_the_caller_observe_at_once) {
  const Tensor x = bell(50'000, 2);
  Histogram expected, seen[4];
  expected.observe(x.view());
  std::vector<std::thread> callers;
  for (Histogram& each : seen) callers.emplace_back([&] { each.observe(x.view()); });
  for (std::thread& caller : callers) caller.join();
  for (const Histogram& each : seen) CHECK(Parts(each) == Parts(expected));
}

TEST(bins_hold_what_was_counted_in_order) {
  Histogram seen;
  Tensor x(DType::f32, {7});
  const float values[] = {-2.5F, 1e-45F, -0.0F, 3.0F, 3.0F, 1.0009F, std::numeric_limits<float>::max()};
  std::memcpy(x.as<float>(), values, sizeof values);
  seen.observe(x.view());
  const auto bins = seen.bins();
  CHECK(bins.size() == 5);
  CHECK(bins[0].low == -2.5 && bins[0].high == -2.5 && bins[0].count == 1);
  CHECK(bins[1].low == 0 && bins[1].high == 0 && bins[1].count == 2);
  CHECK(bins[2].low == 1 && bins[2].high == 1 + 0x1p-9 && bins[2].count == 1);
  CHECK(bins[3].low == 3 && bins[3].high == 3 + 0x1p-8 && bins[3].count == 2);
  CHECK(bins[4].high == static_cast<double>(std::numeric_limits<float>::max()));
  CHECK((seen.extremes() == Range{-2.5, bins[4].high}));
}

TEST(the_error_of_a_range_is_that_of_the_quantizer) {
  const Tensor x = bell(100'000, 3);
  Histogram seen;
  seen.observe(x.view());
  for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
    for (const int bits : {4, 8}) {
      for (const Range range : {Range{-5, 5}, Range{-1, 3}, Range{-0.1, 0.1}, Range{0, 2}, Range{-1e6, 1e6}}) {
        const double exact = error_on(x, range, bits, scheme);
        CHECK(std::fabs(mean_squared_error(seen, range, bits, scheme) - exact) < 0.01 * exact);
      }
      const Range best = mse_range(seen, bits, scheme);
      for (const double factor : {0.8, 0.9, 0.97, 1.03, 1.1, 1.25}) {
        const Range other{best.low * factor, best.high * factor};
        CHECK(error_on(x, best, bits, scheme) < 1.005 * error_on(x, other, bits, scheme));
      }
    }
  }
}

TEST(a_percentile_leaves_out_no_more_than_it_may) {
  const Tensor x = bell(100'000, 4);
  Histogram seen;
  seen.observe(x.view());
  const Range range = percentile_range(seen, 99, Scheme::asymmetric);
  int below = 0, above = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    below += x.as<float>()[i] < range.low;
    above += x.as<float>()[i] > range.high;
  }
  CHECK(below <= 500 && above <= 500 && below > 450 && above > 450);
  CHECK(percentile_range(seen, 100, Scheme::asymmetric) == seen.extremes());
}

TEST(an_array_that_is_not_finite_changes_nothing) {
  const Tensor x = bell(50'000, 5);
  Tensor bad = x.clone();
  bad.as<float>()[40'000] = std::numeric_limits<float>::quiet_NaN();
  Histogram seen;
  MinMax min_max;
  MovingAverage average;
  seen.observe(x.view());
  const Parts before(seen);
  const char* message = "x: expected finite values, got nan at index (40000,)";
  CHECK_THROWS(std::invalid_argument, message, seen.observe(bad.view()));
  CHECK_THROWS(std::invalid_argument, message, min_max.observe(bad.view()));
  CHECK_THROWS(std::invalid_argument, message, average.observe(bad.view()));
  CHECK(Parts(seen) == before && min_max.count() == 0 && average.count() == 0);
}

TEST(errors_say_what_was_expected) {
  const Histogram nothing;
  CHECK_THROWS(Error, "nothing was observed yet", mse_range(nothing, 8, Scheme::symmetric));
  CHECK_THROWS(Error, "nothing was observed yet", entropy_range(nothing, 8, Scheme::symmetric));
  CHECK_THROWS(Error, "nothing was observed yet", percentile_range(nothing, 99, Scheme::symmetric));
  CHECK_THROWS(std::invalid_argument, "bits: expected 8 or 4, got 3", mse_range(nothing, 3, Scheme::symmetric));
  CHECK_THROWS(std::invalid_argument, "percentile: expected more than 0 and at most 100, got 101",
               percentile_range(nothing, 101, Scheme::symmetric));
  const Tensor x = bell(6, 6);
  CHECK_THROWS(std::out_of_range, "axis: expected -1 to 0 for shape (6,), got 1", extremes(x.view(), 1));
  CHECK_THROWS(std::invalid_argument, "axis: expected none, got 0", MinMax().merge(MinMax(0)));
  const std::int32_t bin[] = {65024};
  const std::int64_t count[] = {1};
  CHECK(Histogram(bin, count, {1, 1}).count() == 1);
  CHECK_THROWS(std::invalid_argument, "extremes", Histogram(bin, count, {1, 1.5}));
}
