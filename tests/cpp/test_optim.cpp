// The optimizer through its C++ interface, as an embedder without Python uses it.
#include <cmath>
#include <limits>
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

std::vector<float> train(const std::string& rule, int threads, std::size_t size) {
  set_num_threads(threads);
  auto param = ramp(size, 0.01f), grad = ramp(size, 0.003f);
  std::vector<ParamGroup> groups = {{rule, {{"lr", 0.1}}, {view(param)}}};
  Optimizer optimizer(std::move(groups));
  const std::vector<ConstTensorView> grads = {view(grad)};
  for (int step = 0; step < 3; ++step) optimizer.step(grads, {.max_norm = 1.0});
  return param;
}

}  // namespace

TEST(every_rule_gives_the_same_bits_for_any_thread_count) {
  for (const RuleInfo& rule : rules()) {
    if (rule.matrix) continue;  // test_matrix_rules.cpp
    for (const std::size_t size : {1, 15, 16384, 16385, 100003}) {
      CHECK(train(rule.name, 1, size) == train(rule.name, 2, size));
      CHECK(train(rule.name, 1, size) == train(rule.name, 3, size));
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
