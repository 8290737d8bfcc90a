// The optimizer through its C++ interface, as an embedder without Python uses it.
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/optim.hpp"

using namespace petrain;

namespace {

TensorView view(std::vector<float>& values) {
  return {values.data(), DType::f32, {static_cast<std::int64_t>(values.size())}};
}

std::vector<float> ramp(std::size_t size, float step) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = step * static_cast<float>(static_cast<int>(i % 97) - 48);
  return values;
}

std::vector<float> train(const RuleInfo& rule, int threads, const Shape& shape) {
  set_num_threads(threads);
  const auto size = static_cast<std::size_t>(element_count(shape));
  auto param = ramp(size, 0.01f), grad = ramp(size, 0.003f);
  std::map<std::string, double> hypers = {{"lr", 0.1}};
  if (rule.hypers.contains("rank")) hypers["rank"] = 4;
  Optimizer optimizer({{rule.name, hypers, {{param.data(), DType::f32, shape}}}});
  const std::vector<ConstTensorView> grads = {{grad.data(), DType::f32, shape}};
  for (int step = 0; step < 3; ++step) optimizer.step(grads, {.max_norm = 1.0});
  return param;
}

}  // namespace

TEST(every_rule_gives_the_same_bits_for_any_thread_count) {
  for (const RuleInfo& rule : rules()) {
    const std::vector<Shape> matrices = {{8, 8}, {40, 300}, {300, 40}};
    const std::vector<Shape> vectors = {{1}, {15}, {16384}, {16385}, {100003}};
    for (const Shape& shape : rule.matrix ? matrices : vectors) {
      const std::vector<float> alone = train(rule, 1, shape);
      CHECK(alone == train(rule, 2, shape));
      CHECK(alone == train(rule, 3, shape));
    }
  }
}

TEST(a_non_finite_gradient_changes_nothing) {
  auto param = ramp(40000, 0.01f), grad = ramp(40000, 0.003f);
  const auto before = param;
  Optimizer optimizer({{"adamw", {}, {view(param)}}});
  grad[39999] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<ConstTensorView> grads = {view(grad)};
  CHECK(optimizer.step(grads).skipped);
  CHECK(param == before);
  CHECK(optimizer.steps(0) == 0);
  CHECK(optimizer.state(0)[0].second.as<float>()[0] == 0);
}

TEST(errors_say_what_was_expected) {
  auto param = ramp(4, 1), grad = ramp(3, 1);
  Optimizer optimizer({{"sgd", {}, {view(param)}}});
  const std::vector<ConstTensorView> grads = {view(grad)};
  CHECK_THROWS(std::invalid_argument, "gradient 0: expected shape (4,), got (3,)", optimizer.step(grads));
  CHECK_THROWS(std::invalid_argument, "unknown update rule \"sdg\"", Optimizer({{"sdg", {}, {view(param)}}}));
  CHECK_THROWS(std::invalid_argument, "lr must be at least 0, got -1", optimizer.set_hyper(0, "lr", -1));
  CHECK_THROWS(std::invalid_argument, "lr must be greater than 0, got 0",
               Optimizer({{"sgd", {{"lr", 0}}, {view(param)}}}));
  CHECK_THROWS(std::invalid_argument, "share memory", Optimizer({{"sgd", {}, {view(param), view(param)}}}));
}
