// Fake quantization through its C++ interface. The Python tests compare it with a reference in more ways.
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/optim.hpp"
#include "petrain/qat.hpp"

using namespace petrain;

namespace {

constexpr QuantSpec kFourBits{.bits = 4, .granularity = Granularity::tensor};

Tensor floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor(DType::f32, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.as<float>());
  return tensor;
}

bool holds(const Tensor& tensor, const std::vector<float>& values) {
  return std::equal(values.begin(), values.end(), tensor.as<float>(), tensor.as<float>() + tensor.size());
}

}  // namespace

TEST(forward_and_backward_of_a_few_numbers) {
  const Tensor x = floats({5}, {0.25F, -0.3F, 0.74F, 9, -3.5F}), scale = floats({}, {0.5F});
  Tensor out(DType::f32, {5}), integers(DType::i8, {5}), scale_gradient(DType::f32, {});
  fake_quantize(x.view(), scale.view(), {}, kFourBits, out.view());
  CHECK(holds(out, {0, -0.5F, 0.5F, 3.5F, -3.5F}));
  fake_quantize(x.view(), scale.view(), {}, kFourBits, integers.view());
  const auto* codes = integers.as<std::int8_t>();
  CHECK(codes[0] == 0 && codes[1] == -1 && codes[2] == 1 && codes[3] == 7 && codes[4] == -7);
  const Tensor gradient = floats({5}, {1, 1, 1, 2, 1});
  fake_quantize_backward(x.view(), scale.view(), {}, kFourBits, gradient.view(), out.view(), scale_gradient.view(), 2);
  CHECK(holds(out, {1, 1, 1, 0, 1}));
  const float expected = 2 * (-0.5F + (-1 + 0.6F) + (1 - 1.48F) + 14 + 0);
  CHECK(std::abs(scale_gradient.as<float>()[0] - expected) < 1e-5F);
  CHECK(std::abs(lsq_factor(kFourBits, {5}) - 1 / std::sqrt(35.0)) < 1e-15);
}

TEST(the_first_scale_and_the_range_of_scales) {
  const Tensor x = floats({2, 2}, {1, -3, 0, 0});
  const Tensor scale = lsq_scale(x.view(), {});
  CHECK(scale.shape() == Shape{2});
  CHECK(std::abs(scale.as<float>()[0] - 4 / std::sqrt(127.0F)) < 1e-6F && scale.as<float>()[1] == 1);
  Tensor moved = floats({3}, {-1, std::numeric_limits<float>::quiet_NaN(), 2});
  bound_scales(moved.view(), {});
  CHECK(holds(moved, {0x1p-126F, 0x1p-126F, 2}));
}

TEST(a_step_writes_the_copy_and_the_gradient_of_the_scale) {
  Tensor w = floats({2}, {0.25F, 9}), scale = floats({}, {0.5F}), scale_gradient(DType::f32, {});
  Tensor copy(DType::f32, {2});
  Optimizer optimizer({{"sgd", {{"lr", 0.5}}, {w.view(), scale.view()}}});
  optimizer.attach_fake_quantize(0, {kFourBits, scale.view(), scale_gradient.view(), copy.view()});
  CHECK(holds(copy, {0, 3.5F}));
  const Tensor gradient = floats({2}, {-1, 1});
  const std::array<ConstTensorView, 2> grads = {gradient.view(), std::as_const(scale_gradient).view()};
  CHECK(!optimizer.step(grads).skipped);
  CHECK(holds(w, {0.75F, 9}));
  CHECK(holds(scale, {0.5F}));  // its gradient comes with the next step
  CHECK(holds(copy, {1, 3.5F}));
  const float factor = 1 / std::sqrt(14.0F);
  CHECK(std::abs(scale_gradient.as<float>()[0] - 7.5F * factor) < 1e-6F);
  const std::vector<float> before(scale_gradient.as<float>(), scale_gradient.as<float>() + 1);
  const Tensor bad = floats({2}, {std::numeric_limits<float>::infinity(), 1});
  const std::array<ConstTensorView, 2> bad_grads = {bad.view(), std::as_const(scale_gradient).view()};
  CHECK(optimizer.step(bad_grads).skipped);
  CHECK(holds(w, {0.75F, 9}) && holds(scale, {0.5F}) && holds(copy, {1, 3.5F}) && holds(scale_gradient, before));
  optimizer.step(grads);
  CHECK(scale.as<float>()[0] == 0x1p-126F);  // 0.5 - 0.5 * 2.004 is below 0
  optimizer.detach_fake_quantize(0);
  optimizer.step(grads);
  CHECK(w.as<float>()[1] == 8.5F);
}

TEST(what_does_not_fit_is_refused) {
  Tensor w = floats({2}, {1, 2}), scale = floats({}, {0.5F}), scale_gradient(DType::f32, {}), copy(DType::f32, {2});
  const FakeQuantized fits{kFourBits, scale.view(), scale_gradient.view(), copy.view()};
  Optimizer matrix({{"adafactor", {}, {w.view()}}}), optimizer({{"sgd", {}, {w.view()}}});
  CHECK_THROWS(std::invalid_argument, "parameter 0: adafactor sees it as a matrix",
               (matrix.attach_fake_quantize(0, fits), 0));
  CHECK_THROWS(std::out_of_range, "expected a parameter from 0 to 0, got 1",
               (optimizer.attach_fake_quantize(1, fits), 0));
  CHECK_THROWS(std::invalid_argument, "out: expected memory of its own",
               (optimizer.attach_fake_quantize(0, {kFourBits, scale.view(), scale_gradient.view(), w.view()}), 0));
  const Tensor nan = floats({2}, {1, std::numeric_limits<float>::quiet_NaN()});
  CHECK_THROWS(std::invalid_argument, "x: expected finite values, got nan at index (1,)",
               (fake_quantize(nan.view(), scale.view(), {}, kFourBits, copy.view()), 0));
  CHECK(holds(copy, {0, 0}));
}
