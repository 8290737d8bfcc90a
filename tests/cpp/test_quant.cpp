// int8 quantization through its C++ interface. The Python tests compare it with a reference in more ways.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/quant_linear.hpp"

using namespace petrain;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Tensor random_floats(Shape shape, unsigned seed) {
  Tensor tensor(DType::f32, std::move(shape));
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    tensor.as<float>()[i] = static_cast<float>(random() >> 8) * 0x1p-23F - 1;
  }
  return tensor;
}

Tensor random_int8(Shape shape, unsigned seed) {
  Tensor tensor(DType::i8, std::move(shape));
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    tensor.as<std::int8_t>()[i] = static_cast<std::int8_t>(static_cast<int>(random() >> 24) - 128);
  }
  return tensor;
}

bool product_is_exact(const Tensor& a, const Tensor& b) {
  const Tensor c = matmul_int(a.view(), b.view());
  const std::int64_t m = a.shape()[0], n = b.shape()[0], k = a.shape()[1];
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      std::int64_t sum = 0;
      for (std::int64_t p = 0; p < k; ++p) {
        sum += std::int64_t{a.as<std::int8_t>()[i * k + p]} * b.as<std::int8_t>()[j * k + p];
      }
      if (c.as<std::int32_t>()[i * n + j] != sum) return false;
    }
  }
  return true;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.as<std::byte>(), b.as<std::byte>(), a.nbytes()) == 0;
}

Tensor linear_of(const Tensor& x, const QuantLinear& layer, const Tensor& bias) {
  Tensor y(DType::f32, {x.shape()[0], layer.out_features()});
  layer.forward(x.view(), y.view(), {.bias = bias.view()});
  return y;
}

}  // namespace

TEST(every_small_product_is_exact) {
  for (std::int64_t m = 1; m <= 6; ++m) {
    for (std::int64_t n = 1; n <= 6; ++n) {
      for (std::int64_t k = 1; k <= 70; ++k) CHECK(product_is_exact(random_int8({m, k}, 1), random_int8({n, k}, 2)));
    }
  }
  CHECK(product_is_exact(random_int8({67, 2051}, 3), random_int8({66, 2051}, 4)));
}

TEST(minus_128_everywhere_is_exact_up_to_the_longest_sum) {
  for (const std::int64_t k : {std::int64_t{1}, std::int64_t{2}, std::int64_t{33}, max_depth(false, false)}) {
    Tensor a(DType::i8, {5, k});
    std::memset(a.as<std::byte>(), 0x80, a.nbytes());
    CHECK(product_is_exact(a, a));
  }
}

TEST(values_go_to_the_nearest_and_halves_to_even) {
  // 127 / 8 gives a scale of exactly 1 / 8, so that w * 8 is what is rounded.
  for (int halves = -253; halves <= 253; halves += 2) {
    Tensor w(DType::f32, {1, 2});
    w.as<float>()[0] = 127.0F / 8;
    w.as<float>()[1] = static_cast<float>(halves) / 16;
    for (const int axis : {0, -2}) {
      const QuantTensor q = quantize(w.view(), {.axis = axis});
      CHECK(q.spec.axis == 0);
      CHECK(q.scale.as<float>()[0] == 0.125F);
      CHECK(q.values.as<std::int8_t>()[1] == static_cast<int>(std::nearbyint(halves / 2.0)));
    }
  }
}

TEST(any_axis_is_dequantized_to_within_half_a_scale) {
  const Tensor w = random_floats({5, 300, 3, 2}, 5);
  const std::int64_t inner[] = {1800, 6, 2, 1};
  for (int axis = 0; axis < 4; ++axis) {
    const QuantTensor q = quantize(w.view(), {.axis = axis});
    const Tensor back = dequantize(q);
    bool near = true;
    for (std::int64_t i = 0; i < w.size(); ++i) {
      const float scale = q.scale.as<float>()[i / inner[axis] % w.shape()[axis]];
      near = near && std::fabs(back.as<float>()[i] - w.as<float>()[i]) <= 0.50001F * scale;
    }
    CHECK(near);
  }
}

