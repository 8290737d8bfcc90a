// Convolutions through their C++ interface, against plain loops. The Python tests compare them in more ways.
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/quant_conv.hpp"

using namespace petrain;

namespace {

Tensor random_int8(Shape shape, unsigned seed, int least) {
  Tensor tensor(DType::i8, std::move(shape));
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    tensor.as<std::int8_t>()[i] = static_cast<std::int8_t>(least + static_cast<int>(random() % (128 - least)));
  }
  return tensor;
}

QuantTensor weight_of(Shape shape, unsigned seed) {
  Tensor scale(DType::f32, {shape[0]});
  for (std::int64_t o = 0; o < scale.size(); ++o) scale.as<float>()[o] = 0.25F * static_cast<float>(o + 1);
  return {random_int8(std::move(shape), seed, -127), std::move(scale)};
}

// With a scale of 1 for x every step but the last is exact in float64 too.
Tensor plain(const Tensor& x, const QuantTensor& w, const Shape& shape, std::int64_t groups, const ConvWindow& window,
             std::int32_t zero_point) {
  Tensor y(DType::f32, shape);
  const std::int64_t inputs = w.shape[1], per_group = w.shape[0] / groups, channels = x.shape()[1];
  const auto at = [](const Tensor& t, std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j) {
    return ((n * t.shape()[1] + c) * t.shape()[2] + i) * t.shape()[3] + j;
  };
  for (std::int64_t index = 0; index < y.size(); ++index) {
    const std::int64_t j = index % shape[3], i = index / shape[3] % shape[2],
                       o = index / shape[3] / shape[2] % shape[1], n = index / shape[3] / shape[2] / shape[1];
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < inputs; ++c) {
      for (std::int64_t p = 0; p < w.shape[2]; ++p) {
        for (std::int64_t q = 0; q < w.shape[3]; ++q) {
          const std::int64_t row = i * window.stride[0] - window.padding[0] + p * window.dilation[0];
          const std::int64_t column = j * window.stride[1] - window.padding[1] + q * window.dilation[1];
          if (row < 0 || row >= x.shape()[2] || column < 0 || column >= x.shape()[3]) continue;
          const std::int64_t channel = o / per_group * inputs + c;
          sum += (x.as<std::int8_t>()[at(x, n, channel, row, column)] - zero_point) *
                 std::int64_t{w.values.as<std::int8_t>()[at(w.values, o, c, p, q)]};
        }
      }
    }
    y.as<float>()[index] = static_cast<float>(sum) * w.scale.as<float>()[o];
  }
  CHECK(channels == inputs * groups);
  return y;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.as<std::byte>(), b.as<std::byte>(), a.nbytes()) == 0;
}

}  // namespace

TEST(convolutions_are_the_plain_sums) {
  struct Case {
    Shape x, w;
    std::int64_t groups;
    ConvWindow window;
  };
  const std::vector<Case> cases = {
      {{1, 3, 23, 21}, {20, 3, 7, 7}, 1, {{2, 2}, {3, 3}}},
      {{2, 24, 9, 8}, {70, 24, 3, 3}, 1, {{1, 1}, {1, 1}}},
      {{1, 40, 6, 6}, {33, 40, 1, 1}, 1, {{2, 1}}},
      {{1, 12, 11, 12}, {9, 4, 3, 2}, 3, {{1, 2}, {2, 0}, {2, 3}}},
      {{2, 19, 14, 37}, {19, 1, 3, 3}, 19, {{1, 1}, {1, 1}}},
      {{1, 5, 60, 81}, {15, 1, 3, 5}, 5, {{2, 2}, {1, 2}}},
      {{1, 3, 75, 70}, {3, 1, 3, 3}, 3, {{3, 1}, {4, 4}, {2, 4}}},
  };
  unsigned seed = 0;
  for (const auto& [x_shape, w_shape, groups, window] : cases) {
    const QuantConv conv(weight_of(w_shape, ++seed), groups);
    const Tensor x = random_int8(x_shape, ++seed, -128);
    for (const std::int32_t zero_point : {0, 77, -128}) {
      const Tensor expected = plain(x, conv.weight(), conv.output_shape(x_shape, window), groups, window, zero_point);
      for (const int threads : {1, 2, 5}) {
        set_num_threads(threads);
        Tensor y(DType::f32, expected.shape());
        conv.forward(x.view(), y.view(), window, {.input = QuantParams{1, zero_point, Scheme::asymmetric}});
        CHECK(same_bytes(y, expected));
      }
    }
  }
}

TEST(what_is_refused_changes_nothing) {
  const QuantConv conv(weight_of({4, 2, 3, 3}, 1));
  Tensor x(DType::f32, {2, 5, 5}), y(DType::f32, {4, 3, 3});
  const auto forward = [&](const ConvWindow& window) { conv.forward(std::as_const(x).view(), y.view(), window); };
  CHECK_THROWS(std::invalid_argument, "stride", forward({.stride = {1, 0}}));
  CHECK_THROWS(std::invalid_argument, "padding", forward({.padding = {-1, 0}}));
  CHECK_THROWS(std::invalid_argument, "at least 7 pixels", forward({.dilation = {3, 3}}));
  CHECK_THROWS(std::invalid_argument, "y: expected shape", forward({.padding = {1, 1}}));
  x.as<float>()[13] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS(std::invalid_argument, "x: expected finite values, got nan at index (0, 2, 3)", forward({}));
  for (std::int64_t i = 0; i < y.size(); ++i) CHECK(y.as<float>()[i] == 0);
  CHECK_THROWS(std::invalid_argument, "groups", QuantConv(weight_of({4, 2, 3, 3}, 1), 3));
  CHECK_THROWS(std::invalid_argument, "w: expected", QuantConv(weight_of({4, 2}, 1)));
}
