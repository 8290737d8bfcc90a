// Losses of distillation through their C++ interface. The Python tests compare them with a reference in more ways.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/distill.hpp"

using namespace petrain;

namespace {

Tensor floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor(DType::f32, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.as<float>());
  return tensor;
}

bool holds(const Tensor& tensor, const std::vector<float>& values) {
  return tensor.size() == static_cast<std::int64_t>(values.size()) &&
         std::equal(values.begin(), values.end(), tensor.as<float>());
}

bool near(double a, double b) { return std::abs(a - b) <= 1e-14 * std::abs(b); }

}  // namespace

TEST(soft_losses_of_a_few_numbers) {
  const Tensor student = floats({1, 2}, {0, 0}), teacher = floats({1, 2}, {1000, 0});
  for (const double temperature : {1.0, 2.0}) {
    const Loss loss = kl_div(student.view(), teacher.view(), temperature);
    CHECK(near(loss.value, temperature * temperature * std::log(2)));
    CHECK(holds(loss.gradient, {-0.5F * static_cast<float>(temperature), 0.5F * static_cast<float>(temperature)}));
  }
  const std::vector<std::int64_t> labels = {1};
  const Loss mixed = distillation(student.view(), teacher.view(), labels, {.temperature = 1, .alpha = 0.75});
  CHECK(near(mixed.value, std::log(2)));
  CHECK(holds(mixed.gradient, {-0.25F, 0.25F}));
  const Loss same = soft_cross_entropy(student.view(), student.view(), 1);
  CHECK(near(same.value, std::log(2)) && holds(same.gradient, {0, 0}));
}

TEST(feature_losses_of_a_few_numbers) {
  const Tensor student = floats({1, 2}, {3, 4}), teacher = floats({1, 2}, {-4, 3});
  const Loss squares = mse(student.view(), teacher.view());
  CHECK(near(squares.value, 25) && holds(squares.gradient, {7, 1}));
  const Loss angle = cosine(student.view(), teacher.view());
  CHECK(near(angle.value, 1));
  CHECK(std::abs(angle.gradient.as<float>()[0] - 0.16F) < 1e-7F);
  const Tensor map = floats({1, 2, 2}, {1, 0, 0, 0}), other = floats({1, 1, 2}, {0, 2});
  const Loss attention = attention_transfer(map.view(), other.view());
  CHECK(near(attention.value, 1) && holds(attention.gradient, {0, 0, 0, 0}));
}

TEST(what_is_refused) {
  const Tensor x = floats({1, 2}, {0, 1}), bad = floats({1, 2}, {0, std::numeric_limits<float>::infinity()});
  CHECK_THROWS(std::invalid_argument, "teacher: expected finite values, got inf at index (0, 1)",
               kl_div(x.view(), bad.view(), 1));
  CHECK_THROWS(std::invalid_argument, "temperature: expected", kl_div(x.view(), x.view(), 0));
  CHECK_THROWS(std::invalid_argument, "expected 1 labels, got 0", distillation(x.view(), x.view(), {}, {}));
  CHECK_THROWS(std::invalid_argument, "teacher: expected shape", mse(x.view(), floats({2}, {1, 2}).view()));
}