TEST(results_do_not_depend_on_the_thread_count) {
  const Tensor w = random_floats({200, 900}, 6), x = random_floats({130, 900}, 7), bias = random_floats({200}, 8);
  set_num_threads(1);
  const QuantTensor q = quantize(w.view());
  const QuantLinear layer(q.clone());
  const Tensor y = linear_of(x, layer, bias);
  for (const int threads : {2, 3, 7}) {
    set_num_threads(threads);
    const QuantTensor again = quantize(w.view());
    CHECK(same_bytes(again.values, q.values) && same_bytes(again.scale, q.scale));
    CHECK(same_bytes(linear_of(x, layer, bias), y));
    CHECK(same_bytes(quantize(w.view(), {.axis = 1}).values, quantize(w.view(), {.axis = -1}).values));
  }
}

TEST(threads_of_the_caller_may_make_the_first_call_together) {
  const Tensor w = random_floats({70, 128}, 11), x = random_floats({9, 128}, 12), bias = random_floats({70}, 13);
  for (const QuantSpec& spec : {QuantSpec{}, QuantSpec{4, Scheme::symmetric, Granularity::group, 0, 32}}) {
    const Tensor y = linear_of(x, QuantLinear(quantize(w.view(), spec)), bias);
    const QuantLinear layer(quantize(w.view(), spec));
    Tensor there, here;
    std::thread other([&] { there = linear_of(x, layer, bias); });
    here = linear_of(x, layer, bias);
    other.join();
    CHECK(same_bytes(there, y) && same_bytes(here, y));
  }
}

TEST(results_in_the_memory_of_arguments_are_refused) {
  const QuantLinear layer(quantize(random_floats({8, 8}, 14).view()));
  Tensor x = random_floats({1, 8}, 15), bias = random_floats({8}, 16);
  Tensor y(DType::f32, {1, 8});
  CHECK_THROWS(std::invalid_argument, "y: expected memory of its own, got some of x",
               layer.forward(x.view(), x.view()));
  const TensorView over_bias{bias.as<float>(), DType::f32, {1, 8}};
  CHECK_THROWS(std::invalid_argument, "y: expected memory of its own, got some of bias",
               layer.forward(x.view(), over_bias, {.bias = bias.view()}));
}

TEST(a_non_finite_activation_leaves_the_output_alone) {
  const QuantLinear layer(quantize(random_floats({100, 50}, 9).view()));
  Tensor x = random_floats({70, 50}, 10);
  Tensor y(DType::f32, {70, 100});
  y.as<float>()[0] = 5;
  x.as<float>()[69 * 50 + 1] = kNan;
  CHECK_THROWS(std::invalid_argument, "x: expected finite values, got nan at index (69, 1)",
               layer.forward(x.view(), y.view()));
  CHECK(y.as<float>()[0] == 5 && y.as<float>()[1] == 0);
}

TEST(errors_say_what_was_expected) {
  const Tensor w = random_floats({4, 3}, 11), scalar(DType::f32, {});
  CHECK_THROWS(std::out_of_range, "axis: expected -2 to 1 for shape (4, 3), got 2", quantize(w.view(), {.axis = 2}));
  CHECK_THROWS(std::invalid_argument, "at least one dimension", quantize(scalar.view()));
  QuantTensor q = quantize(w.view());
  CHECK_THROWS(std::invalid_argument, "scale: expected shape (4,), got (3,)",
               QuantTensor(q.values.clone(), Tensor(DType::f32, {3})));
  CHECK_THROWS(std::invalid_argument, "values: expected at least one dimension", dequantize(QuantTensor()));
  Tensor y(DType::f32, {2, 3});
  CHECK_THROWS(std::invalid_argument, "y: expected shape (2, 4), got (2, 3)",
               QuantLinear(q.clone()).forward(random_floats({2, 3}, 12).view(), y.view()));
  q.scale.as<float>()[1] = kNan;
  CHECK_THROWS(std::invalid_argument, "scale: expected positive, finite values, got nan at element 1", dequantize(q));
}
