// Rules that see a tensor as a matrix, through the C++ interface.
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/cpu.hpp"
#include "petrain/optim.hpp"

using namespace petrain;

namespace {

constexpr std::int64_t kRows = 200, kCols = 330;

// Whole numbers alone, so that every machine starts from the same bits.
std::vector<float> numbers(std::size_t size, std::uint32_t seed) {
  std::vector<float> values(size);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<std::int32_t>(seed)) * 0x1p-31f;
  }
  return values;
}

TensorView view(std::vector<float>& values, Shape shape) { return {values.data(), DType::f32, std::move(shape)}; }

std::map<std::string, double> with_rank(const RuleInfo& rule, double rank) {
  return rule.hypers.count("rank") ? std::map<std::string, double>{{"rank", rank}} : std::map<std::string, double>{};
}

// The parameter and all states after three steps.
std::vector<float> train(const RuleInfo& rule, int threads) {
  set_num_threads(threads);
  std::vector<float> param = numbers(kRows * kCols, 1);
  Optimizer optimizer({{rule.name, with_rank(rule, 4), {view(param, {kRows, kCols})}}});
  for (std::uint32_t step = 2; step < 5; ++step) {
    std::vector<float> grad = numbers(kRows * kCols, step);
    const std::vector<ConstTensorView> grads = {view(grad, {kRows, kCols})};
    optimizer.step(grads, {.max_norm = 1.0});
  }
  for (const auto& [name, state] : optimizer.state(0)) {
    const auto* values = state.as<float>();
    param.insert(param.end(), values, values + state.size());
  }
  return param;
}

}  // namespace

TEST(every_matrix_rule_gives_the_same_bits_for_any_thread_count) {
  int count = 0;
  for (const RuleInfo& rule : rules()) {
    if (!rule.matrix) continue;
    ++count;
    const std::vector<float> expected = train(rule, 1);
    CHECK(expected != numbers(kRows * kCols, 1));
    CHECK(train(rule, 2) == expected);
    CHECK(train(rule, 5) == expected);
  }
  CHECK(count >= 4);
}

TEST(a_gradient_beyond_what_can_be_squared_changes_nothing) {
  for (const RuleInfo& rule : rules()) {
    if (!rule.matrix) continue;
    std::vector<float> param = numbers(12, 1), grad(12, 1e19f);
    const std::vector<float> before = param;
    Optimizer optimizer({{rule.name, with_rank(rule, 2), {view(param, {3, 4})}}});
    const std::vector<ConstTensorView> grads = {view(grad, {3, 4})};
    const StepInfo info = optimizer.step(grads);
    CHECK(info.skipped && std::isfinite(info.grad_norm));
    CHECK(param == before && optimizer.steps(0) == 0);
    CHECK(!optimizer.step(grads, {.max_norm = 1.0}).skipped);
    CHECK(param != before && optimizer.steps(0) == 1);
  }
}

TEST(errors_say_what_was_expected) {
  std::vector<float> param = numbers(12, 1);
  const auto make = [&](const std::string& rule, std::map<std::string, double> hypers, Shape shape) {
    return Optimizer({{rule, std::move(hypers), {view(param, std::move(shape))}}});
  };
  CHECK_THROWS(std::invalid_argument, "parameter 0: muon expected a matrix, got shape (12,)", make("muon", {}, {12}));
  CHECK_THROWS(std::invalid_argument, "expected rank to be at most 3 for shape (3, 4), got 128",
               make("galore_adamw", {}, {3, 4}));
  CHECK_THROWS(std::invalid_argument, "proj_type must be one of its choices by number, got 4",
               make("galore_adamw", {{"rank", 1}, {"proj_type", 4}}, {3, 4}));
  Optimizer optimizer = make("apollo_sgd", {{"rank", 2}}, {3, 4});
  CHECK_THROWS(std::invalid_argument, "rank cannot be changed once there are states of its shape: it is 2, got 1",
               optimizer.set_hyper(0, "rank", 1));
}

TEST(hyperparameters_are_checked_by_name_and_range) {
  check_hypers("muon", {{"lr", 0}, {"ns_steps", 3}});
  CHECK_THROWS(std::invalid_argument, "muon has no hyperparameter \"beta1\"", check_hypers("muon", {{"beta1", 0.5}}));
  CHECK_THROWS(std::invalid_argument, "ns_steps must be a whole number", check_hypers("muon", {{"ns_steps", 1.5}}));
}
